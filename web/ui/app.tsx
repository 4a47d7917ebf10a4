import type { JSX } from "preact";
import { useEffect, useReducer, useRef, useState } from "preact/hooks";
import { Announcer } from "./announcer";
import type { Chat } from "./chat";
import { Composer, focusComposer } from "./composer";
import { Conversations } from "./conversations";
import { Icon } from "./icons";
import { Transcript } from "./transcript";

export function App({ chat }: { chat: Chat }): JSX.Element {
  const [, changed] = useReducer((count: number) => count + 1, 0);
  useEffect(() => chat.subscribe(() => changed(undefined)), [chat]);
  const [listOpen, setListOpen] = useState(false);
  const opener = useRef<HTMLButtonElement>(null);
  const { state } = chat;
  const title = state.conversations.find((one) => one.conversation_id === state.conversationId)?.title;

  useEffect(() => {
    document.title = title ? `${title} · Millstream` : "Millstream";
  }, [title]);

  // Esc stops the answer wherever the focus is.
  useEffect(() => {
    const stop = (event: KeyboardEvent): void => {
      if (event.key !== "Escape" || event.defaultPrevented) return;
      if (listOpen) {
        setListOpen(false);
        opener.current?.focus();
      } else void chat.stop();
    };
    addEventListener("keydown", stop);
    return () => removeEventListener("keydown", stop);
  }, [chat, listOpen]);

  return (
    <div class="page">
      <a class="skip" href="#question" onClick={focusComposer}>
        Skip to the question
      </a>
      <Conversations chat={chat} open={listOpen} onClose={() => setListOpen(false)} />
      <div class="chat">
        <header class="bar">
          <button
            ref={opener}
            type="button"
            class="icon-button only-narrow"
            aria-label="Conversations"
            aria-expanded={listOpen}
            aria-controls="conversations"
            onClick={() => setListOpen(!listOpen)}
          >
            <Icon name="menu" />
          </button>
          <h1>{title ?? "New conversation"}</h1>
          <button
            type="button"
            class="icon-button only-narrow"
            aria-label="New conversation"
            onClick={() => {
              void chat.open(null);
              focusComposer();
            }}
          >
            <Icon name="plus" />
          </button>
        </header>
        <main>
          <Transcript chat={chat} />
          <Composer chat={chat} />
        </main>
      </div>
      <Announcer chat={chat} />
    </div>
  );
}
