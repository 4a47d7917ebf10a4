import { indicesOfCodePoints } from "./codepoints";

/**
 * Places citation marks in Markdown before it is parsed, so that they come out at the right place of the tree.
 *
 * A mark is `SIGN number SIGN`. The sign counts as punctuation for Markdown's rules on emphasis, so `**so.**` and
 * `**so**` close before it as they did without it; it is one that the text itself does not contain.
 */
const SIGNS = ["\ua95f", "\u166e", "\ua874", "\u1805"];

export interface MarkedText {
  text: string;
  /** Finds the marks in parsed text; group 1 is the index in `ends`. */
  pattern: RegExp;
}

/** `markdown` with mark i after its code point `ends[i]`. A place where no mark can stand gets none. */
export function placeMarks(markdown: string, ends: readonly number[]): MarkedText {
  const sign = SIGNS.find((candidate) => !markdown.includes(candidate)) ?? "\u1805";
  const pattern = new RegExp(`${sign}(\\d+)${sign}`);
  const order = [...ends.keys()].sort((a, b) => (ends[a] ?? 0) - (ends[b] ?? 0));
  const indices = indicesOfCodePoints(
    markdown,
    order.map((i) => ends[i] ?? 0),
  );
  let text = "";
  let from = 0;
  for (const [position, index] of indices.entries()) {
    const place = placeAt(markdown, index);
    if (place === null) continue;
    const at = Math.max(from, place);
    text += `${markdown.slice(from, at)}${sign}${order[position] ?? 0}${sign}`;
    from = at;
  }
  return { text: text + markdown.slice(from), pattern };
}

/** A mark's index and its place, in UTF-16 units of the text around it. */
export interface Placed {
  mark: number;
  at: number;
}

/** `markdown` with marks at their places, which ascend. */
export function insertMarks(markdown: string, placed: readonly Placed[]): MarkedText {
  const sign = SIGNS.find((candidate) => !markdown.includes(candidate)) ?? "\u1805";
  let text = "";
  let from = 0;
  for (const { mark, at } of placed) {
    text += `${markdown.slice(from, at)}${sign}${mark}${sign}`;
    from = at;
  }
  return { text: text + markdown.slice(from), pattern: new RegExp(`${sign}(\\d+)${sign}`) };
}

/** Lines whose meaning a mark would change: fences, rules, underlines of headings, a table's second line. */
const NO_MARK = /^[\s>]*(`{3}|~{3}|[-=*_|:\s]+$)/;

/** Where a mark for the statement that ends at `index` can stand, in UTF-16 units; null when nowhere on its line. */
export function placeAt(markdown: string, index: number): number | null {
  let at = index;
  while (at > 0 && isSpace(markdown.charCodeAt(at - 1))) at--;
  const lineStart = markdown.lastIndexOf("\n", at - 1) + 1;
  const newline = markdown.indexOf("\n", at);
  const lineEnd = newline === -1 ? markdown.length : newline;
  if (at === 0 || NO_MARK.test(markdown.slice(lineStart, lineEnd))) return null;
  // In a table's row the mark belongs into the last cell, not behind it.
  if (markdown[at - 1] === "|" && markdown.slice(at, lineEnd).trim() === "") {
    at--;
    while (at > lineStart && isSpace(markdown.charCodeAt(at - 1))) at--;
  }
  return at;
}

function isSpace(unit: number): boolean {
  return unit === 0x20 || unit === 0x0a || unit === 0x09 || unit === 0x0d;
}
