import type { JSX } from "preact";
import type { ServerStatus } from "../core/api";
import type { Chat } from "./chat";
import { Icon } from "./icons";

/** The empty page: what can be asked, of which documents, and who answers. */
export function Welcome({ chat }: { chat: Chat }): JSX.Element {
  const { status, following } = chat.state;
  return (
    <div class="welcome">
      <h2>Ask your documents</h2>
      {status && <Documents documents={status.documents} />}
      {status?.quoting && (
        <section class="notice" aria-labelledby="quoting">
          <h3 id="quoting">Quoting your documents, no language model configured</h3>
          <p>
            You get the passages that fit best, word for word and with their sources. For written answers, start
            Millstream with a model:
          </p>
          <pre tabIndex={0} role="group" aria-label="How to add a model">
            <code>MILLSTREAM_MODEL=openai/gpt-4o-mini OPENAI_API_KEY=… millstream serve</code>
          </pre>
          {status.recordings.length > 0 && (
            <>
              <p>Or see first what that looks like:</p>
              <ul class="recordings">
                {status.recordings.map((recording) => (
                  <li key={recording.name}>
                    <button
                      type="button"
                      disabled={following !== null}
                      onClick={() =>
                        void chat.ask(recording.question, {
                          answer: "recording",
                          options: { recording: recording.name },
                        })
                      }
                    >
                      <Icon name="play" />
                      <span>
                        <span class="recording-what">Watch a recorded answer</span>
                        <span class="recording-title">{recording.title}</span>
                      </span>
                    </button>
                  </li>
                ))}
              </ul>
            </>
          )}
        </section>
      )}
    </div>
  );
}

function Documents({ documents }: { documents: ServerStatus["documents"] }): JSX.Element {
  const { state, count, done, total, failed } = documents;
  return (
    <div class="documents">
      {state === "indexing" && (
        <p>
          <label for="indexing">
            Reading your documents: {done} of {total}. You can ask already.
          </label>
          <progress id="indexing" max={total || 1} value={done} />
        </p>
      )}
      {state === "ready" && <p>{count === 1 ? "1 document is" : `${count.toLocaleString()} documents are`} ready.</p>}
      {state === "none" && (
        <p>
          There are no documents yet. Start with a folder of them: <code>millstream serve FOLDER</code>
        </p>
      )}
      {failed.length > 0 && (
        <details class="fold">
          <summary>{failed.length === 1 ? "1 file could not be read" : `${failed.length} files could not be read`}</summary>
          <ul>
            {failed.map(({ name, reason }) => (
              <li key={name}>
                <strong>{name}</strong>: {reason}
              </li>
            ))}
          </ul>
        </details>
      )}
    </div>
  );
}
