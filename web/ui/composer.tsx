import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Chat } from "./chat";
import { Icon } from "./icons";

export function Composer({ chat }: { chat: Chat }): JSX.Element {
  const { following, returned, conversationId } = chat.state;
  const [draft, setDraft] = useState("");
  const field = useRef<HTMLTextAreaElement>(null);

  useEffect(() => {
    if (returned === null) return;
    setDraft((current) => current || returned);
    chat.takeReturned();
  }, [chat, returned]);

  // The field grows with its text; its height is read back because not every browser sizes it by content.
  useLayoutEffect(() => {
    const area = field.current;
    if (!area) return;
    area.style.height = "auto";
    area.style.height = `${area.scrollHeight}px`;
  }, [draft]);

  useEffect(() => {
    if (matchMedia("(pointer: fine)").matches) field.current?.focus();
  }, [conversationId === null]);

  const ask = (): void => {
    const question = draft.trim();
    field.current?.focus();
    if (question === "" || following !== null) return;
    setDraft("");
    void chat.ask(question);
  };

  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        ask();
      }}
    >
      <div class="composer-field">
        <label class="hidden" for="question">
          Your question
        </label>
        <textarea
          id="question"
          ref={field}
          rows={1}
          value={draft}
          placeholder="Ask about your documents"
          aria-describedby="composer-keys"
          enterkeyhint="send"
          onInput={(event) => setDraft(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
            event.preventDefault();
            ask();
          }}
        />
        {following === null ? (
          <button type="submit" class="round" aria-label="Ask" disabled={draft.trim() === ""}>
            <Icon name="send" />
          </button>
        ) : (
          <button
            type="button"
            class="round stop"
            aria-label="Stop the answer"
            disabled={following.stopping}
            onClick={() => {
              void chat.stop();
              field.current?.focus();
            }}
          >
            <Icon name="stop" />
          </button>
        )}
      </div>
      <p id="composer-keys" class="keys">
        <kbd>Enter</kbd> asks, <kbd>Shift</kbd>+<kbd>Enter</kbd> starts a line, <kbd>Esc</kbd> stops the answer
      </p>
    </form>
  );
}

/** The address must go on naming the conversation, so the link itself is not followed. */
export function focusComposer(event?: Event): void {
  event?.preventDefault();
  document.getElementById("question")?.focus();
}
