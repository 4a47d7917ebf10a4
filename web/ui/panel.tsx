import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { type DocumentText, Refusal } from "../core/api";
import { indexOfCodePoint, indicesOfCodePoints } from "../core/codepoints";
import type { SourceFields } from "../core/events";
import { paintDocument } from "../core/markdown/document";
import { excerpt, withoutFrontMatter } from "../core/markdown/excerpt";
import { Icon, IconButton } from "./icons";
import { isKey } from "./keys";
import { labelsOf } from "./painter";
import { PdfPages } from "./pdf-pages";
import { pageOf } from "./sources";
import { type Shown, useUi } from "./ui";

/** How much of a document is shown before its passage, and behind it. */
const BEFORE = 6_000;
const BEHIND = 18_000;
/** So much of Markdown before that tells how it is to be read: a table's head, the fence of code. */
const READ_BEFORE = 60_000;

interface PanelProps {
  shown: Shown;
  /** It lies over all else. */
  covers: boolean;
  onClose: () => void;
}

/** A source beside the conversation, at its place: PDF as pages, the rest as text, the passage marked. */
export function Panel({ shown, covers, onClose }: PanelProps): JSX.Element {
  const { t } = useUi();
  const { source } = shown;
  const panel = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => panel.current?.focus({ preventScroll: true }), [source]);
  return (
    <div
      ref={panel}
      role={covers ? "dialog" : "complementary"}
      aria-modal={covers || undefined}
      class="panel"
      part="panel"
      tabIndex={-1}
      aria-label={t("source_panel", { title: source.title || source.uri })}
      onKeyDown={(event) => {
        if (!isKey(event, "Escape") || event.defaultPrevented) return;
        event.preventDefault();
        onClose();
      }}
    >
      <div class="panel-head">
        <span class="number">{source.n}</span>
        <div class="panel-title">
          <h2 dir="auto">{source.title || source.uri}</h2>
          <p class="quiet">
            <bdi>{source.uri}</bdi>
            {source.page_start !== undefined && ` · ${pageOf(source, t) ?? ""}`}
          </p>
        </div>
        <IconButton icon="close" name={t("close_source")} onClick={onClose} />
      </div>
      <SourceView key={source.source_id} shown={shown} />
    </div>
  );
}

type Loaded = { document: DocumentText } | { missing: string } | null;

function SourceView({ shown }: { shown: Shown }): JSX.Element {
  const { api, t } = useUi();
  const { source } = shown;
  const [loaded, setLoaded] = useState<Loaded>(null);
  const start = Math.max(0, (source.start ?? 0) - READ_BEFORE);
  const end = (source.end ?? 0) + BEHIND;
  useEffect(() => {
    const abort = new AbortController();
    api.document(source.document_id, start, end, abort.signal).then(
      (document) => setLoaded({ document }),
      (error: unknown) => {
        if (abort.signal.aborted) return;
        const isGone = error instanceof Refusal && error.problem.status === 404;
        setLoaded({ missing: isGone ? t("document_gone") : error instanceof Error ? error.message : String(error) });
      },
    );
    return () => abort.abort();
  }, [source, start, end]);

  if (loaded === null) {
    return (
      <p class="panel-note">
        <span class="spinner" aria-hidden="true" /> {t("opening_source")}
      </p>
    );
  }
  if ("missing" in loaded) {
    return (
      <div class="panel-body">
        <p class="panel-note">
          <Icon name="info" />
          {loaded.missing}
        </p>
        <blockquote class="passage" dir="auto">
          <mark>{source.snippet}</mark>
        </blockquote>
      </div>
    );
  }
  const { document } = loaded;
  const isPdf = document.format === "pdf" || /\.pdf$/i.test(document.uri);
  const changed = document.version !== source.version;
  return (
    <>
      {changed && (
        <p class="panel-note">
          <Icon name="info" />
          {t("document_changed")}
        </p>
      )}
      {isPdf ? (
        <PdfPages
          address={api.original(source.document_id)}
          shown={shown}
          passage={passageOf(document, source, changed)}
        />
      ) : (
        <Text document={document} shown={shown} changed={changed} />
      )}
      <p class="panel-foot">
        <a href={api.original(source.document_id)} target="_blank" rel="noopener noreferrer">
          <Icon name="out" />
          {t("open_original")}
        </a>
      </p>
    </>
  );
}

