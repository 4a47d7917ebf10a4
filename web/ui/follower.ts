import { type AnyEvent, isTerminal } from "../core/events";
import { fold, type Snapshot } from "../core/fold";
import type { Update } from "../core/reader";
import type { TransportName } from "../core/transports";
import { sentence } from "./sentence";

/** The run that this page follows. */
export interface Following {
  runId: string;
  connection: "connecting" | "connected" | "resuming";
  /** Stop was pressed and its effect has not come back yet. */
  stopping: boolean;
  /** A proxy on the way holds words back; `null` when there is no way around it. */
  detour?: TransportName | null;
  /** When something last came of it, in milliseconds since the Unix epoch. */
  heardAt: number;
}

/** `past`: what came is history (of before a reload, or a lost connection), not news. */
export type WordListener = (snapshot: Snapshot, past: boolean) => void;

/** Milliseconds since the run began. */
export interface Times {
  firstWord?: number;
  whole?: number;
}

export interface Told {
  /** It follows another run, or knows more of how it does. */
  following: (following: Following | null) => void;
  /** A run's new state is to be shown. Returns whether it is: an older one than what is shown is not. */
  publish: (snapshot: Snapshot) => boolean;
  /** What is shown of a run. */
  shown: (runId: string) => Snapshot | undefined;
}

/**
 * Follows one run at a time and folds what comes.
 *
 * Words are told to whoever listens, as often as they come. The rest of a run is published once per frame, and only when
 * it changed.
 */
export class Follower {
  private readonly listeners = new Set<WordListener>();
  private readonly times = new Map<string, Times>();
  private leaving = new AbortController();
  private following: Following | null = null;
  private latest: Snapshot | null = null;
  private cancelFrame: (() => void) | null = null;

  constructor(
    private readonly nextFrame: (callback: () => void) => () => void,
    private readonly told: Told,
  ) {}

  /** Calls back with the followed run whenever words, reasoning or citations came. Returns how to stop that. */
  onWords(listener: WordListener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** When the first word and the end of an answer came, if they were seen to come. */
  timesOf(runId: string): Times | undefined {
    return this.times.get(runId);
  }

  /** From here on it is this run that is followed. The signal is given when it is left. */
  begin(runId: string): AbortSignal {
    this.leaving = new AbortController();
    this.latest = null;
    this.follow({ runId, connection: "connecting", stopping: false, heardAt: Date.now() });
    return this.leaving.signal;
  }

  /** Folds what comes until the run has ended. Returns why the server refused it, else null. */
  async consume(updates: AsyncGenerator<Update, void>, from: Snapshot, signal: AbortSignal): Promise<string | null> {
    let snapshot = from;
    try {
      for await (const update of updates) {
        switch (update.kind) {
          case "connected":
            this.change({ connection: "connected", heardAt: Date.now() });
            continue;
          case "resuming":
            this.change({ connection: "resuming" });
            continue;
          case "fallback":
            this.change({ detour: update.to });
            continue;
          case "snapshot":
            snapshot = update.snapshot;
            break;
          case "events":
            snapshot = update.events.reduce(fold, snapshot);
            this.time(snapshot.run_id, update.events);
        }
        this.take(snapshot, update.kind === "snapshot" || update.past);
      }
      this.flush();
      return null;
    } catch (error) {
      if (signal.aborted) return null;
      return sentence(error);
    } finally {
      if (!signal.aborted) this.follow(null);
    }
  }

  /** Stop was pressed: nothing is added any more that it would cut; or it did not come through, and all goes on. */
  stopping(isStopping: boolean): void {
    this.cancel();
    this.change({ stopping: isStopping });
  }

  /** Stops following; the run goes on. */
  leave(): void {
    this.leaving.abort(new DOMException("The page shows something else.", "AbortError"));
    this.cancel();
    this.latest = null;
    this.follow(null);
  }

  private take(snapshot: Snapshot, past: boolean): void {
    this.latest = snapshot;
    if (this.following) this.following.heardAt = Date.now();
    const shown = this.told.shown(snapshot.run_id);
    if (snapshot.state !== "running" || !shown?.conversation_id) {
      // The end, and the first event, which names the conversation: the address must, before anything can be lost.
      this.flush();
      return;
    }
    if (this.following?.stopping) return;
    for (const listener of this.listeners) listener(snapshot, past);
    if (!sameButForWords(shown, snapshot)) this.cancelFrame ??= this.nextFrame(() => this.flush());
  }

  private flush(): void {
    this.cancel();
    const { latest } = this;
    if (!latest || !this.told.publish(latest)) return;
    if (latest.state === "running") for (const listener of this.listeners) listener(latest, false);
  }

  private cancel(): void {
    this.cancelFrame?.();
    this.cancelFrame = null;
  }

  private time(runId: string, events: readonly AnyEvent[]): void {
    if (!this.times.has(runId) && events[0]?.seq !== 1) return;
    const times = this.times.get(runId) ?? {};
    const firstWord = times.firstWord ?? events.find((event) => event.type === "text.delta")?.at;
    const whole = events.find(isTerminal)?.at;
    this.times.set(runId, {
      ...(firstWord !== undefined && { firstWord }),
      ...(whole !== undefined && { whole }),
    });
  }

  private change(change: Partial<Following>): void {
    if (this.following) this.follow({ ...this.following, ...change });
  }

  private follow(following: Following | null): void {
    this.following = following;
    this.told.following(following);
  }
}

/** Whether two states of a run look the same apart from the words, which are painted by themselves. */
function sameButForWords(one: Snapshot, other: Snapshot): boolean {
  const [a, b] = [one.message, other.message];
  return (
    one.state === other.state &&
    one.message_id === other.message_id &&
    a.steps === b.steps &&
    a.sources === b.sources &&
    a.followups === b.followups &&
    a.tools === b.tools &&
    a.usage === b.usage &&
    a.data === b.data &&
    a.reason === b.reason &&
    a.error === b.error &&
    (a.content === "") === (b.content === "") &&
    (a.reasoning === undefined) === (b.reasoning === undefined)
  );
}
