import type { Frames } from "../../core/pacer";

/** A display of 60 frames a second whose time only a test moves. */
export class TestFrames implements Frames {
  static readonly MS = 1000 / 60;
  private time = 0;
  private frame: (() => void) | null = null;

  readonly now = (): number => this.time;

  readonly nextFrame = (callback: () => void): (() => void) => {
    this.frame = callback;
    return () => (this.frame = null);
  };

  get idle(): boolean {
    return this.frame === null;
  }

  /** Lets `ms` go by, frame by frame. */
  advance(ms: number): void {
    const end = this.time + ms;
    for (;;) {
      const next = (Math.floor(this.time / TestFrames.MS + 1e-6) + 1) * TestFrames.MS;
      if (next > end + 1e-6) break;
      this.time = next;
      const { frame } = this;
      this.frame = null;
      frame?.();
    }
    this.time = Math.max(this.time, end);
  }
}
