/** Where a part of a Markdown document begins that can be read by itself, and what must stand before it for that. */
export interface Excerpt {
  start: number;
  head: string;
}

const FENCE = /^[ \t]*(`{3,}|~{3,})/;
const ROW = /^[ \t]*\|/;
const DELIMITERS = /^[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/;

/**
 * The last place up to `limit` where a part of `text` can begin: behind an empty line or, in the middle of a table or of
 * code, at any line, behind the table's head or the code's fence. No further back than `limit - reach`, though.
 */
export function excerpt(text: string, limit: number, reach: number): Excerpt {
  let found: Excerpt = { start: 0, head: "" };
  let fence: string | null = null;
  let table: string | null = null;
  let before = "";
  for (let start = 0; start <= limit && start < text.length; ) {
    const end = text.indexOf("\n", start) + 1 || text.length;
    const line = text.slice(start, end);
    const isRow: boolean = table !== null && ROW.test(line);
    if (fence !== null) found = { start, head: fence };
    else if (table !== null && isRow) found = { start, head: table };
    else if (before.trim() === "") found = { start, head: "" };
    if (!isRow) table = null;
    const ticks = FENCE.exec(line)?.[1];
    if (fence === null && ticks) fence = line;
    else if (fence !== null && ticks?.startsWith(FENCE.exec(fence)?.[1] ?? "") && line.trim() === ticks) fence = null;
    else if (fence === null && ROW.test(before) && DELIMITERS.test(line.trimEnd())) table = before + line;
    before = line;
    start = end;
  }
  if (found.start >= limit - reach) return found;
  return { start: text.lastIndexOf("\n", limit - 1) + 1, head: "" };
}

/** A document whose front matter, if it has some, is code: by Markdown's rules it would be a rule and a heading. */
export function withoutFrontMatter(text: string): string {
  return text.replace(/^---(\r?\n(?:[^\n]*\n)*?)(?:---|\.\.\.)(?=\r?\n|$)/, "```$1```");
}
