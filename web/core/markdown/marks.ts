import type { Token } from "markdown-it";
import { codePointLength, indexOfCodePoint } from "../codepoints";
import type { CitationFields } from "../events";

/**
 * Places citation marks in the words of a block's leaves, after its structure has been parsed and before its words are, so
 * that they come out at the right place of the tree and cannot change what kind of block it is.
 *
 * A mark is `SIGN number SIGN`. The sign counts as punctuation for Markdown's rules on emphasis, so `**so.**` and
 * `**so**` close before it as they did without it; it is one that the block itself does not contain.
 */
const SIGNS = ["\ua95f", "\u166e", "\ua874", "\u1805"];

/** A mark by its index, and where in a text it stands, in UTF-16 units. */
export interface Placed {
  mark: number;
  at: number;
}

export interface Placement {
  /** The words of a leaf with the marks that stand in them. */
  marked: (leaf: Token) => string;
  /** Finds the marks in parsed words; group 1 is the index. */
  pattern: RegExp;
  /** Marks that stand in no leaf (below code, a rule): they belong behind the block. */
  behind: number[];
}

/** Where the citations of a text that grows stand in it: behind the last word of their statement, once that has come. */
export class MarkPlaces {
  private readonly placed: (Placed & { end: number })[] = [];
  private waiting: { mark: number; end: number }[] = [];
  private readonly known = new Set<string>();
  private taken = 0;
  /** As far as it has been counted, the text is so many UTF-16 units and code points long. */
  private units = 0;
  private points = 0;

  /** Takes a text and citations that go on from those before. Returns the marks that have found their place. */
  take(text: string, citations: readonly CitationFields[]): readonly Placed[] {
    for (const [i, { n, end }] of citations.slice(this.taken).entries()) {
      const key = `${n} ${end}`;
      if (!this.known.has(key)) this.waiting.push({ mark: this.taken + i, end });
      this.known.add(key);
    }
    this.taken = citations.length;
    if (this.waiting.length === 0) return [];
    const { units, points } = this;
    // Half a pair is not counted yet.
    this.units = /[\ud800-\udbff]$/.test(text) ? text.length - 1 : text.length;
    this.points += codePointLength(text.slice(units, this.units));
    const found = this.waiting.filter(({ end }) => end <= this.points);
    this.waiting = this.waiting.filter(({ end }) => end > this.points);
    const fresh = found.map(({ mark, end }) => {
      const index = end < points ? indexOfCodePoint(text, end) : units + indexOfCodePoint(text.slice(units), end - points);
      return { mark, end, at: text.slice(0, index).trimEnd().length };
    });
    this.placed.push(...fresh);
    this.placed.sort((one, other) => one.end - other.end);
    return fresh;
  }

  /** The marks in text(from, to], ascending, by their places counted from `origin`. */
  within(from: number, to: number, origin = 0): Placed[] {
    return this.placed.flatMap(({ mark, at }) => (at > from && at <= to ? [{ mark, at: at - origin }] : []));
  }
}

/** Where `marks` stand, which ascend and lie in `source`, in the block of `tokens`; `starts` is where each line begins. */
export function placeMarks(
  tokens: readonly Token[],
  source: string,
  starts: readonly number[],
  marks: readonly Placed[],
): Placement {
  const leaves = marks.length === 0 ? [] : leavesOf(tokens, ["inline"]);
  return placement(source, marks, ({ at }) => placeInLeaf(leaves, source, starts, starts.findLastIndex((start) => start < at), at));
}

/**
 * Where the parts of a document begin and end, code included: mark 0 stands before the words at `ends[0]`, the next ones,
 * at which a part ends and another begins, too, and the last one behind the words before it.
 */
export function placeEnds(
  tokens: readonly Token[],
  source: string,
  starts: readonly number[],
  ends: readonly number[],
): Placement {
  const leaves = leavesOf(tokens, ["inline", "fence", "code_block"]);
  const marks = ends.map((at, mark) => ({ mark, at }));
  return placement(source, marks, ({ mark, at: place }) => {
    if (mark === ends.length - 1) {
      const at = source.slice(0, place).trimEnd().length;
      const line = starts.findLastIndex((start) => start < at);
      const before = leaves.findLast(({ end }) => end <= line)?.token;
      return placeInLeaf(leaves, source, starts, line, at) ?? (before ? { leaf: before, at: before.content.length } : null);
    }
    const at = source.length - source.slice(place).trimStart().length;
    const line = starts.findLastIndex((start) => start <= at);
    const next = leaves.find(({ first }) => first > line)?.token;
    return placeInLeaf(leaves, source, starts, line, at) ?? (next ? { leaf: next, at: 0 } : null);
  });
}

interface Place {
  leaf: Token;
  /** Where in its words. */
  at: number;
}

function placement(source: string, marks: readonly Placed[], find: (mark: Placed) => Place | null): Placement {
  const sign = SIGNS.find((candidate) => !source.includes(candidate));
  const pattern = new RegExp(`${sign ?? "\u1805"}(\\d+)${sign ?? "\u1805"}`);
  const standing = new Map<Token, Placed[]>();
  const behind: number[] = [];
  for (const placed of marks) {
    const place = sign === undefined ? null : find(placed);
    if (place === null) behind.push(placed.mark);
    else standing.set(place.leaf, [...(standing.get(place.leaf) ?? []), { mark: placed.mark, at: place.at }]);
  }
  const marked = (leaf: Token): string => insert(leaf.content, standing.get(leaf) ?? [], sign ?? "");
  return { marked, pattern, behind };
}

interface Leaf {
  token: Token;
  first: number;
  /** The line behind its last one. */
  end: number;
}

/** The leaves of these types with their lines; the cells of a row have those of the row. */
function leavesOf(tokens: readonly Token[], types: readonly string[]): Leaf[] {
  let row: [number, number] = [0, 0];
  return tokens.flatMap((token): Leaf[] => {
    if (token.type === "tr_open" && token.map) row = token.map;
    if (!types.includes(token.type)) return [];
    const [first, end] = token.map ?? row;
    return [{ token, first: token.type === "fence" ? first + 1 : first, end }];
  });
}

/** The leaf in which `at` lies, which is in this line, and where in its words; null when that line belongs to none. */
function placeInLeaf(
  leaves: readonly Leaf[],
  source: string,
  starts: readonly number[],
  line: number,
  at: number,
): Place | null {
  const text = source.slice(starts[line], starts[line + 1]).trimEnd();
  const column = at - (starts[line] ?? 0);
  let place: Place | null = null;
  let from = 0;
  for (const { token, first, end } of leaves) {
    if (line < first || line >= end) continue;
    const lines = token.content.split("\n");
    const words = (lines[line - first] ?? "").trimEnd();
    const before = lines.slice(0, line - first).reduce((sum, one) => sum + one.length + 1, 0);
    // A leaf's line is the source's without what stands before it (and, in a table, behind it).
    const found = token.map ? text.lastIndexOf(words) : text.indexOf(words, from);
    const begin = found === -1 ? Math.max(from, text.length - words.length) : found;
    if (place !== null && column <= begin) break;
    place = { leaf: token, at: before + Math.min(Math.max(column - begin, 0), words.length) };
    from = begin + words.length;
  }
  return place;
}

function insert(content: string, placed: readonly Placed[], sign: string): string {
  let text = "";
  let from = 0;
  for (const { mark, at } of placed) {
    const place = Math.max(from, at);
    text += `${content.slice(from, place)}${sign}${mark}${sign}`;
    from = place;
  }
  return text + content.slice(from);
}
