import { type Api, Refusal, type RunRequest, Unreachable } from "./api";
import { Arrivals, Transports } from "./buffering";
import { type AnyEvent, isTerminal } from "./events";
import type { Snapshot } from "./fold";
import { open, type Reading, type TransportName } from "./transports";

/**
 * What following a run brings, in order: its events, its whole state where the events cannot be had, the connection's state.
 *
 * `past` events were made before this connection was: they are history, not news. `fallback`: a proxy on the way holds
 * the events of `from` back, so they are read by `to` from now on (null when there is no other way left).
 */
export type Update =
  | { kind: "events"; events: AnyEvent[]; past: boolean }
  | { kind: "snapshot"; snapshot: Snapshot }
  | { kind: "connected"; transport: TransportName }
  | { kind: "resuming"; attempt: number }
  | { kind: "fallback"; from: TransportName; to: TransportName | null };

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
/** A run says at once that it began: without one event for so long, another transport is tried. */
const FIRST_EVENT_MS = 8_000;
/** After a sleep a connection often looks open and is not: when woken, silence is suspect a little sooner. */
const SUSPECT_SILENCE_MS = 16_000;

/**
 * Starts a run and follows it to its terminal event, through any number of lost connections.
 *
 * Throws Refusal when the server says no, the signal's reason when it is aborted; never for the network. Keep
 * `transports` from run to run: it remembers which of them a proxy holds back.
 */
export async function* startRun(
  api: Api,
  request: RunRequest,
  surroundings: Surroundings,
  signal: AbortSignal,
  transports = new Transports(),
): AsyncGenerator<Update, void> {
  yield* new RunReader(api, request.run_id, 0, surroundings, signal, transports).read(request);
}

