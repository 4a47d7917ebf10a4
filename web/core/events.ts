/**
 * The vocabulary of a run as it comes over the wire: one JSON object a line, tagged by `type`.
 *
 * `seq` is 1-based and gapless within its run, `at` is milliseconds since the run began. A field without a value is left
 * out. Types and fields are only ever added; a reader passes over what it does not know, but counts its `seq`.
 */

interface Numbered {
  seq: number;
  at: number;
}

export interface RunStarted extends Numbered {
  type: "run.started";
  format: number;
  run_id: string;
  conversation_id: string;
  message_id: string;
  model: string;
  /** Milliseconds since the Unix epoch. */
  created: number;
  parent_id?: string;
}

export interface StepStarted extends Numbered {
  type: "step.started";
  step_id: string;
  name: string;
  label: string;
  /** It waits so many seconds before another try. */
  retry_after?: number;
}

export interface StepFinished extends Numbered {
  type: "step.finished";
  step_id: string;
  label: string;
  elapsed_ms: number;
  detail?: Record<string, unknown>;
}

/** Passage `n` is available to the answer. Pages are 1-based; `start`, `end` are code points in the document's text. */
export interface SourceFields {
  n: number;
  source_id: string;
  document_id: string;
  version: string;
  title: string;
  uri: string;
  snippet: string;
  page_start?: number;
  page_end?: number;
  start?: number;
  end?: number;
  score?: number;
}

export interface SourceFound extends Numbered, SourceFields {
  type: "source";
}

export interface ReasoningDelta extends Numbered {
  type: "reasoning.delta";
  text: string;
}

export interface TextDelta extends Numbered {
  type: "text.delta";
  text: string;
}

/**
 * Answer characters [start, end), in Unicode code points, rest on source `n`; a mark is shown at `end`.
 * Where the source covers two pages, `page` is the one on which the statement rests, unless both are as likely.
 */
export interface CitationFields {
  n: number;
  start: number;
  end: number;
  page?: number;
}

export interface CitationMade extends Numbered, CitationFields {
  type: "citation";
}

export interface ToolStarted extends Numbered {
  type: "tool.started";
  tool_id: string;
  name: string;
  arguments: Record<string, unknown>;
}

export interface ToolFinished extends Numbered {
  type: "tool.finished";
  tool_id: string;
  output?: unknown;
  error?: string;
}

/** The application's own event; the same name and key replaces. */
export interface DataFields {
  name: string;
  data: unknown;
  key?: string;
}

export interface DataSent extends Numbered, DataFields {
  type: "data";
}

/**
 * The statement [start, end) of the answer, in code points, does not stand in the sources.
 *
 * `missing` are its numbers and quotations that no source holds; without it, its words as a whole do not stand there.
 */
export interface Unsupported {
  start: number;
  end: number;
  missing?: readonly string[];
}

export type FinishReason = "stop" | "length" | "content_filter";

export interface TextFinished extends Numbered {
  type: "text.finished";
  reason: FinishReason;
  unsupported?: readonly Unsupported[];
}

export interface FollowupsSuggested extends Numbered {
  type: "followups";
  questions: string[];
}

export interface UsageFields {
  input_tokens: number;
  output_tokens: number;
  estimated: boolean;
  reasoning_tokens?: number;
  cached_tokens?: number;
}

export interface UsageReported extends Numbered, UsageFields {
  type: "usage";
}

export interface RunFinished extends Numbered {
  type: "run.finished";
}

/** The user stopped it when `seen` code points of the answer were on screen: every fold cuts the answer there. */
export interface RunStopped extends Numbered {
  type: "run.stopped";
  seen: number;
}

/** The partial answer is kept and marked incomplete. `retry_after` is in seconds. */
export interface RunFailed extends Numbered {
  type: "run.failed";
  code: string;
  message: string;
  retryable: boolean;
  retry_after?: number;
  durable_seq?: number;
}

export type RunEvent =
  | RunStarted
  | StepStarted
  | StepFinished
  | SourceFound
  | ReasoningDelta
  | TextDelta
  | CitationMade
  | ToolStarted
  | ToolFinished
  | DataSent
  | TextFinished
  | FollowupsSuggested
  | UsageReported
  | RunFinished
  | RunStopped
  | RunFailed;

/** An event of a type that this reader does not know: it only moves the cursor. */
export interface UnknownEvent extends Numbered {
  type: "unknown";
}

export type AnyEvent = RunEvent | UnknownEvent;

const KNOWN: ReadonlySet<string> = new Set<RunEvent["type"]>([
  "run.started",
  "step.started",
  "step.finished",
  "source",
  "reasoning.delta",
  "text.delta",
  "citation",
  "tool.started",
  "tool.finished",
  "data",
  "text.finished",
  "followups",
  "usage",
  "run.finished",
  "run.stopped",
  "run.failed",
]);

/**
 * The event in one line, or null for a blank one (a heartbeat).
 *
 * The server is the one that keeps the vocabulary: beyond its type and its number an event is taken at its word.
 * Throws SyntaxError when the line is not an event at all.
 */
export function parseEvent(line: string): AnyEvent | null {
  if (line.trim() === "") return null;
  return eventOf(JSON.parse(line));
}

/** The event that `value` is. Throws SyntaxError when it is none. */
export function eventOf(value: unknown): AnyEvent {
  if (!isNumbered(value)) throw new SyntaxError("A line of the stream is not an event.");
  return KNOWN.has(value.type) ? (value as RunEvent) : { type: "unknown", seq: value.seq, at: value.at };
}

export function isTerminal(event: AnyEvent): event is RunFinished | RunStopped | RunFailed {
  return event.type === "run.finished" || event.type === "run.stopped" || event.type === "run.failed";
}

function isNumbered(value: unknown): value is { type: string; seq: number; at: number } {
  return (
    typeof value === "object" &&
    value !== null &&
    "type" in value &&
    typeof value.type === "string" &&
    "seq" in value &&
    typeof value.seq === "number"
  );
}
