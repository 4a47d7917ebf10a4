import type { JSX } from "preact";
import type { SourceFields } from "../core/events";
import type { Translate } from "./strings";
import { useUi } from "./ui";

/** What the answer may rest on, as cards; each opens at its place in the document. */
export function Sources({ sources }: { sources: readonly SourceFields[] }): JSX.Element {
  const { t, showSource } = useUi();
  return (
    <ol class="sources" part="sources" aria-label={t("sources")}>
      {sources.map((source) => (
        <li key={source.n} class="source" part="source">
          <button
            type="button"
            class="source-head"
            aria-label={nameOf(source, t)}
            onClick={(event) => showSource({ source, from: event.currentTarget })}
          >
            <span class="number">{source.n}</span>{" "}
            <span class="source-title" dir="auto">
              {source.title || source.uri}
            </span>{" "}
            <span class="page-number">{pageOf(source, t)}</span>
          </button>
          <p class="snippet" dir="auto">
            {source.snippet}
          </p>
        </li>
      ))}
    </ol>
  );
}

/** "Source 2: handbook.pdf, page 4" */
export function nameOf(source: SourceFields, t: Translate): string {
  return t("source_named", { number: source.n, place: placeInDocument(source, t) });
}

/** "handbook.pdf, page 4" */
export function placeInDocument(source: SourceFields, t: Translate): string {
  const page = pageOf(source, t);
  return [source.title || source.uri, ...(page ? [page] : [])].join(t("comma"));
}

export function pageOf({ page_start: first, page_end: last }: SourceFields, t: Translate): string | null {
  if (first === undefined) return null;
  return last === undefined || last === first ? t("page", { page: first }) : t("pages", { first, last });
}
