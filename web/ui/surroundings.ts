import type { Surroundings } from "../core/reader";

/** The browser as a run's reader needs it. */
export const browser: Surroundings = {
  random: Math.random,
  now: () => performance.now(),
  after(ms, callback) {
    const timer = setTimeout(callback, ms);
    return () => clearTimeout(timer);
  },
  onWake(callback) {
    const shown = (): void => {
      if (document.visibilityState === "visible") callback();
    };
    addEventListener("online", callback);
    addEventListener("pageshow", callback);
    document.addEventListener("visibilitychange", shown);
    return () => {
      removeEventListener("online", callback);
      removeEventListener("pageshow", callback);
      document.removeEventListener("visibilitychange", shown);
    };
  },
};

/** Calls back before the next paint; in a hidden page, where none comes, soon. Returns how to call it off. */
export function beforePaint(callback: () => void): () => void {
  if (document.hidden) {
    const timer = setTimeout(callback, 0);
    return () => clearTimeout(timer);
  }
  const frame = requestAnimationFrame(callback);
  return () => cancelAnimationFrame(frame);
}
