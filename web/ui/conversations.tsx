import type { JSX } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import type { ConversationSummary } from "../core/api";
import type { Chat } from "./chat";
import { focusComposer } from "./composer";
import { Icon } from "./icons";

interface Props {
  chat: Chat;
  open: boolean;
  onClose: () => void;
}

/** The list beside the chat; on a narrow screen it lies over it while `open`. */
export function Conversations({ chat, open, onClose }: Props): JSX.Element {
  const { conversations, conversationId, streaming, status } = chat.state;
  const show = (id: string | null): void => {
    void chat.open(id);
    onClose();
    focusComposer();
  };
  return (
    <>
      <nav id="conversations" class={open ? "side side-open" : "side"} aria-label="Conversations">
        <div class="side-head">
          <span class="brand">
            <img src="./icon.svg" alt="" width="28" height="28" />
            Millstream
          </span>
          <button type="button" class="icon-button only-narrow" aria-label="Close the list" onClick={onClose}>
            <Icon name="close" />
          </button>
        </div>
        <button type="button" class="wide-button" onClick={() => show(null)}>
          <Icon name="plus" />
          New conversation
        </button>
        {conversations.length === 0 ? (
          <p class="quiet side-empty">Your conversations will be listed here.</p>
        ) : (
          <ul class="conversations">
            {conversations.map((one) => (
              <Entry
                key={one.conversation_id}
                chat={chat}
                one={one}
                current={one.conversation_id === conversationId}
                onOpen={() => show(one.conversation_id)}
              />
            ))}
          </ul>
        )}
        <div class="side-foot">
          <label class="switch">
            <input
              type="checkbox"
              role="switch"
              checked={streaming}
              onChange={(event) => chat.setStreaming(event.currentTarget.checked)}
            />
            Show answers as they are written
          </label>
          {status && (
            <p class="quiet">
              {status.quoting ? "No language model" : status.model} · {status.version}
            </p>
          )}
        </div>
      </nav>
      {open && <div class="veil" onClick={onClose} />}
    </>
  );
}

interface EntryProps {
  chat: Chat;
  one: ConversationSummary;
  current: boolean;
  onOpen: () => void;
}

function Entry({ chat, one, current, onOpen }: EntryProps): JSX.Element {
  const [mode, setMode] = useState<"shown" | "renaming" | "deleting">("shown");
  const id = one.conversation_id;
  if (mode === "renaming") {
    return (
      <li>
        <Rename
          title={one.title}
          onDone={(title) => {
            setMode("shown");
            if (title !== null && title !== one.title) void chat.rename(id, title);
          }}
        />
      </li>
    );
  }
  if (mode === "deleting") {
    return (
      <li class="confirm">
        <span>Delete “{one.title}”?</span>
        <span class="confirm-buttons">
          <button type="button" class="small danger" ref={focusAtOnce} onClick={() => void chat.remove(id)}>
            Delete
          </button>
          <button type="button" class="small" onClick={() => setMode("shown")}>
            Keep
          </button>
        </span>
      </li>
    );
  }
  return (
    <li class={current ? "conversation current" : "conversation"}>
      <a
        href={`#${id}`}
        title={one.title}
        aria-current={current ? "page" : undefined}
        onClick={(event) => {
          if (event.ctrlKey || event.metaKey || event.shiftKey) return;
          event.preventDefault();
          onOpen();
        }}
      >
        {one.title || "Untitled"}
      </a>
      <button type="button" class="icon-button" aria-label={`Rename ${one.title}`} onClick={() => setMode("renaming")}>
        <Icon name="pencil" />
      </button>
      <button type="button" class="icon-button" aria-label={`Delete ${one.title}`} onClick={() => setMode("deleting")}>
        <Icon name="bin" />
      </button>
    </li>
  );
}

function Rename({ title, onDone }: { title: string; onDone: (title: string | null) => void }): JSX.Element {
  const field = useRef<HTMLInputElement>(null);
  useLayoutEffect(() => field.current?.select(), []);
  return (
    <form
      class="rename"
      onSubmit={(event) => {
        event.preventDefault();
        onDone(field.current?.value.trim() || null);
      }}
    >
      <input
        ref={field}
        aria-label="Title"
        defaultValue={title}
        maxLength={200}
        onKeyDown={(event) => {
          if (event.key !== "Escape") return;
          event.preventDefault();
          onDone(null);
        }}
      />
      <button type="submit" class="icon-button" aria-label="Save the title">
        <Icon name="check" />
      </button>
    </form>
  );
}

function focusAtOnce(button: HTMLButtonElement | null): void {
  button?.focus();
}
