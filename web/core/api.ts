import type { Snapshot } from "./fold";

/** RFC 9457, as the server sends it. `retry_after` is in seconds. */
export interface Problem {
  type?: string;
  title: string;
  status: number;
  detail: string;
  code: string;
  retry_after?: number;
  /** A non-streaming answer that failed: what there was of it. */
  message?: unknown;
}

/** The server understood the request and said no. `message` is for a person. */
export class Refusal extends Error {
  constructor(readonly problem: Problem) {
    super(problem.detail || problem.title);
    this.name = "Refusal";
  }
}

/** No answer of the server itself: the network failed, or something between said 502, 503 or 504 in its place. */
export class Unreachable extends Error {
  constructor(message = "The server cannot be reached.", options?: ErrorOptions) {
    super(message, options);
    this.name = "Unreachable";
  }
}

export interface RunRequest {
  question?: string;
  conversation_id?: string;
  parent_id?: string;
  /** The run whose unfinished answer this one goes on with. */
  continues?: string;
  /** Chosen here, so that asking again after a lost connection attaches to the same run. */
  run_id: string;
  answer?: string;
  options?: Record<string, unknown>;
}

export interface ConversationSummary {
  conversation_id: string;
  title: string;
  /** Milliseconds since the Unix epoch, like every `created`. */
  created: number;
  updated: number;
}

export type Part = { type: "text"; text: string } | { type: "file"; document_id: string; name: string };

export interface UserMessage {
  message_id: string;
  parent_id?: string;
  role: "user";
  content: string | Part[];
  created: number;
}

export interface AssistantMessage {
  message_id: string;
  parent_id?: string;
  role: "assistant";
  created: number;
  run: Snapshot;
}

export type StoredMessage = UserMessage | AssistantMessage;

export interface Conversation extends ConversationSummary {
  messages: StoredMessage[];
}

export interface ServerStatus {
  version: string;
  model: string;
  /** True when no language model is configured: answers are quotations of the documents. */
  quoting: boolean;
  answers: string[];
  documents: {
    count: number;
    state: "indexing" | "ready" | "none";
    done: number;
    total: number;
    failed: { name: string; reason: string }[];
  };
  recordings: { name: string; title: string; question: string }[];
}

const NDJSON = "application/x-ndjson";

/** Millstream's HTTP API. `base` is the address that `api/…` is relative to, ending in a slash; "" means the page's own. */
export class Api {
  constructor(
    private readonly base = "",
    private readonly fetch: typeof globalThis.fetch = globalThis.fetch.bind(globalThis),
  ) {}

  /** Starts a run, or attaches to it when its id has been started before. The body is a stream of events. */
  startStreaming(request: RunRequest, signal: AbortSignal): Promise<Response> {
    return this.send("POST", "api/runs", { body: { ...request, stream: true }, signal, accept: NDJSON });
  }

  /** Starts a run and waits for the whole answer. */
  async startWhole(request: RunRequest, signal: AbortSignal): Promise<Snapshot> {
    return (await this.json("POST", "api/runs", { body: { ...request, stream: false }, signal })) as Snapshot;
  }

  /** The events after `seq`. Status 204 when no more will come. */
  events(runId: string, seq: number, signal: AbortSignal): Promise<Response> {
    return this.send("GET", `api/runs/${encodeURIComponent(runId)}/events?after=${seq}`, { signal, accept: NDJSON });
  }

  async snapshot(runId: string, signal?: AbortSignal): Promise<Snapshot> {
    return (await this.json("GET", `api/runs/${encodeURIComponent(runId)}`, { signal })) as Snapshot;
  }

  /** `seen`: code points of the answer's Markdown that are on screen; without it the whole answer counts as seen. */
  async stop(runId: string, seen?: number): Promise<Snapshot> {
    const body = seen === undefined ? {} : { seen };
    return (await this.json("POST", `api/runs/${encodeURIComponent(runId)}/stop`, { body })) as Snapshot;
  }

  async conversations(): Promise<ConversationSummary[]> {
    const { conversations } = (await this.json("GET", "api/conversations", {})) as {
      conversations: ConversationSummary[];
    };
    return conversations;
  }

  async conversation(id: string): Promise<Conversation> {
    const path = `api/conversations/${encodeURIComponent(id)}`;
    const conversation = (await this.json("GET", path, {})) as Conversation;
    // An answer whose run the server no longer knows has nothing to show.
    const messages = conversation.messages.filter((message) => message.role === "user" || "run" in message);
    return { ...conversation, messages };
  }

  async rename(id: string, title: string): Promise<void> {
    await this.send("PATCH", `api/conversations/${encodeURIComponent(id)}`, { body: { title } });
  }

  async remove(id: string): Promise<void> {
    await this.send("DELETE", `api/conversations/${encodeURIComponent(id)}`, {});
  }

  async status(): Promise<ServerStatus> {
    return (await this.json("GET", "api/status", {})) as ServerStatus;
  }

  private async json(method: string, path: string, options: SendOptions): Promise<unknown> {
    const response = await this.send(method, path, options);
    try {
      return await response.json();
    } catch (error) {
      if (options.signal?.aborted) throw error;
      throw new Unreachable("The connection was lost before the answer was complete.", { cause: error });
    }
  }

  /** The response of a request that succeeded. Throws Refusal, Unreachable, or the signal's reason. */
  private async send(method: string, path: string, { body, signal, accept }: SendOptions): Promise<Response> {
    const headers: Record<string, string> = { accept: accept ?? "application/json" };
    if (body !== undefined) headers["content-type"] = "application/json";
    let response: Response;
    try {
      response = await this.fetch(this.base + path, {
        method,
        headers,
        cache: "no-store",
        ...(body !== undefined && { body: JSON.stringify(body) }),
        ...(signal && { signal }),
      });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new Unreachable(undefined, { cause: error });
    }
    if (response.ok) return response;
    throw await refused(response);
  }
}

interface SendOptions {
  body?: unknown;
  signal?: AbortSignal | undefined;
  accept?: string;
}

async function refused(response: Response): Promise<Refusal | Unreachable> {
  const { status } = response;
  if (response.headers.get("content-type")?.startsWith("application/problem+json")) {
    try {
      return new Refusal((await response.json()) as Problem);
    } catch {
      return new Unreachable();
    }
  }
  if (status === 502 || status === 503 || status === 504) return new Unreachable();
  return new Refusal({ title: "Refused", status, detail: `The server refused this (status ${status}).`, code: "refused" });
}

/** The words of a person's message. */
export function textOf(content: string | Part[]): string {
  if (typeof content === "string") return content;
  return content.flatMap((part) => (part.type === "text" ? [part.text] : [])).join("\n\n");
}