/** The passage as it stands in the document or, where that has changed since, as far as it was quoted. */
function passageOf({ text, start }: DocumentText, source: SourceFields, changed: boolean): string {
  if (changed || source.start === undefined || source.end === undefined) return source.snippet;
  const [from, to] = indicesOfCodePoints(text, [source.start - start, source.end - start]);
  return text.slice(from, to) || source.snippet;
}

interface TextProps {
  document: DocumentText;
  shown: Shown;
  changed: boolean;
}

function Text({ document, shown, changed }: TextProps): JSX.Element {
  const { t } = useUi();
  const { text, markdown } = document;
  const body = useRef<HTMLDivElement>(null);
  const words = useRef<HTMLDivElement>(null);
  const place = placeOfPassage(text, document.start, shown.source, changed);
  const [from, to] = place ?? [0, 0];
  const { start, head } = markdown ? excerpt(text, from - BEFORE, BEFORE) : { start: lineStart(text, from - BEFORE), head: "" };
  const end = Math.min(text.length, to + BEHIND);
  const isBeginning = document.start + start === 0;

  useLayoutEffect(() => {
    if (!words.current || !body.current) return;
    const opened = changed ? from : Math.max(from, beginningOfPage(document, shown));
    const ends = [...(opened > from ? [from] : []), opened, to].map((at) => head.length + at - start);
    const part = head + text.slice(start, end);
    const paint = markdown ? paintDocument : paintText;
    const marked = paint(words.current, markdown && isBeginning ? withoutFrontMatter(part) : part, place ? ends : [], labelsOf(t));
    const [first] = marked.at(-1) ?? [];
    const { top } = body.current.getBoundingClientRect();
    if (first) body.current.scrollTop += first.getBoundingClientRect().top - top - body.current.clientHeight / 4;
  }, [document, shown]);

  return (
    <div ref={body} class="panel-body" tabIndex={0} role="group" aria-label={t("source_text")}>
      {!isBeginning && <p class="quiet">{t("text_before")}</p>}
      {markdown ? (
        <div class={`prose document ${document.format === "markdown" ? "" : "lines-kept"}`}>
          <div ref={words} class="blocks" />
        </div>
      ) : (
        <div ref={words} class="text" dir="auto" />
      )}
      {(end < text.length || document.end < document.length) && <p class="quiet">{t("text_behind")}</p>}
    </div>
  );
}

/** Shows text as it is, with the parts between the ends marked. */
function paintText(target: HTMLElement, text: string, ends: readonly number[]): HTMLElement[][] {
  const marks = ends.slice(1).map((end, i) => {
    const mark = target.ownerDocument.createElement("mark");
    mark.append(text.slice(ends[i], end));
    return mark;
  });
  target.replaceChildren(text.slice(0, ends[0]), ...marks, marks.length > 0 ? text.slice(ends.at(-1)) : "");
  return marks.map((mark) => [mark]);
}

function lineStart(text: string, at: number): number {
  return at <= 0 ? 0 : text.lastIndexOf("\n", at - 1) + 1;
}

/** Where the passage is, in UTF-16 units of `text`; null when it cannot be found any more. */
function placeOfPassage(text: string, start: number, source: SourceFields, changed: boolean): [number, number] | null {
  if (!changed && source.start !== undefined && source.end !== undefined) {
    const [from, to] = indicesOfCodePoints(text, [source.start - start, source.end - start]);
    return from !== undefined && to !== undefined ? [from, to] : null;
  }
  const at = text.indexOf(source.snippet);
  return at === -1 ? null : [at, at + source.snippet.length];
}

/** Where the page that the citation names begins, in UTF-16 units of the text; 0 when that is not within the passage. */
function beginningOfPage({ text, start, pages }: DocumentText, { source, page = 0 }: Shown): number {
  const begins = pages[page - 1] ?? 0;
  if (source.start === undefined || source.end === undefined || begins <= source.start || begins >= source.end) return 0;
  return indexOfCodePoint(text, begins - start);
}
