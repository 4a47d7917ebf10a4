import { endsTorn, visibleLength, wordEnd } from "./words";

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

/** Text that has arrived is spread over the wait for the next arrival, but over no more than this. */
const LONGEST_HORIZON_MS = 1_200;
/** A stream whose waits are no longer than this flows by itself: up to so many characters are shown as they come. */
const STEADY_MS = 65;
const STEADY_CHARACTERS = 32;
/** Its paints are at least so far apart: each costs the browser far more than the words in it. */
const SHORTEST_STEP_MS = 30;
/** The expected wait is this quantile (by characters) of the latest waits: more stalls less and lags more. */
const QUANTILE = 0.75;
/** Text that comes within this time of an arrival belongs to it: a burst is often several reads. */
const ARRIVAL_MS = 50;
const REMEMBERED_ARRIVALS = 10;
/** Before any wait is known: at the speed of a quick model, and no longer than this for what has come. */
const FIRST_CHARACTERS_PER_MS = 0.14;
const LONGEST_FIRST_HORIZON_MS = 900;
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
/** Of a longer backlog, only so many characters are looked at for what is to be seen of them. */
const LONGEST_WEIGHED = 2_000;

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

  /** Visible characters per millisecond, and those that are due but not yet a whole word. */
  private speed = 0;
  private credit = 0;
  private frameAt = 0;
  private shownAt = 0;

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
    const backlog = this.backlog();
    const horizon = this.horizon();
    const due = this.ended ? this.endedAt + DRAIN_MS : this.lastAt + horizon;
    const target = backlog / Math.max(SHORTEST_SPREAD_MS, due - now);
    this.speed += (target - this.speed) * (1 - Math.exp(-elapsed / SMOOTHING_MS));
    const flows = horizon <= STEADY_MS && backlog <= STEADY_CHARACTERS;
    this.credit = flows ? backlog : Math.min(this.credit + this.speed * elapsed, backlog);
    if (!flows || now - this.shownAt >= SHORTEST_STEP_MS) this.reveal(this.withinCredit(now));
    if (this.shown === this.received.length) {
      this.credit = 0;
      return;
    }
    this.cancelFrame = this.frames.nextFrame(this.frame);
  };

  /** About how many visible characters are not shown yet. */
  private backlog(): number {
    const near = this.shown + LONGEST_WEIGHED;
    return 1 + visibleLength(this.received.slice(this.shown, near)) + Math.max(0, this.received.length - near);
  }

  /** How far the credit reaches, in whole words; takes it. */
  private withinCredit(now: number): number {
    let reached = this.shown;
    while (reached < this.received.length) {
      const end = wordEnd(this.received, reached);
      const cost = visibleLength(this.received.slice(reached, end));
      if (cost > this.credit) break;
      const mayGrow = end === this.received.length && !this.ended;
      if (mayGrow && (now - this.lastAt < WORD_PATIENCE_MS || endsTorn(this.received))) break;
      this.credit -= cost;
      reached = end;
    }
    return reached;
  }

  private reveal(to: number): void {
    if (to === this.shown && !this.finished) return;
    this.shown = to;
    this.shownAt = this.frames.now();
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
    if (expected > 0) return Math.min(expected, LONGEST_HORIZON_MS);
    return Math.min(this.arrivalCharacters / FIRST_CHARACTERS_PER_MS, LONGEST_FIRST_HORIZON_MS);
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