/** Follows a run from a cursor. Throws like `startRun`. */
export async function* followRun(
  api: Api,
  runId: string,
  after: number,
  surroundings: Surroundings,
  signal: AbortSignal,
  transports = new Transports(),
): AsyncGenerator<Update, void> {
  yield* new RunReader(api, runId, after, surroundings, signal, transports).read();
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

class RunReader {
  private ended = false;
  /** Attempts since the last event that moved the cursor. */
  private attempt = 0;
  /** The transport that has brought nothing, until the next one shows whether there was something. */
  private suspect: TransportName | null = null;
  private hopeless = false;

  constructor(
    private readonly api: Api,
    private readonly runId: string,
    private seq: number,
    private readonly surroundings: Surroundings,
    private readonly signal: AbortSignal,
    private readonly transports: Transports,
  ) {}

  /** `request` makes the first connection and is repeated until one event has come; then the log is read from the cursor. */
  async *read(request?: RunRequest): AsyncGenerator<Update, void> {
    for (let connections = 0; ; connections++) {
      const before = this.seq;
      let atLeastMs = 0;
      try {
        const reading = request && this.seq === 0 ? { request } : { runId: this.runId, after: this.seq };
        if (yield* this.readOnce(reading, connections > 0 || !request)) continue;
      } catch (error) {
        this.signal.throwIfAborted();
        if (error instanceof Refusal && eventsAreGone(error)) {
          if ((yield* this.readSnapshot()) && !this.ended) continue;
        } else if (error instanceof Refusal && worthRepeating(error, this.seq > 0)) {
          atLeastMs = (error.problem.retry_after ?? 0) * 1000;
        } else if (error instanceof HeldBack) {
          this.suspect ??= this.transports.current;
          if (this.transports.fallBack() !== null) continue;
        } else if (!(error instanceof Unreachable)) {
          throw error;
        } else if (this.seq === before && this.transports.giveUp()) {
          continue;
        }
      }
      if (this.ended) return;
      this.attempt = this.seq > before ? 1 : this.attempt + 1;
      yield { kind: "resuming", attempt: this.attempt };
      await pause(this.surroundings, this.signal, this.attempt, atLeastMs);
    }
  }

  /** One connection, until it ends in any way. Returns whether the next one should follow at once, by another transport. */
  private async *readOnce(reading: Reading, resumed: boolean): AsyncGenerator<Update, boolean> {
    const transport = this.transports.current;
    const watch = new Watched(this.surroundings, this.signal, this.seq === 0 ? FIRST_EVENT_MS : SILENCE_MS);
    try {
      const connection = await watch.attempt(() => open(transport, this.api, reading, watch.signal));
      yield { kind: "connected", transport };
      if (connection === null) {
        yield* this.readSnapshot();
        return false;
      }
      const openedAt = this.surroundings.now();
      const arrivals = new Arrivals(openedAt, resumed);
      try {
        for (;;) {
          const read = await watch.attempt(() => connection.read());
          if (read === null) return false;
          if (watch.heard()) arrivals.reset(this.surroundings.now());
          const { events, gap } = this.accept(read.events);
          const news = arrivals.judge(read.events, this.surroundings.now());
          if (events.length > 0) {
            this.transports.prove();
            yield { kind: "events", events, past: news === "past" };
            const found = this.confirmed(transport, events, openedAt);
            if (found) yield found;
          }
          if (news === "held" && !this.hopeless) {
            const to = this.transports.fallBack();
            this.hopeless = to === null;
            yield { kind: "fallback", from: transport, to };
            if (to !== null) return !this.ended;
          }
          if (this.ended) return false;
          if (gap || read.damaged) {
            yield* this.readSnapshot();
            return false;
          }
        }
      } finally {
        connection.close();
      }
    } finally {
      watch.close();
    }
  }

  /** A transport had brought nothing: if the run had begun long before this connection was open, it was held back. */
  private confirmed(to: TransportName, events: readonly AnyEvent[], openedAt: number): Update | null {
    const from = this.suspect;
    const begunAt = this.surroundings.now() - (events.at(-1)?.at ?? 0);
    if (from === null || from === to || openedAt - begunAt < FIRST_EVENT_MS / 2) return null;
    this.suspect = null;
    return { kind: "fallback", from, to };
  }

  /** The events that are next in order; what has been seen before is dropped, at a gap it ends. */
  private accept(all: readonly AnyEvent[]): { events: AnyEvent[]; gap: boolean } {
    const events: AnyEvent[] = [];
    for (const event of all) {
      if (event.seq <= this.seq) continue;
      if (event.seq > this.seq + 1) return { events, gap: true };
      this.seq = event.seq;
      events.push(event);
      if (isTerminal(event)) {
        this.ended = true;
        break;
      }
    }
    return { events, gap: false };
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
export function pause(surroundings: Surroundings, signal: AbortSignal, attempt: number, atLeastMs = 0): Promise<void> {
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

/** Not one event has come, though a run says at once that it began. */
class HeldBack extends Unreachable {}

/** One connection that is given up when it falls silent for too long. */
class Watched {
  private readonly controller = new AbortController();
  private lastHeard: number;
  private hasHeard = false;
  private woken = false;
  private cancelTimer: () => void = () => undefined;
  private readonly stopWaking: () => void;
  private readonly abort = (): void => this.controller.abort(this.outer.reason);

  constructor(
    private readonly surroundings: Surroundings,
    private readonly outer: AbortSignal,
    private readonly firstLimitMs: number,
  ) {
    this.lastHeard = surroundings.now();
    if (outer.aborted) this.abort();
    else outer.addEventListener("abort", this.abort);
    this.stopWaking = surroundings.onWake(() => {
      this.woken = true;
      this.check(SUSPECT_SILENCE_MS);
    });
    this.watch();
  }

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  /** Something has come. Returns whether the machine may have slept since the last time. */
  heard(): boolean {
    this.lastHeard = this.surroundings.now();
    if (!this.hasHeard) {
      this.hasHeard = true;
      this.cancelTimer();
      this.watch();
    }
    const { woken } = this;
    this.woken = false;
    return woken;
  }

  /** What `io` gives. Everything that breaks it, other than a refusal or the caller's own abort, is the network. */
  async attempt<T>(io: () => Promise<T>): Promise<T> {
    try {
      return await io();
    } catch (error) {
      this.outer.throwIfAborted();
      if (this.signal.reason instanceof HeldBack) throw this.signal.reason;
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
    const limit = this.hasHeard ? SILENCE_MS : this.firstLimitMs;
    this.cancelTimer = this.surroundings.after(limit, () => {
      if (!this.check(limit)) this.watch();
    });
  }

  private check(limitMs: number): boolean {
    if (this.surroundings.now() - this.lastHeard < limitMs) return false;
    const nothing = !this.hasHeard && this.firstLimitMs < SILENCE_MS;
    this.controller.abort(nothing ? new HeldBack() : new Unreachable("The connection fell silent."));
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
