import type { JSX } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { textOf, type UserMessage } from "../core/api";
import { IconButton } from "./icons";
import { isKey } from "./keys";
import { useUi } from "./ui";
import { Versions } from "./versions";

interface Props {
  message: UserMessage;
  versions: readonly UserMessage[];
}

/** What was asked. It can be asked in other words; the versions stand beside each other. */
export function Question({ message, versions }: Props): JSX.Element {
  const { chat, t } = useUi();
  const [editing, setEditing] = useState(false);
  const pencil = useRef<HTMLDivElement>(null);
  const busy = chat.state.following !== null;
  const text = textOf(message.content);

  const edited = useRef(false);
  useLayoutEffect(() => {
    if (edited.current && !editing) pencil.current?.querySelector("button")?.focus();
    edited.current = editing;
  }, [editing]);

  return (
    <article class={editing ? "turn question editing" : "turn question"} part="question">
      <h2 class="hidden">{t("asked")}</h2>
      {editing ? (
        <Editor
          text={text}
          busy={busy}
          onCancel={() => setEditing(false)}
          onAsk={(words) => {
            setEditing(false);
            void chat.edit(message, words);
          }}
        />
      ) : (
        <>
          <div class="question-line" ref={pencil}>
            <IconButton
              icon="pencil"
              name={t("edit_question")}
              disabled={busy || chat.state.conversationId === null}
              onClick={() => setEditing(true)}
            />
            <p class="bubble" dir="auto">
              {text}
            </p>
          </div>
          {versions.length > 1 && <Versions message={message} versions={versions} kind="question" />}
        </>
      )}
    </article>
  );
}

interface EditorProps {
  text: string;
  /** An answer is being made: what is typed waits here for its end. */
  busy: boolean;
  onCancel: () => void;
  onAsk: (words: string) => void;
}

function Editor({ text, busy, onCancel, onAsk }: EditorProps): JSX.Element {
  const { t } = useUi();
  const [words, setWords] = useState(text);
  const field = useRef<HTMLTextAreaElement>(null);
  useLayoutEffect(() => {
    field.current?.focus();
    field.current?.setSelectionRange(text.length, text.length);
  }, []);
  const ready = !busy && words.trim() !== "";
  const ask = (): void => {
    if (ready) onAsk(words.trim());
  };
  return (
    <form
      class="editor"
      onSubmit={(event) => {
        event.preventDefault();
        ask();
      }}
    >
      <textarea
        ref={field}
        rows={2}
        dir="auto"
        aria-label={t("edit_question")}
        value={words}
        onInput={(event) => setWords(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (isKey(event, "Escape")) {
            event.preventDefault();
            onCancel();
          } else if (isKey(event, "Enter") && !event.shiftKey) {
            event.preventDefault();
            ask();
          }
        }}
      />
      <span class="buttons">
        <button type="button" class="small" onClick={onCancel}>
          {t("cancel")}
        </button>
        <button type="submit" class="small primary" disabled={!ready}>
          {t("ask_again")}
        </button>
      </span>
    </form>
  );
}
