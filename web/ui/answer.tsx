import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { AssistantMessage } from "../core/api";
import type { Following } from "./follower";
import { Actions } from "./actions";
import { useElapsed, duration, Waited } from "./duration";
import { Ending } from "./ending";
import { Icon } from "./icons";
import { Sources } from "./sources";
import { Steps } from "./steps";
import { useStore, useUi } from "./ui";
import { Unsupported } from "./unsupported";
import { Reasoning, Words } from "./words";

interface Props {
  message: AssistantMessage;
  /** All answers to the same question, this one included. */
  versions: readonly AssistantMessage[];
  last: boolean;
}

/** A pause in the words that is longer than this is told. */
const LONG_PAUSE_MS = 10_000;

export function Answer({ message, versions, last }: Props): JSX.Element {
  const { chat, settings, t } = useUi();
  const { painting } = useStore(settings);
  const { run } = message;
  const made = run.message;
  const running = run.state === "running";
  // The last words may still be on their way to the screen when the run has ended.
  const [whole, setWhole] = useState(!running);
  const done = !running && whole;
  const recording = made.data?.find((item) => item.name === "recording");
  const wordless = made.content === "" || (running && painting === "whole");
  // Of a model that is thinking its reasoning tells that one waits.
  const thinks = running && made.reasoning !== undefined && made.content === "";
  const waits = running && wordless && !thinks && made.steps.every((step) => step.state === "done");
  const { following } = chat.state;
  const busy = following !== null;
  const quoted = run.model === "extractive" && made.sources.length > 0 && !recording;

  return (
    <article class="turn answer" part="answer" aria-busy={!done}>
      <h2 class="hidden">{t("answered")}</h2>
      {recording && (
        <p class="label">
          <Icon name="play" />
          {t("recording_label", { model: recordedModel(recording.data, t("scripted_model")) })}
        </p>
      )}
      <Steps run={run} unfolded={running && wordless} />
      {made.reasoning !== undefined && <Reasoning run={run} />}
      {made.sources.length > 0 && <Sources sources={made.sources} />}
      {waits && <Waiting since={run.created || (painting === "whole" ? message.created : 0)} />}
      {quoted && (
        <p class="quoted">
          <Icon name="quote" />
          {t("quoted")}
        </p>
      )}
      <Words run={run} onWhole={() => setWhole(true)} />
      {running && !wordless && following?.runId === run.run_id && <Pause following={following} />}
      <Ending message={message} />
      {done && made.unsupported && made.unsupported.length > 0 && (
        <Unsupported content={made.content} flags={made.unsupported} />
      )}
      {done && <Actions message={message} versions={versions} last={last} recorded={recording !== undefined} />}
      {last && done && made.followups.length > 0 && (
        <ul class="followups" part="followups" aria-label={t("followups")}>
          {made.followups.map((question) => (
            <li key={question}>
              <button type="button" disabled={busy} onClick={() => void chat.ask(question)}>
                <span dir="auto">{question}</span>
                <Icon name="forward" />
              </button>
            </li>
          ))}
        </ul>
      )}
    </article>
  );
}

/**
 * Nothing is to be seen yet: how long that has been, and whether it is the network or the model that one waits for. Of an
 * answer that is to come whole the server says nothing before.
 */
function Waiting({ since }: { since: number }): JSX.Element {
  const { t } = useUi();
  return (
    <p class="waiting">
      <Dots />
      <span>{since > 0 ? t("waiting_model") : t("waiting_server")}</span>
      {since > 0 && <Waited since={since} />}
    </p>
  );
}

/** The words have stopped coming, though the connection stands: how long since. */
function Pause({ following }: { following: Following }): JSX.Element | null {
  const ui = useUi();
  const elapsed = useElapsed(following.heardAt);
  if (elapsed < LONG_PAUSE_MS || following.connection !== "connected") return null;
  return (
    <p class="waiting">
      <Dots />
      <span>{ui.t("pausing")}</span>
      <span class="time">{duration(elapsed, ui)}</span>
    </p>
  );
}

function Dots(): JSX.Element {
  return (
    <span class="dots" aria-hidden="true">
      <span />
      <span />
      <span />
    </span>
  );
}

/** Names the model of the recorded run, when the recording tells it. */
function recordedModel(data: unknown, scripted: string): string {
  const model = typeof data === "object" && data !== null && "model" in data ? data.model : undefined;
  if (typeof model !== "string") return "";
  return model.startsWith("scripted/") ? scripted : model;
}
