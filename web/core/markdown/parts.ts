import type { Token } from "markdown-it";
import type { Parsed } from "./blocks";
import type { Placed } from "./marks";
import type { References } from "./parser";
import { type ElementPiece, levelAfter, LINES_TOGETHER, type Piece, piecesOfCode } from "./pieces";

/**
 * The finished parts of a block that still grows: items of a list, rows of a table, blocks of a quotation, pieces of code.
 *
 * They are neither parsed nor drawn again while the last part is written. Since they can still depend on what comes (a blank
 * line far below makes the whole list loose), the block is parsed whole when that shows, and when it is finished.
 */
export interface FinishedParts {
  /** Where they end, in the text. */
  end: number;
  /** What the parser is given in their place, so that the block goes on for it. */
  head: string;
  pieces: readonly Piece[];
  /** The level of the last heading in them, or before. */
  headingLevel: number;
  /** The definitions in them, and before. */
  references: References;
}

interface Kind {
  /** The line in which each part begins. */
  lines: (tokens: readonly Token[]) => number[];
  /** The head for a block's parts, null while that cannot be told; `lines` gives lines of the source. */
  head: (tokens: readonly Token[], lines: (from: number, to: number) => string) => string | null;
  /** How many parts the head itself makes. */
  headParts: number;
  /** Where the parts are in the drawn block: child of child. */
  path: readonly number[];
}

const LIST: Kind = {
  lines: (tokens) => linesOf(tokens, ({ type, level }) => type === "list_item_open" && level === 1),
  head: (tokens) => {
    const [list] = tokens;
    const marker = `${list?.type === "ordered_list_open" ? (list.attrGet("start") ?? 1) : ""}${list?.markup ?? ""}`;
    // In a tight list paragraphs are hidden: without one there is no telling.
    const paragraph = tokens.find(({ type, level }) => type === "paragraph_open" && level === 2);
    // Indented as far as an item may be, so that no item of the list lies inside this one.
    return paragraph ? `   ${marker} x\n${paragraph.hidden ? "" : "\n"}` : null;
  },
  headParts: 1,
  path: [],
};

const KINDS: Readonly<Record<string, Kind>> = {
  bullet_list_open: LIST,
  ordered_list_open: LIST,
  blockquote_open: {
    // A definition is not drawn, and goes with the part before.
    lines: (tokens) =>
      linesOf(tokens, ({ type, level, nesting }) => level === 1 && nesting !== -1 && type !== "reference_definition"),
    head: () => ">\n",
    headParts: 0,
    path: [],
  },
  table_open: {
    lines: (tokens) => linesOf(tokens, ({ type }) => type === "tr_open").slice(1),
    head: ([table], lines) => lines(lineOf(table), lineOf(table) + 2),
    headParts: 0,
    path: [0, 1],
  },
  fence: {
    lines: ([fence]) => piecesOfCode(fence?.content ?? "").map((_, i) => lineOf(fence) + 1 + i * LINES_TOGETHER),
    head: ([fence], lines) => lines(lineOf(fence), lineOf(fence) + 1),
    headParts: 0,
    path: [0, 0],
  },
};

function linesOf(tokens: readonly Token[], isPart: (token: Token) => boolean): number[] {
  return tokens.filter(isPart).map(lineOf);
}

function lineOf(token: Token | undefined): number {
  return token?.map?.[0] ?? 0;
}

function kindOf(tokens: readonly Token[]): Kind | undefined {
  return KINDS[tokens[0]?.type ?? ""];
}

function headOf(tokens: readonly Token[], { text, starts }: Parsed): string | null {
  return kindOf(tokens)?.head(tokens, (from, to) => text.slice(starts[from], starts[to])) ?? null;
}

/** Whether the block `tokens`, parsed behind their head, is the one that `parts` belong to. */
export function hasParts(tokens: readonly Token[], parts: FinishedParts, source: Parsed): boolean {
  return headOf(tokens, source) === parts.head;
}

/** The whole block, of which `drawn` is what is parsed behind the head of `parts`. */
export function withParts(drawn: ElementPiece, tokens: readonly Token[], parts: FinishedParts): ElementPiece {
  const kind = kindOf(tokens);
  if (!kind) return drawn;
  return within(drawn, kind.path, (children) => [...parts.pieces, ...children.slice(kind.headParts)]);
}

/**
 * The finished parts of the growing block `tokens`, which `drawn` shows whole with `marks` in it: those before the last one
 * that has a whole line. Those `known` when there are no more. `headingLevel` is that before the block, or behind these.
 */
export function finishedParts(
  tokens: readonly Token[],
  source: Parsed,
  drawn: ElementPiece,
  marks: readonly Placed[],
  headingLevel: number,
  known: FinishedParts | null,
): FinishedParts | null {
  const kind = kindOf(tokens);
  const head = headOf(tokens, source);
  if (!kind || head === null) return known;
  const lines = kind.lines(tokens);
  const startOf = (part: number): number => source.starts[lines[part] ?? Infinity] ?? Infinity;
  const last = lines.findLastIndex((_, part) => source.text.includes("\n", startOf(part)));
  // The head is drawn anew each time, and no mark in it.
  if (last <= (known ? kind.headParts : 0) || marks.some(({ at }) => at <= startOf(0))) return known;
  const children = kind.path.reduce<readonly Piece[]>(childrenAt, drawn.children);
  return {
    end: source.origin + startOf(last),
    head,
    pieces: children.slice(0, children.length - (lines.length - last)),
    headingLevel: levelAfter(headingLevel, tokens.filter((token) => lineOf(token) < (lines[last] ?? 0))),
    references: source.references,
  };
}

function childrenAt(children: readonly Piece[], place: number): readonly Piece[] {
  const child = children[place];
  return typeof child === "object" && "tag" in child ? child.children : [];
}

/** `piece` with other children where `path` leads. */
function within(
  piece: ElementPiece,
  [place, ...path]: readonly number[],
  change: (children: readonly Piece[]) => readonly Piece[],
): ElementPiece {
  const { children } = piece;
  if (place === undefined) return { ...piece, children: change(children) };
  const child = children[place];
  if (typeof child !== "object" || !("tag" in child)) return piece;
  return { ...piece, children: children.with(place, within(child, path, change)) };
}
