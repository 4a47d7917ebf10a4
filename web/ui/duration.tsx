import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { Tongue } from "./strings";
import { useUi } from "./ui";

const TICK_MS = 100;

/** A wait for the model that is longer than this is said to be slow. */
const SLOW_MS = 10_000;

/** "340ms", "4.2s", "3m 5s" in the reader's language; seconds by themselves have so many `digits`. */
export function duration(ms: number, { language }: Tongue, digits = 1): string {
  const unit = (value: number, name: string, places = 0): string =>
    new Intl.NumberFormat(language, {
      style: "unit",
      unit: name,
      unitDisplay: "narrow",
      minimumFractionDigits: places,
      maximumFractionDigits: places,
    }).format(value);
  if (ms < 1000 && digits > 0) return unit(Math.round(ms), "millisecond");
  if (ms < 60_000) return unit(ms / 1000, "second", digits);
  const seconds = Math.round(ms / 1000);
  return `${unit(Math.floor(seconds / 60), "minute")} ${unit(seconds % 60, "second")}`;
}

/** Milliseconds since `since` (epoch), ticking. A clock that is behind the server's counts from zero. */
export function useElapsed(since: number): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const ticking = setInterval(() => setNow(Date.now()), TICK_MS);
    return () => clearInterval(ticking);
  }, []);
  return Math.max(0, now - since);
}

/** Whole seconds left of `seconds`, counted from when it is first shown. */
export function useCountdown(seconds: number): number {
  const [left, setLeft] = useState(Math.ceil(seconds));
  useEffect(() => {
    if (left <= 0) return;
    const timer = setTimeout(() => setLeft(left - 1), 1000);
    return () => clearTimeout(timer);
  }, [left]);
  return left;
}

/** How long one has waited since `since` (epoch), from the first second on, and whether that is slow. */
export function Waited({ since }: { since: number }): JSX.Element | null {
  const ui = useUi();
  const elapsed = useElapsed(since);
  if (elapsed < 1000) return null;
  return (
    <>
      <span class="time">{duration(elapsed, ui)}</span>
      {elapsed > SLOW_MS && <span class="slow">{ui.t("slow")}</span>}
    </>
  );
}
