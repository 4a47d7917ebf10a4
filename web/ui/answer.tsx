import type { JSX } from "preact";
import { useMemo, useRef, useState } from "preact/hooks";
import type { AssistantMessage } from "../core/api";
import type { SourceFields } from "../core/events";
import type { Message } from "../core/fold";
import type { Chat } from "./chat";
import { Icon } from "./icons";
import { Markdown, type Mark } from "./markdown";
import { Ending } from "./ending";
import { placeInDocument, Sources } from "./sources";
import { Steps } from "./steps";

interface Props {
  chat: Chat;
  message: AssistantMessage;
  /** All answers to the same question, this one included. */
  versions: readonly AssistantMessage[];
  last: boolean;
}

export function Answer({ chat, message, versions, last }: Props): JSX.Element {
  const { run } = message;
  const made = run.message;
  const running = run.state === "running";
  const [shown, setShown] = useState<{ n: number; from: HTMLElement } | null>(null);
  const article = useRef<HTMLElement>(null);
  const marks = useMarks(made, (n, from) => setShown({ n, from }));
  const recording = made.data?.find((item) => item.name === "recording");
  const busy = chat.state.following !== null;

  return (
    <article ref={article} class="turn answer" aria-busy={running}>
      <h2 class="hidden">Millstream answered</h2>
      {recording && (
        <p class="label">
          <Icon name="play" />
          Recording: this answer was made earlier{recordedBy(recording.data)} and is played back at its own pace.
        </p>
      )}
      <Steps steps={made.steps} running={running} unfolded={running && made.content === ""} />
      {made.sources.length > 0 && <Sources sources={made.sources} shown={shown} onLeave={() => shown?.from.focus()} />}
      {made.reasoning && (
        <details class="fold">
          <summary>{running && made.content === "" ? "Thinking…" : "Reasoning"}</summary>
          <div class="reasoning">
            <Markdown text={made.reasoning} />
          </div>
        </details>
      )}
      {running && made.content === "" && made.steps.every((step) => step.state === "done") && (
        <p class="waiting" aria-hidden="true">
          <span />
          <span />
          <span />
        </p>
      )}
      <div class="words">
        <Markdown text={made.content} marks={marks} />
      </div>
      <Ending chat={chat} message={message} />
      {!running && (
        <div class="actions">
          {versions.length > 1 && <Versions chat={chat} message={message} versions={versions} />}
          {last && run.state !== "failed" && !recording && (
            <button type="button" class="small" disabled={busy} onClick={() => void chat.regenerate(message)}>
              <Icon name="again" />
              Regenerate
            </button>
          )}
        </div>
      )}
      {last && !running && made.followups.length > 0 && (
        <ul class="followups" aria-label="Suggested questions">
          {made.followups.map((question) => (
            <li key={question}>
              <button type="button" disabled={busy} onClick={() => void chat.ask(question)}>
                {question}
              </button>
            </li>
          ))}
        </ul>
      )}
    </article>
  );
}

/** A button at the end of each statement that rests on a source. */
function useMarks(made: Message, onShow: (n: number, from: HTMLElement) => void): Mark[] {
  return useMemo(() => {
    const sources = new Map(made.sources.map((source) => [source.n, source]));
    const seen = new Set<string>();
    return made.citations.flatMap(({ n, end }): Mark[] => {
      const source = sources.get(n);
      const place = `${n} ${end}`;
      if (!source || seen.has(place)) return [];
      seen.add(place);
      return [{ end, node: () => <Citation key={place} source={source} onShow={onShow} /> }];
    });
  }, [made.citations, made.sources]);
}

interface CitationProps {
  source: SourceFields;
  onShow: (n: number, from: HTMLElement) => void;
}

function Citation({ source, onShow }: CitationProps): JSX.Element {
  const name = `Source ${source.n}: ${placeInDocument(source)}`;
  return (
    <button
      type="button"
      class="citation"
      aria-label={name}
      title={placeInDocument(source)}
      onClick={(event) => onShow(source.n, event.currentTarget)}
    >
      {source.n}
    </button>
  );
}

function Versions({ chat, message, versions }: Pick<Props, "chat" | "message" | "versions">): JSX.Element {
  const at = versions.indexOf(message);
  const show = (step: number): void => {
    const other = versions[at + step];
    if (other?.parent_id !== undefined) chat.choose(other.parent_id, other.message_id);
  };
  return (
    <span class="versions">
      <button type="button" class="icon-button" aria-label="Earlier answer" disabled={at <= 0} onClick={() => show(-1)}>
        <Icon name="back" />
      </button>
      <span>
        <span class="hidden">Answer </span>
        {at + 1} of {versions.length}
      </span>
      <button
        type="button"
        class="icon-button"
        aria-label="Later answer"
        disabled={at === versions.length - 1}
        onClick={() => show(1)}
      >
        <Icon name="forward" />
      </button>
    </span>
  );
}

/** Names the model of the recorded run, when the recording tells it. */
function recordedBy(data: unknown): string {
  const model = typeof data === "object" && data !== null && "model" in data ? data.model : undefined;
  if (typeof model !== "string") return "";
  return model.startsWith("scripted/") ? ", with a scripted model," : `, with ${model},`;
}
