import type { JSX } from "preact";

const PATHS = {
  menu: "M4 7h16M4 12h16M4 17h16",
  plus: "M12 5v14M5 12h14",
  send: "M12 19V5M6 11l6-6 6 6",
  stop: "M8 8h8v8H8z",
  pencil: "M5 19l1-4L16 5l3 3L9 18z",
  bin: "M5 7h14M10 7V5h4v2M7 7l1 12h8l1-12",
  close: "M6 6l12 12M18 6L6 18",
  check: "M5 12.5l4.5 4.5L19 7.5",
  again: "M19 12a7 7 0 1 1-2.2-5.1M19 4v4h-4",
  down: "M12 5v14M6 13l6 6 6-6",
  back: "M14 6l-6 6 6 6",
  forward: "M10 6l6 6-6 6",
  play: "M8 5.5v13l10-6.5z",
} as const;

/** A drawing beside or instead of words; its control carries the name. */
export function Icon({ name }: { name: keyof typeof PATHS }): JSX.Element {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}
