import { endsTorn, wordEnd } from "./words";

/**
 * How words come on screen: `smooth` spreads bursts over the time until the next one, `realtime` shows at once whatever
 * has arrived, `off` shows nothing before the answer is complete.
 */
export type Pacing = "smooth" | "realtime" | "off";

/** What a pacer needs of its surroundings. */
export interface Frames {
  /** Now, in milliseconds. */
  now: () => number;
  /** Calls back before the next paint, once; returns how to call it off. */
  nextFrame: (callback: () => void) => () => void;
}

/** Between the smallest and the largest wait for the next arrival, text that has arrived is spread out. */
const SHORTEST_HORIZON_MS = 60;
const LONGEST_HORIZON_MS = 1_200;
/** The expected wait is this quantile (by characters) of the latest waits: more stalls less and lags more. */
const QUANTILE = 0.75;
/** Text that comes within this time of an arrival belongs to it: a burst is often several reads. */
const ARRIVAL_MS = 50;
const REMEMBERED_ARRIVALS = 10;
/** Before any wait is known: as fast as a quick model, and no longer than this for what has come. */
const FIRST_CHARACTERS_PER_MS = 0.17;
const LONGEST_FIRST_HORIZON_MS = 850;
/** Nothing is spread thinner than this, so that late text catches up at once but not in one jump. */
const SHORTEST_SPREAD_MS = 25;
/** Time constant with which the speed follows its target. */
const SMOOTHING_MS = 90;
/** How long the beginning of a word waits for its end. */
const WORD_PATIENCE_MS = 150;
/** What is left at the end is shown within this time (and one frame). */
const DRAIN_MS = 200;
/** A late frame (a busy or sleeping machine) counts as no more than this. */
const LONGEST_FRAME_MS = 100;

interface Arrival {
  /** Since the arrival before, in milliseconds. */
  wait: number;
  characters: number;
}

/**
 * Decides how much of an answer is shown at each moment.
 *
 * Text goes in as it arrives; `onReveal` is told how much of it may be seen, in UTF-16 units and always at the end of a
 * word (or, in one that does not end, of a grapheme). It is called at most once a frame, or from inside `replay`, `end`
 * and the setters when everything is to be shown at once. There is no frame when there is nothing to show.
 */
export class Pacer {
  private received = "";
  private shown = 0;
  private ended = false;
  private endedAt = 0;
  private cancelFrame: (() => void) | null = null;
  private isHidden = false;
  private isReduced = false;

  private readonly arrivals: Arrival[] = [];
  private arrivalAt = 0;
  private arrivalCharacters = 0;
  private lastAt = 0;

  /** Characters per millisecond, and those that are due but not yet a whole word. */
  private speed = 0;
  private credit = 0;
  private frameAt = 0;

  constructor(
    private readonly frames: Frames,
    private readonly onReveal: (revealed: number) => void,
    private mode: Pacing = "smooth",
  ) {}

  /** Everything that has arrived. */
  get text(): string {
    return this.received;
  }

  /** How much of `text` is shown, in UTF-16 units. */
  get revealed(): number {
    return this.shown;
  }

  /** Whether all text has come and is shown. */
  get finished(): boolean {
    return this.ended && this.shown === this.received.length;
  }

  get pacing(): Pacing {
    return this.mode;
  }

  set pacing(pacing: Pacing) {
    this.mode = pacing;
    this.schedule();
  }

  /** A hidden page has no frames and nobody who reads: text is shown as it comes. */
  set hidden(hidden: boolean) {
    this.isHidden = hidden;
    if (hidden) this.flush();
  }

  /** For people who asked for less motion nothing is animated: text is shown as it comes, at most once a frame. */
  set reducedMotion(reduced: boolean) {
    this.isReduced = reduced;
    this.schedule();
  }

  /** Text that has just arrived, after what is there. */
  append(delta: string): void {
    if (delta === "") return;
    this.note(delta.length);
    this.received += delta;
    if (this.isHidden) this.flush();
    else this.schedule();
  }

  /** The text as it has been for some time (after a reload, a resumption, from a snapshot): it is shown at once. */
  replay(text: string): void {
    if (!text.startsWith(this.received.slice(0, this.shown))) this.shown = 0;
    this.received = text;
    this.lastAt = 0;
    this.flush();
  }

