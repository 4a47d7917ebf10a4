import { type Api, Refusal, type RunRequest, Unreachable } from "./api";
import { type AnyEvent, isTerminal, parseEvent } from "./events";
import type { Snapshot } from "./fold";
import { LineSplitter } from "./lines";

/** What following a run brings, in order: its events, its whole state where the events cannot be had, the connection's state. */
export type Update =
  | { kind: "events"; events: AnyEvent[] }
  | { kind: "snapshot"; snapshot: Snapshot }
  | { kind: "connected" }
  | { kind: "resuming"; attempt: number };

/** What a reader needs of its surroundings. */
export interface Surroundings {
  /** In [0, 1). */
  random: () => number;
  /** Now, in milliseconds. */
  now: () => number;
  /** Calls back after `ms`; returns how to call it off. */
  after: (ms: number, callback: () => void) => () => void;
  /** Calls back when a new attempt is worth making at once (network back, page shown again); returns how to stop that. */
  onWake: (callback: () => void) => () => void;
}

const FIRST_DELAY_MS = 250;
const LONGEST_DELAY_MS = 15_000;
/** The server breaks a silence every 15 s; after three times that the connection is taken for dead. */
const SILENCE_MS = 45_000;
/** After a sleep a connection often looks open and is not: when woken, silence is suspect a little sooner. */
const SUSPECT_SILENCE_MS = 16_000;

/**
 * Starts a run and follows it to its terminal event, through any number of lost connections.
 *
 * Throws Refusal when the server says no, the signal's reason when it is aborted; never for the network.
 */
export async function* startRun(
  api: Api,
  request: RunRequest,
  surroundings: Surroundings,
  signal: AbortSignal,
): AsyncGenerator<Update, void> {
  const reader = new RunReader(api, request.run_id, 0, surroundings, signal);
  yield* reader.read((attemptSignal) => api.startStreaming(request, attemptSignal));
}

/** Follows a run from a cursor. Throws like `startRun`. */
export async function* followRun(
  api: Api,
  runId: string,
  after: number,
  surroundings: Surroundings,
  signal: AbortSignal,
): AsyncGenerator<Update, void> {
  yield* new RunReader(api, runId, after, surroundings, signal).read();
}

/**
 * Starts a run and waits for its whole answer in one piece. A lost connection is made again under the same run id, which
 * attaches to the run. Throws like `startRun`; a run that failed is a snapshot.
 */
export async function* wholeRun(
  api: Api,
  request: RunRequest,
  surroundings: Surroundings,
  signal: AbortSignal,
): AsyncGenerator<Update, void> {
  for (let attempt = 1; ; attempt++) {
    try {
      yield { kind: "snapshot", snapshot: await api.startWhole(request, signal) };
      return;
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof Refusal && error.problem.message !== undefined) {
        yield { kind: "snapshot", snapshot: await api.snapshot(request.run_id, signal) };
        return;
      }
      if (!(error instanceof Unreachable)) throw error;
    }
    yield { kind: "resuming", attempt };
    await pause(surroundings, signal, attempt);
  }
}

type Connect = (signal: AbortSignal) => Promise<Response>;

class RunReader {
  private ended = false;
  /** Attempts since the last event that moved the cursor. */
  private attempt = 0;

  constructor(
    private readonly api: Api,
    private readonly runId: string,
    private seq: number,
    private readonly surroundings: Surroundings,
    private readonly signal: AbortSignal,
  ) {}

  /** `start` makes the first connection and is repeated until one event has come; then the log is read from the cursor. */
  async *read(start?: Connect): AsyncGenerator<Update, void> {
    const resume: Connect = (signal) => this.api.events(this.runId, this.seq, signal);
    for (;;) {
      const before = this.seq;
      let atLeastMs = 0;
      try {
        yield* this.readOnce(start !== undefined && this.seq === 0 ? start : resume);
      } catch (error) {
        this.signal.throwIfAborted();
        if (error instanceof Refusal && eventsAreGone(error)) {
          if ((yield* this.readSnapshot()) && !this.ended) continue;
        } else if (error instanceof Refusal && worthRepeating(error, this.seq > 0)) {
          atLeastMs = (error.problem.retry_after ?? 0) * 1000;
        } else if (!(error instanceof Unreachable)) {
          throw error;
        }
      }
      if (this.ended) return;
      this.attempt = this.seq > before ? 1 : this.attempt + 1;
      yield { kind: "resuming", attempt: this.attempt };
      await pause(this.surroundings, this.signal, this.attempt, atLeastMs);
    }
  }

