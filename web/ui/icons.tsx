import type { JSX, TargetedMouseEvent } from "preact";

export const IconPath = {
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
  copy: "M9 9h10v10H9zM5 15V5h10",
  good: "M7 11v9H4v-9zM7 11l4-7c1.5 0 2.4 1 2.2 2.5L12.7 10H18a2 2 0 0 1 2 2.4l-1.2 6A2 2 0 0 1 16.8 20H7",
  bad: "M7 13V4H4v9zM7 13l4 7c1.5 0 2.4-1 2.2-2.5L12.7 14H18a2 2 0 0 0 2-2.4l-1.2-6A2 2 0 0 0 16.8 4H7",
  info: "M12 11v5M12 8v.01M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17z",
  search: "M11 5a6 6 0 1 0 0 12 6 6 0 0 0 0-12zM15.5 15.5L20 20",
  gear: "M4 7h9M17 7h3M4 17h3M11 17h9M15 5v4M9 15v4",
  save: "M12 4v11M7 11l5 5 5-5M5 20h14",
  file: "M7 3.5h7l4 4v13H7zM14 3.5v4h4",
  clip: "M19 11l-7.5 7.5a4.5 4.5 0 0 1-6.4-6.4L12.7 4.5a3 3 0 0 1 4.3 4.3l-7.4 7.4a1.5 1.5 0 0 1-2.2-2.2L14 7.5",
  clock: "M12 7.5V12l3 2M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17z",
  warning: "M12 9v4.5M12 16.5v.01M12 4L3.5 19h17z",
  offline: "M4 4l16 16M8 16a5.5 5.5 0 0 1 7-.8M5 12.5a10 10 0 0 1 4-2.3M13.5 10a10 10 0 0 1 5.5 2.5M12 19.5v.01",
  quote: "M6 17h3l2-4V7H5v6h3zM15 17h3l2-4V7h-6v6h3z",
  spark: "M12 4l1.8 5.2L19 11l-5.2 1.8L12 18l-1.8-5.2L5 11l5.2-1.8z",
  more: "M6 12v.01M12 12v.01M18 12v.01",
  out: "M14 5h5v5M19 5l-8 8M17 13v6H5V7h6",
} as const;

/** A drawing beside or instead of words; its control carries the name. */
export function Icon({ name }: { name: keyof typeof IconPath }): JSX.Element {
  return (
    <svg class={`icon icon-${name}`} viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={IconPath[name]} />
    </svg>
  );
}

/** The same drawing outside Preact's tree. */
export function svgIcon(path: string): SVGSVGElement {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS(space, "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

interface IconButtonProps {
  icon: keyof typeof IconPath;
  name: string;
  onClick: (event: TargetedMouseEvent<HTMLButtonElement>) => void;
  disabled?: boolean;
  pressed?: boolean;
  expanded?: boolean;
  controls?: string;
  class?: string;
}

/** A button that is only a drawing: its name is read and shown as a hint. */
export function IconButton({ icon, name, pressed, expanded, controls, ...rest }: IconButtonProps): JSX.Element {
  return (
    <button
      {...rest}
      type="button"
      class={`icon-button ${rest.class ?? ""}`}
      aria-label={name}
      title={name}
      aria-pressed={pressed}
      aria-expanded={expanded}
      aria-controls={controls}
    >
      <Icon name={icon} />
    </button>
  );
}