  /** No more text will come; what is left is shown within 250 ms. */
  end(): void {
    if (this.ended) return;
    this.ended = true;
    this.endedAt = this.frames.now();
    const atOnce = this.mode !== "smooth" || this.isHidden || this.isReduced || this.shown === this.received.length;
    if (atOnce) this.flush();
    else this.schedule();
  }

  /** Shows no more than what is shown. Returns how much that is. */
  stop(): number {
    this.cancelFrame?.();
    this.cancelFrame = null;
    this.received = this.received.slice(0, this.shown);
    this.ended = true;
    return this.shown;
  }

  private flush(): void {
    if (this.mode === "off" && !this.ended) return;
    this.cancelFrame?.();
    this.cancelFrame = null;
    this.speed = 0;
    this.credit = 0;
    this.reveal(this.ended || !endsTorn(this.received) ? this.received.length : this.received.length - 1);
  }

  private schedule(): void {
    if (this.cancelFrame !== null || this.shown === this.received.length) return;
    if (this.mode === "off" && !this.ended) return;
    if (this.isHidden) {
      this.flush();
      return;
    }
    this.frameAt = this.frames.now();
    this.cancelFrame = this.frames.nextFrame(this.frame);
  }

  private readonly frame = (): void => {
    this.cancelFrame = null;
    const now = this.frames.now();
    if (this.mode !== "smooth" || this.isReduced || (this.ended && now - this.endedAt >= DRAIN_MS)) {
      this.flush();
      return;
    }
    const elapsed = Math.min(Math.max(now - this.frameAt, 1), LONGEST_FRAME_MS);
    this.frameAt = now;
    const backlog = this.received.length - this.shown;
    const due = this.ended ? this.endedAt + DRAIN_MS : this.lastAt + this.horizon();
    const target = backlog / Math.max(SHORTEST_SPREAD_MS, due - now);
    this.speed += (target - this.speed) * (1 - Math.exp(-elapsed / SMOOTHING_MS));
    this.credit = Math.min(this.credit + this.speed * elapsed, backlog);
    this.reveal(this.withinCredit(now));
    if (this.shown === this.received.length) {
      this.credit = 0;
      return;
    }
    this.cancelFrame = this.frames.nextFrame(this.frame);
  };

  /** How far the credit reaches, in whole words. */
  private withinCredit(now: number): number {
    const limit = this.shown + this.credit;
    let reached = this.shown;
    while (reached < this.received.length) {
      const end = wordEnd(this.received, reached);
      if (end > limit) break;
      const mayGrow = end === this.received.length && !this.ended;
      if (mayGrow && (now - this.lastAt < WORD_PATIENCE_MS || endsTorn(this.received))) break;
      reached = end;
    }
    return reached;
  }

  private reveal(to: number): void {
    if (to === this.shown && !this.finished) return;
    this.credit = Math.max(0, this.credit - (to - this.shown));
    this.shown = to;
    this.onReveal(to);
  }

  private note(characters: number): void {
    const now = this.frames.now();
    this.lastAt = now;
    if (this.arrivalCharacters > 0 && now - this.arrivalAt < ARRIVAL_MS) {
      this.arrivalCharacters += characters;
      return;
    }
    if (this.arrivalCharacters > 0) {
      this.arrivals.push({ wait: now - this.arrivalAt, characters: this.arrivalCharacters });
      if (this.arrivals.length > REMEMBERED_ARRIVALS) this.arrivals.shift();
    }
    this.arrivalAt = now;
    this.arrivalCharacters = characters;
  }

  /** How long after an arrival the next one is expected. */
  private horizon(): number {
    const expected = quantile(this.arrivals);
    if (expected > 0) return clamp(expected, SHORTEST_HORIZON_MS, LONGEST_HORIZON_MS);
    return clamp(this.arrivalCharacters / FIRST_CHARACTERS_PER_MS, SHORTEST_HORIZON_MS, LONGEST_FIRST_HORIZON_MS);
  }
}

/** The wait that `QUANTILE` of the characters did not exceed: a pause before a single word says little. 0 when unknown. */
function quantile(arrivals: readonly Arrival[]): number {
  let left = QUANTILE * arrivals.reduce((sum, { characters }) => sum + characters, 0);
  for (const { wait, characters } of arrivals.toSorted((a, b) => a.wait - b.wait)) {
    left -= characters;
    if (left <= 0) return wait;
  }
  return 0;
}

function clamp(value: number, least: number, most: number): number {
  return Math.min(Math.max(value, least), most);
}
