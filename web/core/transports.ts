import { type Api, Refusal, type RunRequest, Unreachable } from "./api";
import { type AnyEvent, eventOf, parseEvent } from "./events";
import { LineSplitter, SseSplitter } from "./lines";

export type TransportName = "ndjson" | "sse" | "websocket";

/** What one read brought. `damaged`: behind these events the stream makes no sense. */
export interface Read {
  events: AnyEvent[];
  damaged: boolean;
}

/** One way to a run's events. It belongs to one reader and is read until it is over or closed. */
export interface Connection {
  /** The next events, none for a heartbeat; null when the other side has ended it. Throws Refusal or Unreachable. */
  read: () => Promise<Read | null>;
  close: () => void;
}

/** What to read: a run that is to be started (again), or the events of one after a cursor. */
export type Reading = { request: RunRequest } | { runId: string; after: number };

/** Opens a connection; null when no more events will come. Throws like `Api`. */
export function open(
  transport: TransportName,
  api: Api,
  reading: Reading,
  signal: AbortSignal,
): Promise<Connection | null> {
  return transport === "websocket" ? overSocket(api, reading, signal) : overFetch(transport, api, reading, signal);
}

const MEDIA_TYPES = { ndjson: "application/x-ndjson", sse: "text/event-stream" } as const;

async function overFetch(
  transport: "ndjson" | "sse",
  api: Api,
  reading: Reading,
  signal: AbortSignal,
): Promise<Connection | null> {
  const form = MEDIA_TYPES[transport];
  const response =
    "request" in reading
      ? await api.startStreaming(reading.request, signal, form)
      : await api.events(reading.runId, reading.after, signal, form);
  if (response.status === 204 || response.body === null) return null;
  const body = response.body.getReader();
  const splitter = transport === "ndjson" ? new LineSplitter() : new SseSplitter();
  return {
    async read() {
      const { done, value } = await body.read();
      return done ? null : parsed(splitter.feed(value));
    },
    close() {
      // The connection is of no more use; whether it can still be told so does not matter.
      body.cancel().catch(() => undefined);
    },
  };
}

function parsed(lines: readonly string[]): Read {
  const events: AnyEvent[] = [];
  for (const line of lines) {
    try {
      const event = parseEvent(line);
      if (event) events.push(event);
    } catch {
      // Something between has damaged the stream: what was lost is in the snapshot.
      return { events, damaged: true };
    }
  }
  return { events, damaged: false };
}

/** The client's name for the one subscription of a socket. */
const SUBSCRIPTION = "run";

function overSocket(api: Api, reading: Reading, signal: AbortSignal): Promise<Connection> {
  const socket = api.openSocket();
  const abort = (): void => socket.close();
  signal.addEventListener("abort", abort);
  const arrived = new Queue<Read | Error>();
  socket.addEventListener("message", (message) => arrived.put(framed(message.data)));
  socket.addEventListener("close", () => {
    signal.removeEventListener("abort", abort);
    arrived.end();
  });
  return new Promise((resolve, reject) => {
    socket.addEventListener("close", () => reject(new Unreachable()));
    socket.addEventListener("open", () => {
      const { token } = api;
      if (token !== null) socket.send(JSON.stringify({ op: "auth", token }));
      const op =
        "request" in reading
          ? { op: "start", id: SUBSCRIPTION, request: reading.request }
          : { op: "follow", id: SUBSCRIPTION, run_id: reading.runId, after: reading.after };
      socket.send(JSON.stringify(op));
      resolve({ read: () => nextRead(arrived), close: abort });
    });
    if (signal.aborted) abort();
  });
}

/** Everything that has arrived, as one read. */
async function nextRead(arrived: Queue<Read | Error>): Promise<Read | null> {
  const items = await arrived.takeAll();
  if (items.length === 0) return null;
  const events: AnyEvent[] = [];
  for (const item of items) {
    if (item instanceof Error) {
      if (events.length === 0) throw item;
      arrived.putBack(item);
      break;
    }
    events.push(...item.events);
    if (item.damaged) return { events, damaged: true };
  }
  return { events, damaged: false };
}

/** One frame of the server: `{id, event}` or `{id?, error}`. */
function framed(data: unknown): Read | Error {
  let frame: { event?: unknown; error?: SocketError };
  try {
    frame = JSON.parse(String(data)) as typeof frame;
  } catch {
    return { events: [], damaged: true };
  }
  if (frame.error) {
    const { status, code, message, retry_after } = frame.error;
    return new Refusal({ title: "Refused", status, code, detail: message, ...(retry_after !== undefined && { retry_after }) });
  }
  try {
    return { events: [eventOf(frame.event)], damaged: false };
  } catch {
    return { events: [], damaged: true };
  }
}

interface SocketError {
  status: number;
  code: string;
  message: string;
  retry_after?: number;
}

/** Items in the order of their arrival, for one taker. */
class Queue<T> {
  private items: T[] = [];
  private ended = false;
  private wake: () => void = () => undefined;

  put(item: T): void {
    this.items.push(item);
    this.wake();
  }

  putBack(item: T): void {
    this.items.unshift(item);
  }

  end(): void {
    this.ended = true;
    this.wake();
  }

  /** All items, as soon as there is one; none when there will be no more. */
  async takeAll(): Promise<T[]> {
    while (this.items.length === 0 && !this.ended) await new Promise<void>((resolve) => (this.wake = resolve));
    return this.items.splice(0);
  }
}
