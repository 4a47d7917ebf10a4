import type { Token } from "markdown-it";
import { indicesOfCodePoints, codePointLength } from "../codepoints";
import type { CitationFields } from "../events";
import { insertMarks, placeAt, type Placed } from "../marks";
import { parseBlocks, parseInline, type References } from "./parser";
import { paint, type Painted, update } from "./patch";
import { completed, decided } from "./unfinished";
import { Drawing, type ElementPiece, type Labels, withBehind } from "./pieces";

export interface MarkdownOptions {
  labels: Labels;
  /** The node for a citation of source `n`; null when there is nothing to show for it. */
  citation?: (n: number) => Node | null;
  /** Images are fetched from addresses that begin with one of these, and are else shown as links. */
  imagePrefixes?: readonly string[];
  /** Told of each block when it is finished, in order. */
  onBlock?: (block: Element) => void;
}

/** A top-level block of the document: its source is text[start, end). */
interface Block {
  start: number;
  end: number;
  painted: Painted;
  /** The heading level that the document had reached before it. */
  headingLevel: number;
  /** The citations shown in it. */
  marks: string;
}

/** Finished blocks are laid out and painted in groups of this many, and only while they are near the screen. */
const GROUP_SIZE = 12;
/** Nothing that comes behind one belongs to the leaf before it. */
const BLANK_LINE_AT_END = /\n[ \t>]*\n\s*$/;
/** A turn of the conversation is a heading of level 2; the answer's own go on from there. */
const TURN_HEADING_LEVEL = 2;

/**
 * Markdown that grows, as nodes of `target`, never by way of HTML.
 *
 * A finished block is painted once; only what is behind the last finished one is parsed again. However the text was cut
 * on its way, the nodes are those of a single `update` with the whole text.
 */
export class MarkdownView {
  private text = "";
  private final = false;
  private blocks: Block[] = [];
  private finished = 0;
  private finishedEnd = 0;
  private headingLevel = TURN_HEADING_LEVEL;
  private references: References = {};
  private citations: readonly CitationFields[] = [];
  private markNodes = new Map<number, Node>();
  private leaves = new Map<string, Token[]>();
  private referencesKey = "";

  constructor(
    private readonly target: Element,
    private readonly options: MarkdownOptions,
  ) {}

  /**
   * Shows `text`: all that may be seen so far, whole when `final`. A text that does not go on from the one before is
   * painted anew. Citations are as the events give them, in code points; one beyond the text waits for it.
   */
  update(text: string, final: boolean, citations: readonly CitationFields[] = []): void {
    const goesOn = text.startsWith(this.text) && this.citations.every((citation, i) => isSame(citation, citations[i]));
    if (!goesOn || (this.final && text !== this.text)) this.clear();
    const { references, finished } = this;
    const cited = citations.length > this.citations.length;
    this.text = text;
    this.final = final;
    this.citations = citations;
    this.paintTail();
    if (finished > 0 && (cited || references !== this.references)) this.repaintFinished();
  }

  /** Empties the target. */
  clear(): void {
    this.target.replaceChildren();
    this.text = "";
    this.final = false;
    this.blocks = [];
    this.finished = 0;
    this.finishedEnd = 0;
    this.headingLevel = TURN_HEADING_LEVEL;
    this.references = {};
    this.citations = [];
    this.markNodes.clear();
    this.leaves.clear();
  }

  private paintTail(): void {
    const from = this.finishedEnd;
    const tail = this.text.slice(from);
    const source = this.final ? tail : decided(tail);
    const growing = !this.final && !BLANK_LINE_AT_END.test(source);
    const { blocks, references, draw } = this.parse(source, from, this.headingLevel);
    const last = blocks.at(-1);
    const finished = this.final ? blocks.length : last && source.indexOf("\n", last.start) !== -1 ? blocks.length - 1 : 0;
    const finishedLength = finished === blocks.length ? source.length : (blocks[finished]?.start ?? 0);

    let at = this.finished;
    for (const [i, block] of blocks.entries()) {
      const { headingLevel, piece, marks } = draw(block, growing && i === blocks.length - 1);
      if (piece) {
        const painted = this.place(at, piece);
        this.blocks[at] = { start: from + block.start, end: from + block.end, painted, headingLevel, marks };
        at++;
      }
      if (i < finished) this.headingLevel = draw.headingLevel();
      if (i < finished && piece) this.finish();
    }
    for (const { painted } of this.blocks.splice(at)) (painted.node as Element).remove();
    while (this.target.lastElementChild?.childElementCount === 0) this.target.lastElementChild.remove();
    if (finished > 0) {
      if (Object.keys(references).length > 0) {
        const known = { ...this.references };
        parseBlocks(source.slice(0, finishedLength), known);
        if (Object.keys(known).length > Object.keys(this.references).length) this.references = known;
      }
      this.finishedEnd += finishedLength;
    }
  }

