import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { Icon, IconButton } from "./icons";
import { isKey } from "./keys";
import type { Upload } from "./uploads";
import { useStore, useUi } from "./ui";

export function Composer({ onOptions }: { onOptions: () => void }): JSX.Element {
  const { chat, uploads, t, announcer } = useUi();
  const { following, loaded, returned, conversationId } = chat.state;
  const [draft, setDraft] = useState(chat.draft);
  const field = useRef<HTMLTextAreaElement>(null);
  const picker = useRef<HTMLInputElement>(null);

  const write = (text: string): void => {
    setDraft(text);
    chat.draft = text;
  };

  // Each conversation has its own draft. One that gets its name takes along what is being typed.
  const shownId = useRef(conversationId);
  useLayoutEffect(() => {
    const isNamed = shownId.current === null && following !== null;
    shownId.current = conversationId;
    if (!isNamed) setDraft(chat.draft);
  }, [conversationId]);

  useEffect(() => {
    if (returned === null) return;
    write(draft === "" ? returned : `${returned}\n\n${draft}`);
    chat.takeReturned();
    field.current?.focus();
  }, [chat, returned]);

  // The field grows with its text; where the browser does not size it by its content, its height is read back.
  useLayoutEffect(() => {
    const area = field.current;
    if (!area || CSS.supports("field-sizing", "content")) return;
    area.style.height = "auto";
    area.style.height = `${area.scrollHeight}px`;
  }, [draft]);

  useEffect(() => {
    if (matchMedia("(pointer: fine)").matches && document.activeElement === document.body) field.current?.focus();
  }, [conversationId === null]);

  const ask = (): void => {
    const question = draft.trim();
    field.current?.focus();
    if (question === "") return;
    if (following !== null) announcer.say(t("queued"));
    else if (!loaded) announcer.say(t("queue_loading"));
    write("");
    void chat.ask(question);
  };
  const addFiles = (files: FileList | null | undefined): void => {
    if (files && files.length > 0) uploads.add(files);
  };

  return (
    <form
      class="composer"
      part="composer"
      onSubmit={(event) => {
        event.preventDefault();
        ask();
      }}
    >
      <Queue />
      <Files />
      <div class="composer-field">
        <label class="hidden" for="question">
          {t("question_label")}
        </label>
        <textarea
          id="question"
          ref={field}
          rows={1}
          dir={draft === "" ? undefined : "auto"}
          value={draft}
          placeholder={following === null ? t("placeholder") : t("placeholder_busy")}
          aria-describedby="composer-keys"
          enterkeyhint="send"
          onInput={(event) => write(event.currentTarget.value)}
          onPaste={(event) => {
            if (!event.clipboardData?.files.length) return;
            event.preventDefault();
            addFiles(event.clipboardData.files);
          }}
          onKeyDown={(event) => {
            if (!isKey(event, "Enter") || event.shiftKey) return;
            event.preventDefault();
            ask();
          }}
        />
        <div class="composer-buttons">
          <input
            ref={picker}
            type="file"
            multiple
            hidden
            tabIndex={-1}
            aria-hidden="true"
            onChange={(event) => {
              addFiles(event.currentTarget.files);
              event.currentTarget.value = "";
            }}
          />
          <IconButton icon="clip" name={t("add_documents")} onClick={() => picker.current?.click()} />
          <IconButton icon="gear" name={t("options")} onClick={onOptions} />
          <span class="grow" />
          {following !== null && (
            <button
              type="button"
              class="round stop"
              aria-label={t("stop")}
              title={t("stop")}
              disabled={following.stopping}
              onClick={() => {
                void chat.stop();
                field.current?.focus();
              }}
            >
              <Icon name="stop" />
            </button>
          )}
          {(following === null || draft.trim() !== "") && (
            <button
              type="submit"
              class="round"
              aria-label={following === null ? t("ask") : t("ask_later")}
              title={following === null ? t("ask") : t("ask_later")}
              disabled={draft.trim() === ""}
            >
              <Icon name={following === null ? "send" : "plus"} />
            </button>
          )}
        </div>
      </div>
      <p id="composer-keys" class="keys">
        {t("keys")}
      </p>
    </form>
  );
}

/** Questions that wait for the answer before them. */
function Queue(): JSX.Element | null {
  const { chat, t, focusQuestion } = useUi();
  const { queue, queuePaused, following, loaded } = chat.state;
  if (queue.length === 0) return null;
  const paused = (queuePaused || queue.some(({ sent }) => sent)) && following === null && loaded;
  return (
    <section class="queue" part="queue" aria-label={t("queue")}>
      <p class="queue-head">
        <Icon name="clock" />
        {t(paused ? "queue_paused" : loaded ? "queue_waits" : "queue_loading")}
      </p>
      <ol>
        {queue.map(({ id, question }) => (
          <li key={id}>
            <span class="queue-text" dir="auto">
              {question}
            </span>
            {paused && (
              <button
                type="button"
                class="small"
                onClick={() => {
                  void chat.askQueued(id);
                  focusQuestion();
                }}
              >
                {t("ask_now")}
              </button>
            )}
            <IconButton icon="pencil" name={t("queue_edit", { question })} onClick={() => chat.editQueued(id)} />
            <IconButton icon="close" name={t("queue_remove", { question })} onClick={() => chat.unqueue(id)} />
          </li>
        ))}
      </ol>
    </section>
  );
}

function Files(): JSX.Element | null {
  const { uploads, t } = useUi();
  const { files } = useStore(uploads);
  if (files.length === 0) return null;
  return (
    <ul class="files" part="files" aria-label={t("files")}>
      {files.map((file) => (
        <li key={file.id} class={`file ${file.state}`}>
          <Icon name={file.state === "failed" ? "warning" : file.state === "ready" ? "check" : "file"} />
          <span class="file-name">
            <bdi>{file.name}</bdi>
          </span>
          <FileState file={file} />
          <IconButton icon="close" name={t("file_dismiss", { name: file.name })} onClick={() => uploads.dismiss(file.id)} />
        </li>
      ))}
    </ul>
  );
}

function FileState({ file }: { file: Upload }): JSX.Element {
  const { t, announcer } = useUi();
  useEffect(() => {
    if (file.state === "ready") announcer.say([file.name, t("file_ready"), file.remark ?? ""].join(" ").trim());
  }, [file.state]);
  switch (file.state) {
    case "sending":
      return <progress aria-label={t("file_sending", { name: file.name })} max={1} value={file.sent} />;
    case "reading":
      return (
        <span class="file-state">
          <span class="spinner" aria-hidden="true" /> {t("file_reading")}
        </span>
      );
    case "ready":
      return (
        <span class="file-state">
          {t("file_ready")}
          {file.remark !== undefined && ` ${file.remark}`}
        </span>
      );
    case "failed":
      return (
        <span class="file-state" role="alert">
          {file.reason}
        </span>
      );
  }
}
