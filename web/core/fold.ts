import { firstCodePoints } from "./codepoints";
import type {
  AnyEvent,
  CitationFields,
  DataFields,
  FinishReason,
  SourceFields,
  StepFinished,
  ToolFinished,
  Unsupported,
  UsageFields,
} from "./events";

export type RunState = "running" | "finished" | "stopped" | "failed";

export interface Step {
  step_id: string;
  name: string;
  label: string;
  state: "running" | "done";
  /** While it runs: when it began, in milliseconds since the run did. */
  at?: number;
  /** While it runs: how many seconds it waits, if that is all it does. */
  retry_after?: number;
  detail?: Record<string, unknown>;
  elapsed_ms?: number;
}

export interface Tool {
  tool_id: string;
  name: string;
  arguments: Record<string, unknown>;
  output?: unknown;
  error?: string;
}

export interface RunError {
  code: string;
  message: string;
  retryable: boolean;
  /** Seconds. */
  retry_after?: number;
}

/** What a run has made so far. */
export interface Message {
  /** Markdown. */
  content: string;
  reasoning?: string;
  steps: readonly Step[];
  sources: readonly SourceFields[];
  citations: readonly CitationFields[];
  followups: readonly string[];
  unsupported?: readonly Unsupported[];
  tools?: readonly Tool[];
  usage?: UsageFields;
  data?: readonly DataFields[];
  /** Present once the words are complete; an answer without it is not a whole one. */
  reason?: FinishReason;
  error?: RunError;
}

/** The fold of a run's events up to `seq`: the same object as the server's `GET api/runs/{id}`. */
export interface Snapshot {
  run_id: string;
  conversation_id: string;
  message_id: string;
  parent_id?: string;
  model: string;
  /** Milliseconds since the Unix epoch. */
  created: number;
  state: RunState;
  seq: number;
  message: Message;
}

/** A run of which nothing is known yet but the id that the client gave it. */
export function emptySnapshot(runId: string): Snapshot {
  return {
    run_id: runId,
    conversation_id: "",
    message_id: "",
    model: "",
    created: 0,
    state: "running",
    seq: 0,
    message: { content: "", steps: [], sources: [], citations: [], followups: [] },
  };
}

/** The snapshot after `event`, which must be the next one (`snapshot.seq + 1`). Nothing is changed in place. */
export function fold(snapshot: Snapshot, event: AnyEvent): Snapshot {
  const { seq } = event;
  const was = snapshot.message;
  const made = (change: Partial<Message>): Snapshot => ({ ...snapshot, seq, message: { ...was, ...change } });

  switch (event.type) {
    case "run.started":
      return {
        ...snapshot,
        seq,
        run_id: event.run_id,
        conversation_id: event.conversation_id,
        message_id: event.message_id,
        model: event.model,
        created: event.created,
        ...(event.parent_id !== undefined && { parent_id: event.parent_id }),
      };
    case "step.started": {
      const { step_id, name, label, at, retry_after } = event;
      const wait = retry_after !== undefined && { retry_after };
      const step: Step = { step_id, name, label, state: "running", at, ...wait };
      return made({ steps: put(was.steps, step, (other) => other.step_id === step_id) });
    }
    case "step.finished":
      return made({ steps: was.steps.map((step) => (step.step_id === event.step_id ? done(step, event) : step)) });
    case "source": {
      const sources = put(was.sources, withoutEnvelope(event), (other) => other.n === event.n);
      return made({ sources: sources.sort((a, b) => a.n - b.n) });
    }
    case "reasoning.delta":
      if (event.text === "") return made({});
      return made({ reasoning: (was.reasoning ?? "") + event.text });
    case "text.delta":
      return made({ content: was.content + event.text });
    case "citation":
      return made({ citations: [...was.citations, withoutEnvelope(event)] });
    case "tool.started": {
      const { tool_id, name, arguments: given } = event;
      return made({ tools: put(was.tools ?? [], { tool_id, name, arguments: given }, (other) => other.tool_id === tool_id) });
    }
    case "tool.finished":
      if (!was.tools) return made({});
      return made({ tools: was.tools.map((tool) => (tool.tool_id === event.tool_id ? returned(tool, event) : tool)) });
    case "data": {
      const isSame = (other: DataFields): boolean => other.name === event.name && other.key === event.key;
      return made({ data: put(was.data ?? [], withoutEnvelope(event), isSame) });
    }
    case "text.finished":
      return made({ reason: event.reason, ...(event.unsupported && { unsupported: event.unsupported }) });
    case "followups":
      return made({ followups: event.questions });
    case "usage":
      return made({ usage: withoutEnvelope(event) });
    case "run.finished":
      return { ...snapshot, seq, state: "finished" };
    case "run.stopped":
      return { ...made(cutAt(was, event.seen)), state: "stopped" };
    case "run.failed": {
      const { code, message, retryable, retry_after } = event;
      const error: RunError = { code, message, retryable, ...(retry_after !== undefined && { retry_after }) };
      return { ...made({ error }), state: "failed" };
    }
    case "unknown":
      return { ...snapshot, seq };
  }
}

function done({ step_id, name }: Step, { label, elapsed_ms, detail }: StepFinished): Step {
  return { step_id, name, label, state: "done", elapsed_ms, ...(detail !== undefined && { detail }) };
}

function returned({ tool_id, name, arguments: given }: Tool, { output, error }: ToolFinished): Tool {
  return {
    tool_id,
    name,
    arguments: given,
    ...(output !== undefined && { output }),
    ...(error !== undefined && { error }),
  };
}

/** What the reader had on screen when they pressed Stop, and what was said of the part that is left. */
function cutAt(message: Message, seen: number): Partial<Message> {
  const isLeft = ({ end }: { end: number }): boolean => end <= seen;
  return {
    content: firstCodePoints(message.content, seen),
    citations: message.citations.filter(isLeft),
    ...(message.unsupported && { unsupported: message.unsupported.filter(isLeft) }),
  };
}

/** `all` with `one` in the place of its namesake, or at the end. */
function put<T>(all: readonly T[], one: T, isSame: (other: T) => boolean): T[] {
  const at = all.findIndex(isSame);
  return at === -1 ? [...all, one] : all.with(at, one);
}

function withoutEnvelope<T extends { type: string; seq: number; at: number }>(event: T): Omit<T, "type" | "seq" | "at"> {
  const { type: _type, seq: _seq, at: _at, ...fields } = event;
  return fields;
}
