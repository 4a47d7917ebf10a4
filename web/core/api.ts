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
  /** The message that the question follows; null is the beginning. */
  parent_id?: string | null;
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
  /** The message whose branch was chosen last. */
  chosen_id?: string;
  /** Of a search: the words around what was found, and where in them the hits are, in code points. */
  match?: { text: string; hits: [number, number][]; message_id?: string };
}

/** What a reader thinks of an answer. */
export interface Feedback {
  rating: "up" | "down";
  comment?: string;
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
  feedback?: Feedback;
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
  /** The answers that a person can choose among, the default one first. */
  answers: { name: string; label: string; default: boolean }[];
  /** What a person may choose: least and most. */
  options: { sources: [number, number]; temperature: [number, number]; efforts: string[] };
  /** Questions that the documents answer, for who does not know what to ask. */
  examples: string[];
  documents: {
    count: number;
    state: "indexing" | "ready" | "none";
    done: number;
    total: number;
    failed: { uri: string; reason: string }[];
  };
  recordings: { name: string; title: string; question: string }[];
}

export interface StoredDocument {
  document_id: string;
  uri: string;
  title: string;
  state: "ready" | "waiting" | "failed";
  format?: string;
  pages?: number;
  reason?: string;
  /** What of the file could not be read. */
  remark?: string;
}

/** A part of a document's text. All offsets are code points of the whole text. */
export interface DocumentText extends Omit<StoredDocument, "pages"> {
  version: string;
  text: string;
  start: number;
  end: number;
  length: number;
  /** Where each page begins. */
  pages: number[];
  /** The text is to be read as Markdown. */
  markdown: boolean;
}

/** Millstream's HTTP API. `base` is the address that `api/…` is relative to, ending in a slash; "" means the page's own. */
export class Api {
  constructor(
    private readonly base = "",
    private readonly fetch: typeof globalThis.fetch = globalThis.fetch.bind(globalThis),
    /** Sent along with each request: who asks, where the application wants to know. */
    private readonly headers: () => Readonly<Record<string, string>> = () => ({}),
    /** Relative addresses and http(s) are understood, as browsers do since 2024. */
    private readonly socket: (address: string) => WebSocket = (address) => new WebSocket(address),
  ) {}

  /** Starts a run, or attaches to it when its id has been started before. The body is a stream of events. */
  startStreaming(request: RunRequest, signal: AbortSignal, form: string): Promise<Response> {
    // `stream: true` would mean NDJSON, whatever else is accepted.
    return this.send("POST", "api/runs", { body: request, signal, accept: form });
  }

  /** Starts a run and waits for the whole answer. */
  async startWhole(request: RunRequest, signal: AbortSignal): Promise<Snapshot> {
    return (await this.json("POST", "api/runs", { body: { ...request, stream: false }, signal })) as Snapshot;
  }

  /** The events after `seq`, as NDJSON or SSE by their media type. Status 204 when no more will come. */
  events(runId: string, seq: number, signal: AbortSignal, form: string): Promise<Response> {
    return this.send("GET", `api/runs/${encodeURIComponent(runId)}/events?after=${seq}`, { signal, accept: form });
  }

  /** A WebSocket to the server, still connecting. */
  openSocket(): WebSocket {
    return this.socket(`${this.base}api/ws`);
  }

  /** The bearer token of the requests, which a socket has to send by itself; null when there is none. */
  get token(): string | null {
    const [, given] = Object.entries(this.headers()).find(([name]) => name.toLowerCase() === "authorization") ?? [];
    return /^Bearer (.+)$/i.exec(given ?? "")?.[1] ?? null;
  }

  async snapshot(runId: string, signal?: AbortSignal): Promise<Snapshot> {
    return (await this.json("GET", `api/runs/${encodeURIComponent(runId)}`, { signal })) as Snapshot;
  }

  /** `seen`: code points of the answer's Markdown that are on screen; without it the whole answer counts as seen. */
  async stop(runId: string, seen?: number): Promise<Snapshot> {
    const body = seen === undefined ? {} : { seen };
    return (await this.json("POST", `api/runs/${encodeURIComponent(runId)}/stop`, { body })) as Snapshot;
  }

