import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { SourceFields } from "../core/events";

interface Props {
  sources: readonly SourceFields[];
  /** The source that a citation asks for; a new object asks again. */
  shown: { n: number } | null;
  /** Back to where the reader came from. */
  onLeave: () => void;
}

export function Sources({ sources, shown, onLeave }: Props): JSX.Element {
  return (
    <ol class="sources" aria-label="Sources">
      {sources.map((source) => (
        <Card key={source.n} source={source} shown={shown?.n === source.n ? shown : null} onLeave={onLeave} />
      ))}
    </ol>
  );
}

interface CardProps {
  source: SourceFields;
  shown: { n: number } | null;
  onLeave: () => void;
}

function Card({ source, shown, onLeave }: CardProps): JSX.Element {
  const [open, setOpen] = useState(false);
  const button = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    if (shown === null) return;
    setOpen(true);
    button.current?.focus();
    button.current?.scrollIntoView({ block: "nearest" });
  }, [shown]);
  const page = pageOf(source);
  return (
    <li
      class={open ? "source open" : "source"}
      onKeyDown={(event) => {
        if (event.key !== "Escape" || !open) return;
        event.preventDefault();
        setOpen(false);
        onLeave();
      }}
    >
      <button
        ref={button}
        type="button"
        aria-expanded={open}
        aria-label={`Source ${source.n}: ${placeInDocument(source)}`}
        onClick={() => setOpen(!open)}
      >
        <span class="number">{source.n}</span>
        <span class="source-title">{source.title || source.uri}</span>
        {page && <span class="page-number">{page}</span>}
      </button>
      <p class="snippet">{source.snippet}</p>
      {open && <p class="uri">{source.uri}</p>}
    </li>
  );
}

/** "handbook.pdf, page 4" */
export function placeInDocument(source: SourceFields): string {
  const page = pageOf(source);
  return [source.title || source.uri, ...(page ? [page] : [])].join(", ");
}

function pageOf({ page_start: first, page_end: last }: SourceFields): string | null {
  if (first === undefined) return null;
  return last === undefined || last === first ? `page ${first}` : `pages ${first} to ${last}`;
}
