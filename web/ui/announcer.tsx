import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { AssistantMessage } from "../core/api";
import type { Snapshot } from "../core/fold";
import type { Chat } from "./chat";

const STEP_INTERVAL_MS = 5_000;

/**
 * Speaks for a screen reader what the eye sees happen: short statuses only, never the streamed words.
 *
 * Both regions stay in the page from the start, as screen readers need to hear of changes.
 */
export function Announcer({ chat }: { chat: Chat }): JSX.Element {
  const last = chat.path.findLast((message): message is AssistantMessage => message.role === "assistant");
  const [status, setStatus] = useState("");
  const [alert, setAlert] = useState("");
  const followed = useRef<string | null>(null);
  const spokenAt = useRef(-STEP_INTERVAL_MS);
  const following = chat.state.following?.runId ?? null;
  const resuming = chat.state.following?.connection === "resuming";
  const run = last?.run;
  const phase = run ? phaseOf(run) : null;
  const step = run?.message.steps.at(-1)?.label ?? "";

  useEffect(() => {
    if (following === null || phase !== "steps" || step === "") return;
    const now = performance.now();
    if (now - spokenAt.current < STEP_INTERVAL_MS) return;
    spokenAt.current = now;
    setStatus(step);
  }, [following, phase, step]);

  useEffect(() => {
    if (resuming) setStatus("Connection lost, resuming");
  }, [resuming]);

  useEffect(() => {
    if (following !== null) {
      followed.current = following;
      setAlert("");
    }
    // Only what ends before the listener's eyes is news; an answer that is opened later is not.
    if (!run || run.run_id !== followed.current) return;
    if (phase === "words") setStatus("Answering");
    if (phase === "finished") setStatus(ready(run));
    if (phase === "stopped") setStatus("Stopped");
    if (phase === "failed") setAlert(`The answer failed. ${run.message.error?.message ?? ""}`);
  }, [following, run?.run_id, phase]);

  return (
    <>
      <div class="hidden" role="status" aria-live="polite">
        {status || null}
      </div>
      <div class="hidden" role="alert">
        {alert || null}
      </div>
    </>
  );
}

function phaseOf(run: Snapshot): "steps" | "words" | Exclude<Snapshot["state"], "running"> {
  if (run.state !== "running") return run.state;
  return run.message.content === "" ? "steps" : "words";
}

function ready({ message }: Snapshot): string {
  const words = message.content.split(/\s+/).filter(Boolean).length;
  const sources = message.sources.length;
  return `Answer ready: ${words} ${words === 1 ? "word" : "words"}, ${sources} ${sources === 1 ? "source" : "sources"}`;
}