  /** All of them or, with `words`, those in which all of these are found; last updated first. */
  async conversations(words = "", signal?: AbortSignal): Promise<ConversationSummary[]> {
    const query = words === "" ? "" : `?q=${encodeURIComponent(words)}`;
    const { conversations } = (await this.json("GET", `api/conversations${query}`, { signal })) as {
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

  /** Remembers whose branch the reader looks at. */
  async chooseBranch(id: string, messageId: string): Promise<void> {
    await this.send("PATCH", `api/conversations/${encodeURIComponent(id)}`, { body: { chosen_id: messageId } });
  }

  async remove(id: string): Promise<void> {
    await this.send("DELETE", `api/conversations/${encodeURIComponent(id)}`, {});
  }

  /** Undoes `remove`. */
  async restore(id: string): Promise<void> {
    await this.send("POST", `api/conversations/${encodeURIComponent(id)}/restore`, {});
  }

  /** Puts `feedback` in place of what was thought of an answer before; null takes it back. */
  async rate(messageId: string, feedback: Feedback | null): Promise<void> {
    const path = `api/messages/${encodeURIComponent(messageId)}/feedback`;
    if (feedback === null) await this.send("DELETE", path, {});
    else await this.send("PUT", path, { body: feedback });
  }

  /** A conversation as a file. */
  async exported(id: string, form: "markdown" | "json"): Promise<{ blob: Blob; name: string }> {
    const accept = form === "markdown" ? "text/markdown" : "application/json";
    const response = await this.send("GET", `api/conversations/${encodeURIComponent(id)}/export?format=${form}`, { accept });
    const name = /filename="([^"]+)"/.exec(response.headers.get("content-disposition") ?? "")?.[1];
    return { blob: await response.blob(), name: name ?? `conversation.${form === "markdown" ? "md" : "json"}` };
  }

  /** How far the reading of a document is. */
  async documentState(id: string): Promise<StoredDocument> {
    return (await this.json("GET", `api/documents/${encodeURIComponent(id)}?start=0&end=0`, {})) as StoredDocument;
  }

  /** A document with its text from `start` to `end`, as far as there is so much. */
  async document(id: string, start: number, end: number, signal?: AbortSignal): Promise<DocumentText> {
    const path = `api/documents/${encodeURIComponent(id)}?start=${start}&end=${end}`;
    return (await this.json("GET", path, { signal })) as DocumentText;
  }

  /** Where the file itself is. */
  original(id: string): string {
    return `${this.base}api/documents/${encodeURIComponent(id)}/original`;
  }

  /** Uploads a file and waits until it has been read, for a minute at most. `onProgress` is told how much has been sent, 0 to 1. */
  upload(file: File, onProgress: (sent: number) => void, signal: AbortSignal): Promise<StoredDocument> {
    const address = `${this.base}api/documents?wait=60&name=${encodeURIComponent(file.name)}`;
    return new Promise((resolve, reject) => {
      // fetch does not tell how much of a body has been sent.
      const request = new XMLHttpRequest();
      request.open("POST", address);
      for (const [name, value] of Object.entries(this.headers())) request.setRequestHeader(name, value);
      request.responseType = "json";
      request.upload.onprogress = ({ loaded, total }) => onProgress(loaded / total);
      request.onerror = () => reject(new Unreachable());
      request.onabort = () => reject(signal.reason as Error);
      request.onload = () => {
        const body = request.response as ({ documents?: StoredDocument[] } & Partial<Problem>) | null;
        const document = body?.documents?.[0];
        if (request.status < 300 && document) resolve(document);
        else if (body?.code) reject(new Refusal(body as Problem));
        else reject(new Unreachable());
      };
      signal.addEventListener("abort", () => request.abort());
      request.send(file);
    });
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
    const headers: Record<string, string> = { ...this.headers(), accept: accept ?? "application/json" };
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
