import fc from "fast-check";
import type { AnyEvent, RunEvent } from "../../core/events";

type Body = RunEvent extends infer E ? (E extends RunEvent ? Omit<E, "seq" | "at"> : never) : never;

const text = fc.string({ unit: "grapheme", maxLength: 12 });
const n = fc.integer({ min: 1, max: 5 });

const body: fc.Arbitrary<Body> = fc.oneof(
  { weight: 6, arbitrary: text.map((value): Body => ({ type: "text.delta", text: value })) },
  text.map((value): Body => ({ type: "reasoning.delta", text: value })),
  n.map((i): Body => ({ type: "step.started", step_id: `s${i}`, name: "search", label: "Searching…" })),
  n.map((i): Body => ({ type: "step.finished", step_id: `s${i}`, label: "Found 3", elapsed_ms: i })),
  fc.tuple(n, text).map(([i, title]): Body => ({
    type: "source",
    n: i,
    source_id: `p${i}`,
    document_id: "d",
    version: "1",
    title,
    uri: "a.md",
    snippet: "…",
  })),
  fc.tuple(n, fc.nat(20), fc.nat(20)).map(([i, start, length]): Body => ({
    type: "citation",
    n: i,
    start,
    end: start + length,
  })),
  fc.tuple(n, text).map(([i, data]): Body => ({ type: "data", name: "weather", key: `k${i}`, data })),
  n.map((i): Body => ({ type: "tool.started", tool_id: `t${i}`, name: "add", arguments: { i } })),
  n.map((i): Body => ({ type: "tool.finished", tool_id: `t${i}`, output: i })),
  fc.array(text, { maxLength: 3 }).map((questions): Body => ({ type: "followups", questions })),
);

const ending: fc.Arbitrary<Body> = fc.oneof(
  fc.constant<Body>({ type: "run.finished" }),
  fc.nat(60).map((seen): Body => ({ type: "run.stopped", seen })),
  fc.constant<Body>({ type: "run.failed", code: "model-unavailable", message: "It is down.", retryable: true }),
);

export const STARTED: Body = {
  type: "run.started",
  format: 1,
  run_id: "r1",
  conversation_id: "c1",
  message_id: "m2",
  parent_id: "m1",
  model: "scripted",
  created: 1_700_000_000_000,
};

export function numbered(bodies: readonly Body[]): AnyEvent[] {
  return bodies.map((event, i) => ({ ...event, seq: i + 1, at: i * 10 }));
}

/** A whole run: `run.started`, anything, one terminal event; numbered. */
export const anyRun: fc.Arbitrary<AnyEvent[]> = fc
  .tuple(fc.array(body, { maxLength: 40 }), ending)
  .map(([middle, end]) => numbered([STARTED, ...middle, end]));
