import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { Step } from "../core/fold";
import { Icon } from "./icons";

const TICK_MS = 100;

interface Props {
  steps: readonly Step[];
  /** The answer is being made; a step without an end goes on. */
  running: boolean;
  unfolded: boolean;
}

/** The stages of an answer: open while they are all there is to see, then folded into one line. */
export function Steps({ steps, running, unfolded }: Props): JSX.Element | null {
  if (steps.length === 0) return null;
  const list = (
    <ol class="steps">
      {steps.map((step) => (
        <li key={step.step_id} class={step.state}>
          {step.state === "done" && <Icon name="check" />}
          {step.state === "running" && (running ? <span class="spinner" aria-hidden="true" /> : <Icon name="stop" />)}
          <span class="step-label">{step.label}</span>
          <span class="time">{step.elapsed_ms !== undefined ? seconds(step.elapsed_ms) : running && <Elapsed />}</span>
        </li>
      ))}
    </ol>
  );
  if (unfolded) return list;
  const total = steps.reduce((sum, step) => sum + (step.elapsed_ms ?? 0), 0);
  return (
    <details class="fold">
      <summary>
        {steps.length === 1 ? (steps[0]?.label ?? "") : `${steps.length} steps`}{" "}
        {total > 0 && <span class="time">{seconds(total)}</span>}
      </summary>
      {list}
    </details>
  );
}

/** The time since it appeared. */
function Elapsed(): JSX.Element {
  const [since] = useState(() => performance.now());
  const [now, setNow] = useState(since);
  useEffect(() => {
    const ticking = setInterval(() => setNow(performance.now()), TICK_MS);
    return () => clearInterval(ticking);
  }, []);
  return <>{((now - since) / 1000).toFixed(1)} s</>;
}

function seconds(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}