  /** One connection, until it ends in any way. */
  private async *readOnce(connect: Connect): AsyncGenerator<Update, void> {
    const connection = new Watched(this.surroundings, this.signal);
    try {
      const response = await connection.attempt(() => connect(connection.signal));
      yield { kind: "connected" };
      if (response.status === 204 || response.body === null) {
        yield* this.readSnapshot();
        return;
      }
      const lines = new LineSplitter();
      const body = response.body.getReader();
      try {
        for (;;) {
          const { done, value } = await connection.attempt(() => body.read());
          if (done) return;
          connection.heard();
          const events = this.accept(lines.feed(value));
          if (events.list.length > 0) yield { kind: "events", events: events.list };
          if (this.ended) return;
          if (events.gap) {
            yield* this.readSnapshot();
            return;
          }
        }
      } finally {
        // The connection is of no more use; whether it can still be told so does not matter.
        body.cancel().catch(() => undefined);
      }
    } finally {
      connection.close();
    }
  }

  /** The events that are next in order; what has been seen before is dropped, at a gap it ends. */
  private accept(lines: string[]): { list: AnyEvent[]; gap: boolean } {
    const list: AnyEvent[] = [];
    for (const line of lines) {
      let event: AnyEvent | null;
      try {
        event = parseEvent(line);
      } catch {
        // Something between has damaged the stream: what was lost is in the snapshot.
        return { list, gap: true };
      }
      if (event === null || event.seq <= this.seq) continue;
      if (event.seq > this.seq + 1) return { list, gap: true };
      this.seq = event.seq;
      list.push(event);
      if (isTerminal(event)) {
        this.ended = true;
        break;
      }
    }
    return { list, gap: false };
  }

  /** Starts again from the snapshot. Returns whether the cursor changed. */
  private async *readSnapshot(): AsyncGenerator<Update, boolean> {
    let snapshot: Snapshot;
    try {
      snapshot = await this.api.snapshot(this.runId, this.signal);
    } catch (error) {
      this.signal.throwIfAborted();
      if (error instanceof Unreachable) return false;
      throw error;
    }
    const moved = snapshot.seq !== this.seq;
    this.seq = snapshot.seq;
    this.ended = snapshot.state !== "running";
    yield { kind: "snapshot", snapshot };
    return moved;
  }
}

/** Exponential back-off with full jitter; a wake-up ends it at once, unless the server asked for the wait. */
function pause(surroundings: Surroundings, signal: AbortSignal, attempt: number, atLeastMs = 0): Promise<void> {
  const ceiling = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** (attempt - 1));
  const delay = Math.max(atLeastMs, surroundings.random() * ceiling);
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      cancelTimer();
      stopWaking();
      signal.removeEventListener("abort", aborted);
    };
    const aborted = (): void => {
      settle();
      reject(signal.reason as Error);
    };
    const woken = (): void => {
      settle();
      resolve();
    };
    const cancelTimer = surroundings.after(delay, woken);
    const stopWaking = atLeastMs > 0 ? () => undefined : surroundings.onWake(woken);
    if (signal.aborted) aborted();
    else signal.addEventListener("abort", aborted);
  });
}

/** One connection that is given up when it falls silent for too long. */
class Watched {
  private readonly controller = new AbortController();
  private lastHeard: number;
  private cancelTimer: () => void = () => undefined;
  private readonly stopWaking: () => void;
  private readonly abort = (): void => this.controller.abort(this.outer.reason);

  constructor(
    private readonly surroundings: Surroundings,
    private readonly outer: AbortSignal,
  ) {
    this.lastHeard = surroundings.now();
    if (outer.aborted) this.abort();
    else outer.addEventListener("abort", this.abort);
    this.stopWaking = surroundings.onWake(() => this.check(SUSPECT_SILENCE_MS));
    this.watch();
  }

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  heard(): void {
    this.lastHeard = this.surroundings.now();
  }

  /** What `io` gives. Everything that breaks it, other than a refusal or the caller's own abort, is the network. */
  async attempt<T>(io: () => Promise<T>): Promise<T> {
    try {
      return await io();
    } catch (error) {
      this.outer.throwIfAborted();
      if (error instanceof Refusal || error instanceof Unreachable) throw error;
      throw new Unreachable(undefined, { cause: error });
    }
  }

  close(): void {
    this.cancelTimer();
    this.stopWaking();
    this.outer.removeEventListener("abort", this.abort);
    this.controller.abort();
  }

  private watch(): void {
    this.cancelTimer = this.surroundings.after(SILENCE_MS, () => {
      if (!this.check(SILENCE_MS)) this.watch();
    });
  }

  private check(limitMs: number): boolean {
    if (this.surroundings.now() - this.lastHeard < limitMs) return false;
    this.controller.abort(new Unreachable("The connection fell silent."));
    return true;
  }
}

/** 409 `cursor-ahead`: the log is shorter than what was read. 410: the events have passed their retention. */
function eventsAreGone(refusal: Refusal): boolean {
  return refusal.problem.code === "cursor-ahead" || refusal.problem.status === 410;
}

/** Before a run has begun, "not now" is an answer for the person who asks; once it runs, it is a reason to wait. */
function worthRepeating(refusal: Refusal, running: boolean): boolean {
  const { status } = refusal.problem;
  return running && (status === 429 || status >= 500);
}