  private parse(source: string, from: number, headingLevel: number) {
    const placed: Placed[] = [];
    const behind: Placed[] = [];
    for (const { mark, end } of this.located(from, from + source.length)) {
      const at = placeAt(this.text, end);
      if (at !== null && at > from) placed.push({ mark, at: at - from });
      else behind.push({ mark, at: end - from });
    }
    const { text, pattern } = insertMarks(source, placed);
    const references = Object.create(this.references) as References;
    const tokens = parseBlocks(text, references);
    const starts = lineStarts(source);
    const blocks = topLevel(tokens).map((group) => {
      const [first, end] = group[0]?.map ?? [0, 0];
      return { tokens: group, start: starts[first] ?? source.length, end: starts[end] ?? source.length };
    });
    const torn = !/\s$/.test(source);
    const used = new Map<string, Token[]>();
    const inline = (content: string, open: boolean): readonly Token[] => {
      const key = `${open ? (torn ? "torn" : "open") : ""} ${content}`;
      const parsed = this.leaves.get(key) ?? parseInline(open ? completed(content, torn) : content, references);
      used.set(key, parsed);
      return parsed;
    };
    const key = `${Object.keys(references).length} ${Object.keys(this.references).length}`;
    if (key !== this.referencesKey) this.leaves.clear();
    this.referencesKey = key;
    const drawing = new Drawing(
      { labels: this.options.labels, imagePrefixes: this.options.imagePrefixes ?? [] },
      pattern,
      inline,
      headingLevel,
    );
    const draw = (block: (typeof blocks)[number], open: boolean) => {
      const level = drawing.lastHeadingLevel;
      if (block.tokens[0]?.type === "reference_definition") return { headingLevel: level, piece: null, marks: "" };
      const mine = behind.filter(({ at }) => at > block.start && at <= block.end);
      const piece = withBehind(drawing.draw(block.tokens, open), mine);
      const marks = [...placed, ...mine].filter(({ at }) => at > block.start && at <= block.end).map(({ mark }) => mark);
      this.leaves = used;
      return { headingLevel: level, piece, marks: marks.join() };
    };
    draw.headingLevel = () => drawing.lastHeadingLevel;
    return { blocks, references, draw };
  }

  /** The citations that end in text(from, to], by where they end in UTF-16 units. */
  private located(from: number, to: number): { mark: number; end: number }[] {
    const first = (mark: number): boolean =>
      this.citations.findIndex((citation) => isSame(citation, this.citations[mark])) === mark;
    const order = [...this.citations.keys()].filter(first).sort((a, b) => (this.citations[a]?.end ?? 0) - (this.citations[b]?.end ?? 0));
    const length = codePointLength(this.text);
    const ends = order.map((i) => this.citations[i]?.end ?? 0);
    const indices = indicesOfCodePoints(this.text, ends);
    return order.flatMap((mark, i) => {
      const end = indices[i] ?? 0;
      return (ends[i] ?? 0) <= length && end > from && end <= to ? [{ mark, end }] : [];
    });
  }

  /** Shows `piece` as block number `at`, in the node that is there when that can show it. */
  private place(at: number, piece: ElementPiece): Painted {
    const old = this.blocks[at]?.painted;
    if (old && update(old, piece, this.markNode)) return old;
    const fresh = paint(this.target, piece, this.markNode);
    if (old) (old.node as Element).replaceWith(fresh.node);
    else this.group(Math.floor(at / GROUP_SIZE)).append(fresh.node);
    return fresh;
  }

  private group(index: number): Element {
    const existing = this.target.children[index];
    if (existing) return existing;
    const group = this.target.ownerDocument.createElement("div");
    group.className = "blocks";
    this.target.append(group);
    return group;
  }

  private finish(): void {
    const block = this.blocks[this.finished];
    this.finished++;
    if (this.finished % GROUP_SIZE === 0) this.group(this.finished / GROUP_SIZE - 1).classList.add("finished");
    if (block) this.options.onBlock?.(block.painted.node as Element);
  }

  /** A citation or a link's definition has come for something that was finished before it. */
  private repaintFinished(): void {
    for (const [at, block] of this.blocks.slice(0, this.finished).entries()) {
      const source = this.text.slice(block.start, block.end);
      const { blocks, draw } = this.parse(source, block.start, block.headingLevel);
      const [only] = blocks;
      if (!only) continue;
      const { piece, marks } = draw(only, false);
      if (!piece) continue;
      block.painted = this.place(at, piece);
      block.marks = marks;
    }
  }

  private readonly markNode = (mark: number): Node => {
    const existing = this.markNodes.get(mark);
    if (existing) return existing;
    const n = this.citations[mark]?.n;
    const made = n === undefined ? null : (this.options.citation?.(n) ?? null);
    const node = made ?? this.target.ownerDocument.createTextNode("");
    this.markNodes.set(mark, node);
    return node;
  };
}

function isSame(one: CitationFields, other: CitationFields | undefined): boolean {
  return one.n === other?.n && one.end === other.end;
}

/** Cuts tokens into those of each top-level block. */
function topLevel(tokens: readonly Token[]): Token[][] {
  const blocks: Token[][] = [];
  let depth = 0;
  for (const token of tokens) {
    if (depth === 0) blocks.push([]);
    blocks.at(-1)?.push(token);
    depth += token.nesting;
  }
  return blocks;
}

/** Where each line of `text` begins. */
function lineStarts(text: string): number[] {
  const starts = [0];
  for (const { index, 0: end } of text.matchAll(/\r\n?|\n/g)) starts.push(index + end.length);
  return starts;
}
