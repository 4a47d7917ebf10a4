import type { JSX, RefObject } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { AssistantMessage, Feedback } from "../core/api";
import { COPIED_MS, copyText } from "./clipboard";
import { duration } from "./duration";
import { Icon, IconButton } from "./icons";
import { isKey } from "./keys";
import { useUi } from "./ui";
import { Versions } from "./versions";

interface Props {
  message: AssistantMessage;
  versions: readonly AssistantMessage[];
  last: boolean;
  recorded: boolean;
}

/** What can be done with an answer that is there. */
export function Actions({ message, versions, last, recorded }: Props): JSX.Element {
  const { chat, t } = useUi();
  const { run } = message;
  const [open, setOpen] = useState<"details" | "feedback" | null>(null);
  const [copied, copy] = useCopy();
  const busy = chat.state.following !== null;
  const rating = message.feedback?.rating;
  const toolbar = useRef<HTMLDivElement>(null);
  const rate = (chosen: Feedback["rating"]): void => {
    const next = rating === chosen ? null : chosen;
    void chat.rate(message, next === null ? null : { rating: next });
    setOpen(next === null ? null : "feedback");
  };

  return (
    <>
      <div ref={toolbar} class="actions" role="toolbar" aria-label={t("answer_actions")}>
        {versions.length > 1 && <Versions message={message} versions={versions} kind="answer" />}
        {run.message.content !== "" && (
          <IconButton
            icon={copied ? "check" : "copy"}
            name={copied ? t("copied") : t("copy")}
            onClick={() => copy(run.message.content)}
          />
        )}
        {last && !recorded && run.state !== "failed" && (
          <IconButton icon="again" name={t("regenerate")} disabled={busy} onClick={() => void chat.regenerate(message)} />
        )}
        {run.message.content !== "" && (
          <>
            <IconButton icon="good" name={t("good")} pressed={rating === "up"} onClick={() => rate("up")} />
            <IconButton icon="bad" name={t("bad")} pressed={rating === "down"} onClick={() => rate("down")} />
          </>
        )}
        <IconButton
          icon="info"
          name={t("details")}
          expanded={open === "details"}
          onClick={() => setOpen(open === "details" ? null : "details")}
        />
      </div>
      {open === "details" && <Details message={message} />}
      {open === "feedback" && rating !== undefined && (
        <Comment
          rating={rating}
          comment={message.feedback?.comment ?? ""}
          onDone={(comment) => {
            setOpen(null);
            toolbar.current?.querySelector<HTMLElement>("[aria-pressed=true]")?.focus();
            if (comment !== null) void chat.rate(message, { rating, ...(comment !== "" && { comment }) });
          }}
        />
      )}
    </>
  );
}

/** What opens at the end of what is on screen is brought into sight. */
function useInSight<Shown extends HTMLElement>(): RefObject<Shown | null> {
  const shown = useRef<Shown>(null);
  useEffect(() => shown.current?.scrollIntoView({ block: "nearest" }), []);
  return shown;
}

/** Usage, model and times of an answer. */
function Details({ message }: { message: AssistantMessage }): JSX.Element {
  const ui = useUi();
  const list = useInSight<HTMLDListElement>();
  const { t, language, chat } = ui;
  const { run } = message;
  const { usage } = run.message;
  const times = chat.timesOf(run.run_id);
  const number = new Intl.NumberFormat(language);
  const rows: [string, string][] = [
    [t("model"), run.model],
    ...(usage
      ? ([
          [t("tokens_in"), `${usage.estimated ? "≈ " : ""}${number.format(usage.input_tokens)}`],
          [t("tokens_out"), `${usage.estimated ? "≈ " : ""}${number.format(usage.output_tokens)}`],
        ] satisfies [string, string][])
      : []),
    ...(usage?.reasoning_tokens ? ([[t("tokens_reasoning"), number.format(usage.reasoning_tokens)]] as [string, string][]) : []),
    ...(usage?.cached_tokens ? ([[t("tokens_cached"), number.format(usage.cached_tokens)]] as [string, string][]) : []),
    ...(times?.firstWord !== undefined ? ([[t("first_word"), duration(times.firstWord, ui)]] as [string, string][]) : []),
    ...(times?.whole !== undefined ? ([[t("whole_time"), duration(times.whole, ui)]] as [string, string][]) : []),
    [t("asked_at"), new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" }).format(run.created)],
  ];
  return (
    <dl ref={list} class="details" part="details">
      {rows.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>
            <bdi>{value}</bdi>
          </dd>
        </div>
      ))}
    </dl>
  );
}

interface CommentProps {
  rating: Feedback["rating"];
  comment: string;
  /** The comment; null leaves it as it was. */
  onDone: (comment: string | null) => void;
}

function Comment({ rating, comment, onDone }: CommentProps): JSX.Element {
  const { t } = useUi();
  const field = useRef<HTMLTextAreaElement>(null);
  useEffect(() => field.current?.focus(), [rating]);
  const form = useInSight<HTMLFormElement>();
  return (
    <form
      ref={form}
      class="comment"
      onSubmit={(event) => {
        event.preventDefault();
        onDone(field.current?.value.trim() ?? "");
      }}
      onKeyDown={(event) => {
        if (!isKey(event, "Escape")) return;
        event.preventDefault();
        onDone(null);
      }}
    >
      <label>
        <span>
          <Icon name={rating === "up" ? "good" : "bad"} />
          {t(rating === "up" ? "comment_good" : "comment_bad")}
        </span>
        <textarea ref={field} rows={2} dir="auto" maxLength={2000} defaultValue={comment} />
      </label>
      <span class="buttons">
        <button type="button" class="small" onClick={() => onDone(null)}>
          {t("no_comment")}
        </button>
        <button type="submit" class="small primary">
          {t("send_comment")}
        </button>
      </span>
    </form>
  );
}

/** Copies text and says for a moment that it did. */
function useCopy(): [boolean, (text: string) => void] {
  const ui = useUi();
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), COPIED_MS);
    return () => clearTimeout(timer);
  }, [copied]);
  const copy = (text: string): void => {
    void copyText(text, ui).then(setCopied);
  };
  return [copied, copy];
}
