import type { JSX } from "preact";
import type { Snapshot, Step } from "../core/fold";
import { duration, useElapsed } from "./duration";
import { Icon } from "./icons";
import { stepLabel, waitLabel } from "./step-label";
import { useUi } from "./ui";

/** A step that takes longer than this is said to be slow. */
const SLOW_MS = 10_000;

interface Props {
  run: Snapshot;
  /** They are all there is to see. */
  unfolded: boolean;
}

/** The stages of an answer: open while they are all there is to see, then folded into one line. */
export function Steps({ run, unfolded }: Props): JSX.Element | null {
  const ui = useUi();
  const { steps } = run.message;
  if (steps.length === 0) return null;
  const list = (
    <ol class="steps" part="steps">
      {steps.map((step) => (
        <StepLine key={step.step_id} step={step} run={run} />
      ))}
    </ol>
  );
  if (unfolded) return list;
  const total = steps.reduce((sum, step) => sum + (step.elapsed_ms ?? 0), 0);
  return (
    <details class="fold">
      <summary>
        <span class="fold-name" dir="auto">{steps.length === 1 ? steps[0] && stepLabel(steps[0], ui.t) : ui.t("steps", { n: steps.length })}</span>
        {total > 0 && <span class="time">{duration(total, ui)}</span>}
      </summary>
      {list}
    </details>
  );
}

function StepLine({ step, run }: { step: Step; run: Snapshot }): JSX.Element {
  const ui = useUi();
  const runs = step.state === "running" && run.state === "running";
  const line = (
    <>
      {step.state === "done" && <Icon name={step.name === "retry" ? "clock" : "check"} />}
      {runs && <span class="spinner" aria-hidden="true" />}
      {step.state === "running" && !runs && <Icon name="stop" />}
      {runs && step.retry_after !== undefined ? (
        <Wait step={step} seconds={step.retry_after} run={run} />
      ) : (
        <>
          <span class="step-label" dir="auto">
            {stepLabel(step, ui.t)}
          </span>
          <span class="time">
            {step.elapsed_ms !== undefined ? duration(step.elapsed_ms, ui) : runs && <Elapsed step={step} run={run} />}
          </span>
        </>
      )}
    </>
  );
  if (!step.detail || Object.keys(step.detail).length === 0) {
    return (
      <li class={`step ${step.state}`}>
        <div class="step-line">{line}</div>
      </li>
    );
  }
  return (
    <li class={`step ${step.state}`}>
      <details class="step-detail">
        <summary class="step-line">{line}</summary>
        <Detail detail={step.detail} />
      </details>
    </li>
  );
}

/** What is left of a wait: in the words that say how long it is or, where they do not, beside them. */
function Wait({ step, seconds, run }: { step: Step; seconds: number; run: Snapshot }): JSX.Element {
  const ui = useUi();
  const left = Math.max(0, Math.ceil(seconds - useElapsed(run.created + (step.at ?? 0)) / 1000));
  const words = waitLabel(step, left, ui.t);
  return (
    <>
      <span class="step-label" dir="auto">
        {words ?? step.label}
      </span>
      {words === null && <span class="time">{duration(left * 1000, ui, 0)}</span>}
    </>
  );
}

/** Runs on from when the step began, also where the page came later. */
function Elapsed({ step, run }: { step: Step; run: Snapshot }): JSX.Element {
  const ui = useUi();
  const ms = useElapsed(run.created + (step.at ?? 0));
  return (
    <>
      {ms > SLOW_MS && step.name !== "retry" && <span class="slow">{ui.t("slow")} </span>}
      {duration(Math.max(ms, 100), ui)}
    </>
  );
}

interface Hit {
  title?: string;
  uri?: string;
  page_start?: number;
  score?: number;
}

/** What a developer wants to see of a step: values by name, found passages as a table, prompts as they were sent. */
function Detail({ detail }: { detail: Record<string, unknown> }): JSX.Element {
  const ui = useUi();
  const { hits, ...values } = detail;
  return (
    <div class="detail">
      <dl>
        {Object.entries(values).map(([name, value]) => (
          <div key={name}>
            <dt>{name.replaceAll("_", " ")}</dt>
            <dd>{written(value)}</dd>
          </div>
        ))}
      </dl>
      {Array.isArray(hits) && hits.length > 0 && (
        <div class="scroll" role="group" tabIndex={0} aria-label={ui.t("hits")}>
          <table>
            <thead>
              <tr>
                <th scope="col">{ui.t("passage")}</th>
                <th scope="col">{ui.t("page_column")}</th>
                <th scope="col">{ui.t("score")}</th>
              </tr>
            </thead>
            <tbody>
              {(hits as Hit[]).map((hit, i) => (
                <tr key={i}>
                  <td>{hit.title || hit.uri}</td>
                  <td>{hit.page_start}</td>
                  <td>{typeof hit.score === "number" ? hit.score.toPrecision(3) : ""}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </div>
  );
}

function written(value: unknown): JSX.Element | string {
  if (typeof value === "string" && !value.includes("\n")) return value;
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  return <pre tabIndex={0}>{typeof value === "string" ? value : JSON.stringify(value, null, 2)}</pre>;
}
