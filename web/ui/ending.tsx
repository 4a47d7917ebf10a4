import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { AssistantMessage } from "../core/api";
import type { RunError } from "../core/fold";
import { useCountdown } from "./duration";
import type { Following } from "./follower";
import { Icon } from "./icons";
import { useUi } from "./ui";

/** What there is to say below the words: why they ended early, or that they are being waited for. */
export function Ending({ message }: { message: AssistantMessage }): JSX.Element | null {
  const { chat, t } = useUi();
  const { state, message: made, run_id: runId } = message.run;
  const { following } = chat.state;
  switch (state) {
    case "running":
      return following?.runId === runId ? <Connection following={following} begun={message.run.seq > 0} /> : null;
    case "stopped":
      return <Stopped message={message} />;
    case "failed":
      return made.error ? <Failure message={message} error={made.error} /> : null;
    case "finished":
      if (made.reason === "length") return <Note text={t("ended_length")} message={message} />;
      if (made.reason === "content_filter") return <Note text={t("ended_filter")} />;
      if (made.reason === undefined) return <Note text={t("ended_incomplete")} />;
      if (made.sources.length === 0 && made.steps.some((step) => step.name === "search")) {
        return <Note text={t("no_sources")} />;
      }
      return null;
  }
}

function Note({ text, message }: { text: string; message?: AssistantMessage }): JSX.Element {
  return (
    <div class="note">
      <p>
        <Icon name="info" />
        {text}
      </p>
      {message && <Continue message={message} />}
    </div>
  );
}

function Stopped({ message }: { message: AssistantMessage }): JSX.Element {
  const { t } = useUi();
  const { content, data } = message.run.message;
  // A recording has no more to say than was recorded.
  const isRecording = data?.some(({ name }) => name === "recording") ?? false;
  return (
    <div class="note">
      <p>
        <Icon name="stop" />
        {t("stopped")}
      </p>
      {content !== "" && !isRecording && <Continue message={message} />}
    </div>
  );
}

function Continue({ message, disabled }: { message: AssistantMessage; disabled?: boolean }): JSX.Element {
  const { chat, t } = useUi();
  return (
    <button
      type="button"
      class="small"
      disabled={disabled || chat.state.following !== null}
      onClick={() => void chat.goOn(message)}
    >
      {t("continue")}
    </button>
  );
}

function Connection({ following: { connection, detour }, begun }: { following: Following; begun: boolean }): JSX.Element | null {
  const { t } = useUi();
  const online = useOnline();
  if (online && connection !== "resuming") {
    if (detour === undefined) return null;
    return (
      <p class="connection">
        <Icon name="info" />
        {detour === null ? t("held_back") : t("detour")}
      </p>
    );
  }
  return (
    <p class="connection">
      {online ? <span class="spinner" aria-hidden="true" /> : <Icon name="offline" />}
      {online ? t("resuming") : t(begun ? "offline" : "offline_unsent")}
    </p>
  );
}

function Failure({ message, error }: { message: AssistantMessage; error: RunError }): JSX.Element {
  const { chat, t } = useUi();
  const wait = useCountdown(error.retry_after ?? 0);
  const partial = message.run.message.content !== "";
  return (
    <div class="failure" part="failure">
      <p>
        <Icon name="warning" />
        <span>
          <strong>{error.code === "interrupted" ? t("interrupted") : t("failed")}</strong> <bdi>{error.message}</bdi>
          {partial && error.code !== "interrupted" && ` ${t("partial_kept")}`}
        </span>
      </p>
      <span class="buttons">
        {partial && <Continue message={message} disabled={wait > 0} />}
        <button
          type="button"
          class="small"
          disabled={chat.state.following !== null || wait > 0}
          onClick={() => void chat.regenerate(message)}
        >
          {wait > 0 ? t("try_again_in", { n: wait }) : t("try_again")}
        </button>
      </span>
    </div>
  );
}

export function useOnline(): boolean {
  const [online, setOnline] = useState(navigator.onLine);
  useEffect(() => {
    const update = (): void => setOnline(navigator.onLine);
    addEventListener("online", update);
    addEventListener("offline", update);
    return () => {
      removeEventListener("online", update);
      removeEventListener("offline", update);
    };
  }, []);
  return online;
}
