import type { Frames } from "../../core/pacer";

/** A display of 60 frames a second whose time only a test moves. */
export class TestFrames implements Frames {
  static readonly MS = 1000 / 60;
  private time = 0;
  private frame: (() => void) | null = null;
  private timer: { at: number; callback: () => void } | null = null;
  /** How many frames there were. */
  count = 0;

  readonly now = (): number => this.time;

  readonly nextFrame = (callback: () => void): (() => void) => {
    this.frame = callback;
    return () => (this.frame = null);
  };

  readonly after = (ms: number, callback: () => void): (() => void) => {
    this.timer = { at: this.time + ms, callback };
    return () => (this.timer = null);
  };

  get idle(): boolean {
    return this.frame === null && this.timer === null;
  }

  /** Lets `ms` go by, frame by frame. */
  advance(ms: number): void {
    const end = this.time + ms;
    for (;;) {
      const next = (Math.floor(this.time / TestFrames.MS + 1e-6) + 1) * TestFrames.MS;
      const { timer } = this;
      if (timer !== null && timer.at <= Math.min(next, end)) {
        this.time = Math.max(this.time, timer.at);
        this.timer = null;
        timer.callback();
        continue;
      }
      if (next > end + 1e-6) break;
      this.time = next;
      const { frame } = this;
      this.frame = null;
      if (frame) this.count++;
      frame?.();
    }
    this.time = Math.max(this.time, end);
  }
}
