import { type AnyEvent, isTerminal } from "./events";
import type { TransportName } from "./transports";

/** Events that came into being this far apart do not come in one read unless something held the first ones back. */
const LUMP_MS = 1_000;
/** What comes right after a connection was made anew is the past, however far apart. */
const PAST_MS = 2_000;
/** One lump may be a hiccup of the network. */
const LUMPS = 2;

/**
 * Tells by each event's `at` whether it comes as it is made, or long after.
 *
 * `at` says when the server made the event, the read says when it came here; only differences count, so the two clocks
 * need not agree.
 */
export class Arrivals {
  private lumps = 0;

  /** `resumed`: the run may have begun before `openedAt`. */
  constructor(
    private openedAt: number,
    private resumed: boolean,
  ) {}

  /** The machine has slept, so what comes now says nothing. */
  reset(now: number): void {
    this.openedAt = now;
    this.resumed = true;
    this.lumps = 0;
  }

  /** What a read at `now` brought: `past` when it is older than the connection, `held` when a proxy is holding events back. */
  judge(events: readonly AnyEvent[], now: number): "live" | "past" | "held" {
    const [first] = events;
    const last = events.at(-1);
    if (!first || !last || last.at - first.at < LUMP_MS) return "live";
    if (this.resumed && now - this.openedAt < PAST_MS) return "past";
    this.lumps++;
    const whole = first.type === "run.started" && isTerminal(last);
    return whole || this.lumps >= LUMPS ? "held" : "live";
  }
}

/**
 * The ways to the server in the order in which they are tried, and the one in use. It is kept from run to run: a proxy
 * that holds one answer back does so with the next.
 */
export class Transports {
  private proven = 0;
  private at = 0;

  constructor(private names: readonly TransportName[] = ["ndjson", "sse", "websocket"]) {}

  get current(): TransportName {
    return this.names[this.at] ?? "ndjson";
  }

  /** Events came on the current one. */
  prove(): void {
    this.proven = this.at;
  }

  /** Goes on to the next one, as the current is held back. Returns it; null when there is none. */
  fallBack(): TransportName | null {
    if (this.at + 1 >= this.names.length) return null;
    this.at++;
    return this.current;
  }

  /** The current one cannot be had here: back to the one that brought events. Returns whether that is another. */
  giveUp(): boolean {
    if (this.at === this.proven) return false;
    this.names = this.names.filter((_, i) => i !== this.at);
    this.at = this.proven;
    return true;
  }
}
