import type { AnyEvent } from "../../core/events";
import { emptySnapshot, fold } from "../../core/fold";
import type { Surroundings } from "../../core/reader";
import { inPieces } from "./pieces";

/** How one connection goes: the places at which its bytes are cut in pieces, and the byte after which it breaks. */
export interface Fate {
  pieces: number[];
  breaksAfter?: number;
  /** The stream ends cleanly instead of breaking, which without a terminal event means the same. */
  cleanly?: boolean;
  /** Not even a connection. */
  refused?: boolean;
  /** Events that have been sent before come once more. */
  repeats?: number;
}

const problem = (status: number, code: string): Response =>
  Response.json(
    { title: "No", status, detail: `No: ${code}.`, code },
    { status, headers: { "content-type": "application/problem+json" } },
  );

/** A server that has one run in its log and serves it over connections with the given fates (then over good ones). */
export class LogServer {
  readonly requests: string[] = [];
  /** Answers for the next requests instead of the log. */
  readonly instead: Response[] = [];

  constructor(
    readonly events: AnyEvent[],
    private readonly fates: Fate[] = [],
  ) {}

  /** The socket's side of the same log: every connection gives all there is after the cursor. */
  readonly socket = (address: string): WebSocket => {
    this.requests.push(`WS ${address}`);
    return new LogSocket(this.events, this.requests) as unknown as WebSocket;
  };

  readonly fetch: typeof globalThis.fetch = (input, init) => {
    const url = input as string;
    this.requests.push(`${init?.method ?? "GET"} ${url}`);
    if (init?.signal?.aborted) return Promise.reject(init.signal.reason as Error);
    const given = this.instead.shift();
    if (given) return Promise.resolve(given);
    const fate = this.fates.shift() ?? { pieces: [] };
    if (fate.refused) return Promise.reject(new TypeError("network error"));
    const after = url === "api/runs" ? 0 : Number(/after=(\d+)/.exec(url)?.[1] ?? NaN);
    if (Number.isNaN(after)) return Promise.resolve(Response.json(this.snapshot()));
    if (after > this.events.length) return Promise.resolve(problem(409, "cursor-ahead"));
    if (after === this.events.length) return Promise.resolve(new Response(null, { status: 204 }));
    const from = Math.max(0, after - (fate.repeats ?? 0));
    const sse = new Headers(init?.headers).get("accept") === "text/event-stream";
    return Promise.resolve(stream(this.events.slice(from), fate, sse));
  };

  snapshot(): unknown {
    return JSON.parse(JSON.stringify(this.events.reduce(fold, emptySnapshot("r1"))));
  }
}

export { problem };

export function frames(events: readonly AnyEvent[]): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(events.map((event) => JSON.stringify(event) + "\n").join("\n"));
}

function sseFrames(events: readonly AnyEvent[]): Uint8Array<ArrayBuffer> {
  const written = events.map((event) => `id: ${event.seq}\ndata: ${JSON.stringify(event)}\n\n`);
  return new TextEncoder().encode(written.join(": ping\n"));
}

/** As much of a WebSocket as a reader uses. */
class LogSocket extends EventTarget {
  constructor(
    private readonly events: readonly AnyEvent[],
    private readonly sent: string[],
  ) {
    super();
    queueMicrotask(() => this.dispatchEvent(new Event("open")));
  }

  send(frame: string): void {
    this.sent.push(frame);
    const { op, id, after } = JSON.parse(frame) as { op: string; id: string; after?: number };
    if (op === "auth") return;
    for (const event of this.events.slice(after ?? 0)) {
      queueMicrotask(() => this.dispatchEvent(new MessageEvent("message", { data: JSON.stringify({ id, event }) })));
    }
  }

  close(): void {
    queueMicrotask(() => this.dispatchEvent(new Event("close")));
  }
}

function stream(events: readonly AnyEvent[], fate: Fate, sse: boolean): Response {
  const whole = sse ? sseFrames(events) : frames(events);
  const broken = fate.breaksAfter !== undefined;
  const pieces = inPieces(whole.slice(0, fate.breaksAfter), fate.pieces);
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      const piece = pieces.shift();
      if (piece) controller.enqueue(piece);
      else if (broken && !fate.cleanly) controller.error(new TypeError("network error"));
      else controller.close();
    },
  });
  return new Response(body, { headers: { "content-type": "application/x-ndjson" } });
}

/** A clock that only a test moves. */
export class Clock implements Surroundings {
  private time = 0;
  private timers: { due: number; callback: () => void }[] = [];
  private wakes = new Set<() => void>();
  /** Waits that were asked for, in milliseconds. */
  readonly waits: number[] = [];

  /** With `impatient`, every wait shorter than it is over at once. */
  constructor(private readonly impatient = 0) {}

  readonly random = (): number => 0.5;
  readonly now = (): number => this.time;

  readonly after = (ms: number, callback: () => void): (() => void) => {
    this.waits.push(ms);
    const timer = { due: this.time + ms, callback };
    if (ms < this.impatient) queueMicrotask(callback);
    else this.timers.push(timer);
    return () => {
      this.timers = this.timers.filter((other) => other !== timer);
    };
  };

  readonly onWake = (callback: () => void): (() => void) => {
    this.wakes.add(callback);
    return () => this.wakes.delete(callback);
  };

  get watchers(): number {
    return this.timers.length + this.wakes.size;
  }

  advance(ms: number): void {
    this.time += ms;
    const due = this.timers.filter((timer) => timer.due <= this.time);
    this.timers = this.timers.filter((timer) => timer.due > this.time);
    for (const timer of due) timer.callback();
  }

  wake(): void {
    for (const callback of [...this.wakes]) callback();
  }
}
