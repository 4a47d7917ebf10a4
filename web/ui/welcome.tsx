import type { JSX } from "preact";
import type { ServerStatus } from "../core/api";
import { Icon } from "./icons";
import { useUi } from "./ui";

/** The empty page: what can be asked, of which documents, and who answers. */
export function Welcome(): JSX.Element {
  const { chat, t } = useUi();
  const { status } = chat.state;
  return (
    <div class="welcome" part="welcome">
      <h2>{t("welcome")}</h2>
      {status && <Documents documents={status.documents} />}
      {status && status.examples.length > 0 && (
        <ul class="examples" aria-label={t("examples")}>
          {status.examples.map((question) => (
            <li key={question}>
              <button type="button" dir="auto" onClick={() => void chat.ask(question)}>
                <Icon name="spark" />
                <span>{question}</span>
              </button>
            </li>
          ))}
        </ul>
      )}
      {status?.quoting && <Quoting status={status} />}
    </div>
  );
}

function Quoting({ status }: { status: ServerStatus }): JSX.Element {
  const { chat, t } = useUi();
  return (
    <section class="notice" aria-labelledby="quoting">
      <h3 id="quoting">
        <Icon name="quote" />
        {t("quoting_title")}
      </h3>
      <p>{t("quoting_text")}</p>
      <pre tabIndex={0} role="group" aria-label={t("quoting_how")} dir="ltr">
        <code>MILLSTREAM_MODEL=openai/gpt-4o-mini OPENAI_API_KEY=… millstream serve</code>
      </pre>
      {status.recordings.length > 0 && (
        <>
          <p>{t("recordings_intro")}</p>
          <ul class="recordings">
            {status.recordings.map((recording) => (
              <li key={recording.name}>
                <button
                  type="button"
                  onClick={() =>
                    void chat.ask(recording.question, { answer: "recording", options: { recording: recording.name } })
                  }
                >
                  <Icon name="play" />
                  <span>
                    <span class="recording-what">{t("recording_watch")}</span>
                    <span class="recording-title">{recording.title}</span>
                  </span>
                </button>
              </li>
            ))}
          </ul>
        </>
      )}
    </section>
  );
}

function Documents({ documents }: { documents: ServerStatus["documents"] }): JSX.Element {
  const { t } = useUi();
  const { state, count, done, total, failed } = documents;
  return (
    <div class="documents">
      {state === "indexing" && (
        <p>
          <label for="indexing">{t("indexing", { done, total })}</label>
          <progress id="indexing" max={total || 1} value={done} />
        </p>
      )}
      {state === "ready" && <p>{t("documents_ready", { n: count })}</p>}
      {state === "none" && <p>{t("documents_none")}</p>}
      {failed.length > 0 && (
        <details class="fold">
          <summary>{t("files_failed", { n: failed.length })}</summary>
          <ul class="failed">
            {failed.map(({ uri, reason }) => (
              <li key={uri}>
                <strong>
                  <bdi>{uri}</bdi>
                </strong>
                : <bdi>{reason}</bdi>
              </li>
            ))}
          </ul>
        </details>
      )}
    </div>
  );
}
