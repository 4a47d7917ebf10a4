import { render } from "preact";
import { Api } from "../core/api";
import type { Snapshot } from "../core/fold";
import type { MillstreamChatElement } from "../public/millstream-chat";
import { Announcer } from "./announcer";
import { App } from "./app";
import { Chat } from "./chat";
import { History } from "./history";
import { browserKeep } from "./keep";
import { Desk } from "./options";
import { Queues } from "./queue";
import { type Announcing, type Painting, Settings, type SettingsState, type Theme } from "./settings";
import { closestLanguage, ENGLISH, isLanguage, loadTongue, type Tongue } from "./strings";
import styles from "./style.css?inline";
import { beforePaint, browser } from "./surroundings";
import type { Shown } from "./ui";
import { isRunPlace } from "./unsent";
import { Uploads } from "./uploads";

const sheet = new CSSStyleSheet();
sheet.replaceSync(styles);

/** What lives as long as the element is in a page. */
interface Life {
  chat: Chat;
  history: History;
  settings: Settings;
  uploads: Uploads;
  announcer: Announcer;
  api: Api;
  frame: HTMLElement;
  end: AbortController;
}

/** `<millstream-chat endpoint="…">`; its attributes, properties and events are described in its type. */
export class MillstreamChat extends HTMLElement implements MillstreamChatElement {
  static readonly observedAttributes = ["endpoint", "conversation", "theme", "lang", "words", "announce", "layout"];

  headers: Readonly<Record<string, string>> = {};
  private readonly root = this.attachShadow({ mode: "open" });
  private tongue: Tongue = ENGLISH;
  private life: Life | null = null;
  /** What is shown, for an element that is taken out of a page: it may only be on its way to another place. */
  private place: string | null | undefined;

  constructor() {
    super();
    this.root.adoptedStyleSheets = [sheet];
  }

  get endpoint(): string {
    return this.getAttribute("endpoint") ?? "";
  }

  set endpoint(address: string) {
    this.setAttribute("endpoint", address);
  }

  get conversationId(): string | null {
    return this.life?.chat.state.conversationId ?? null;
  }

  async ask(question: string): Promise<void> {
    await this.life?.chat.ask(question);
  }

  async stop(): Promise<void> {
    await this.life?.chat.stop();
  }

  async open(conversationId: string | null): Promise<void> {
    await this.life?.chat.open(conversationId);
  }

  connectedCallback(): void {
    const end = new AbortController();
    const api = new Api(baseOf(this.endpoint), undefined, () => this.headers);
    const keep = browserKeep(this.endpoint && new URL(baseOf(this.endpoint), location.href).href);
    const settings = new Settings(browserKeep(), this.suggested());
    const chat: Chat = new Chat(
      api,
      browser,
      beforePaint,
      {
        remember: (place) => this.remember(place),
        streams: () => settings.state.painting !== "whole",
        conversationsChanged: () => void history.load(),
        answered: (snapshot) => this.tell("millstream-answer", answerOf(snapshot)),
      },
      new Desk(keep),
      new Queues(keep),
    );
    const history: History = new History(api, browser, (problem) => chat.report(problem));
    const uploads = new Uploads(api, browser, () => void chat.loadStatus());
    const announcer = new Announcer(this.root, chat, settings, this.tongue);
    const frame = document.createElement("div");
    frame.className = "frame";
    this.root.prepend(frame);
    this.life = { chat, history, settings, uploads, announcer, api, frame, end };

    const stops = [announcer.watch(), settings.subscribe(() => void this.applySettings())];
    end.signal.addEventListener("abort", () => {
      for (const stop of stops) stop();
    });
    const { signal } = end;
    // Another window, which may stand beside this one, may have gone on.
    const refresh = (): void => {
      if (document.visibilityState !== "visible") return;
      void chat.refresh();
      if (this.isPage) void history.load();
    };
    document.addEventListener("visibilitychange", refresh, { signal });
    addEventListener("focus", refresh, { signal });
    if (this.isPage) addEventListener("popstate", () => void chat.open(placeOfAddress()), { signal });

    void this.applySettings();
    void chat.loadStatus();
    void history.load();
    const first = this.place === undefined ? this.getAttribute("conversation") : this.place;
    const place = this.isPage ? placeOfAddress() : first;
    void chat.open(place);
    void chat.recoverUnsent(place);
  }

  disconnectedCallback(): void {
    const { life } = this;
    if (!life) return;
    this.life = null;
    life.end.abort();
    life.chat.close();
    life.uploads.close();
    render(null, life.frame);
    this.root.replaceChildren();
  }

  attributeChangedCallback(name: string, old: string | null, now: string | null): void {
    if (name === "conversation" || name === "endpoint") this.place = undefined;
    if (name === "endpoint" && this.life && old !== now) {
      this.disconnectedCallback();
      this.connectedCallback();
    }
    this.life?.settings.suggest(this.suggested());
  }

  private get isPage(): boolean {
    return this.getAttribute("layout") === "page";
  }

  private suggested(): Partial<SettingsState> {
    const one = <Choice extends string>(name: string, choices: readonly Choice[]): Choice | undefined =>
      choices.find((choice) => choice === this.getAttribute(name));
    const painting = one<Painting>("words", ["smooth", "realtime", "whole"]);
    const announcing = one<Announcing>("announce", ["paragraphs", "end", "off"]);
    const theme = one<Theme>("theme", ["auto", "light", "dark"]);
    const language = this.getAttribute("lang")?.toLowerCase().split("-")[0];
    return {
      ...(painting && { painting }),
      ...(announcing && { announcing }),
      ...(theme && { theme }),
      ...(isLanguage(language) && { language }),
    };
  }

  private async applySettings(): Promise<void> {
    const { life } = this;
    if (!life) return;
    const { theme, language } = life.settings.state;
    life.frame.dataset.theme = theme;
    const wished = language === "auto" ? closestLanguage(navigator.languages) : language;
    if (wished !== this.tongue.language) {
      this.tongue = await loadTongue(wished);
      if (this.life !== life) return;
      life.announcer.tongue = this.tongue;
    }
    const { frame, end: _, ...parts } = life;
    render(
      <App
        parts={{ ...parts, ...this.tongue, root: this.root }}
        layout={this.isPage ? "page" : "chat"}
        onSource={this.onSource}
      />,
      frame,
    );
  }

  private readonly onSource = ({ source }: Shown): void => this.tell("millstream-source", source);

  private remember(place: string | null): void {
    this.place = place;
    if (!isRunPlace(place)) this.tell("millstream-conversation", { conversationId: place });
    if (!this.isPage) return;
    const hash = place === null ? "" : `#${place}`;
    const empty = location.pathname + location.search;
    // A run's place is only that of a conversation until it has a name: it is no step to go back to, the empty page is.
    if (isRunPlace(place)) history.replaceState(null, "", hash);
    else if (isRunPlace(placeOfAddress())) history.replaceState(null, "", empty);
    if (location.hash !== hash) history.pushState(null, "", hash || empty);
  }

  private tell(name: string, detail: object): void {
    this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true }));
  }
}

function placeOfAddress(): string | null {
  return location.hash.slice(1) || null;
}

/** What `api/…` is relative to. */
function baseOf(endpoint: string): string {
  return endpoint === "" || endpoint.endsWith("/") ? endpoint : `${endpoint}/`;
}

function answerOf({ run_id, conversation_id, state, message }: Snapshot): object {
  return { runId: run_id, conversationId: conversation_id, state, content: message.content, sources: message.sources };
}

if (!customElements.get("millstream-chat")) customElements.define("millstream-chat", MillstreamChat);
