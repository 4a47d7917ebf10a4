import { render } from "preact";
import { Api } from "../core/api";
import { App } from "./app";
import { Chat } from "./chat";
import { beforePaint, browser } from "./surroundings";
import "./style.css";

const STREAMING = "millstream.streaming";

/** Settings are a convenience: where the browser keeps none, the defaults hold. */
function stored(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

function store(key: string, value: string): void {
  try {
    localStorage.setItem(key, value);
  } catch {
    return;
  }
}

const chat = new Chat(new Api(), browser, beforePaint, {
  get streaming() {
    return stored(STREAMING) !== "off";
  },
  set streaming(on) {
    store(STREAMING, on ? "on" : "off");
  },
  remember(conversationId) {
    const hash = conversationId === null ? "" : `#${conversationId}`;
    if (location.hash !== hash) history.pushState(null, "", hash || location.pathname + location.search);
  },
});

const named = (): string | null => location.hash.slice(1) || null;
addEventListener("popstate", () => void chat.open(named()));
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") void chat.refresh();
});

const root = document.getElementById("millstream");
if (root) render(<App chat={chat} />, root);

void chat.loadStatus();
void chat.loadConversations();
void chat.open(named());
