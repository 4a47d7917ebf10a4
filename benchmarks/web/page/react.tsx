import { type ReactNode, useSyncExternalStore } from "react";
import { createRoot } from "react-dom/client";
import { run } from "./harness";

/** Renders the whole text by `show` whenever `schedule` lets a change through. */
export function runReact(show: (text: string) => ReactNode, schedule: (publish: () => void) => () => void): void {
  run((target) => {
    let text = "";
    let published = "";
    let listener = (): void => undefined;
    const publish = (): void => {
      published = text;
      listener();
    };
    const changed = schedule(publish);
    const subscribe = (given: () => void): (() => void) => {
      listener = given;
      return () => undefined;
    };
    function Answer(): ReactNode {
      return show(useSyncExternalStore(subscribe, () => published));
    }
    createRoot(target).render(<Answer />);
    return {
      prefill(given) {
        text = given;
        publish();
      },
      delta(given) {
        text += given;
        changed();
      },
      end: publish,
    };
  });
}

/** At most one change every `ms`, the last one always: the `throttle` of the AI SDK. */
export function throttled(ms: number) {
  return (publish: () => void): (() => void) => {
    let last = 0;
    let timer: ReturnType<typeof setTimeout> | null = null;
    const now = (): void => {
      timer = null;
      last = performance.now();
      publish();
    };
    return () => {
      const wait = last + ms - performance.now();
      if (wait <= 0) now();
      else timer ??= setTimeout(now, wait);
    };
  };
}
