import type { Token } from "markdown-it";
import { indicesOfCodePoints, codePointLength } from "../codepoints";
import type { CitationFields } from "../events";
import { placeMarks, type Placed } from "./marks";
import { copyMarkdown } from "./copy";
import { highlightLater } from "./highlight";
import { parseBlocks, parseInline, type References } from "./parser";
import { paint, type Painted, update } from "./patch";
import { lacksEntities, loadEntities } from "./slim/entities";
import { completed, decided } from "./unfinished";
import { Drawing, type ElementPiece, type InlineParser, type Labels, type Rules } from "./pieces";

export interface MarkdownOptions {
  labels: Labels;
  /** The node for a citation; null when there is nothing to show for it. */
  citation?: (citation: CitationFields) => Node | null;
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
  private readonly rules: Rules;
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
  /** The labels that are defined where `leaves` were parsed. */
  private known = "";
  private waitsForEntities = false;

  constructor(
    private readonly target: Element,
    private readonly options: MarkdownOptions,
  ) {
    const prefixes = (options.imagePrefixes ?? []).map((prefix) => new URL(prefix).href);
    copyMarkdown(target);
    this.rules = { labels: options.labels, imagePrefixes: prefixes };
  }

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
    const tail = this.finishedEnd;
    this.paintTail();
    const stray = this.finishedEnd > tail && this.marksWithin(tail, this.blocks[finished]?.start ?? text.length).length > 0;
    if (finished > 0 && (cited || stray || references !== this.references)) this.repaintFinished();
    if (lacksEntities() && !this.waitsForEntities) {
      this.waitsForEntities = true;
      // Without the table a rare character stays written out, as when the network is gone.
      void loadEntities().then(this.repaint, () => undefined);
    }
  }

  private readonly repaint = (): void => {
    this.leaves.clear();
    this.repaintFinished();
    this.paintTail();
  };

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
    const parsed = new Parsed(source, this.references);
    const { blocks } = parsed;
    const last = blocks.at(-1);
    const finished = this.final ? blocks.length : last && source.indexOf("\n", last.start) !== -1 ? blocks.length - 1 : 0;
    const inline = this.inlineParser(source, parsed.references);
    const marks = this.marksWithin(from, from + source.length);

    let at = this.finished;
    for (const [i, block] of blocks.entries()) {
      if (block.isDefinition) continue;
      const { headingLevel } = this;
      const next = blocks.slice(i + 1).find(({ isDefinition }) => !isDefinition);
      const placement = placeMarks(block.tokens, source, parsed.starts, between(marks, block.start, next?.start, at === 0));
      const drawing = new Drawing(this.rules, placement, inline, headingLevel);
      const painted = this.place(at, drawing.draw(block.tokens, growing && i === blocks.length - 1));
      this.headingLevel = drawing.lastHeadingLevel;
      this.blocks[at] = { start: from + block.start, end: from + block.end, painted, headingLevel };
      at++;
      if (i < finished) this.finish();
    }
    for (const { painted } of this.blocks.splice(at)) (painted.node as Element).remove();
    while (this.target.lastElementChild?.childElementCount === 0) this.target.lastElementChild.remove();

    const next = this.blocks[this.finished];
    if (next) this.headingLevel = next.headingLevel;
    // Definitions before the first block stay with it, for what stands there is shown in it.
    if (finished === 0 || this.finished === 0) return;
    const length = finished === blocks.length ? source.length : (blocks[finished]?.start ?? 0);
    if (parsed.hasDefinitions) this.define(source.slice(0, length));
    this.finishedEnd += length;
  }

  /** Adds the definitions of a finished part of the text. */
  private define(source: string): void {
    const references = { ...this.references };
    parseBlocks(source, references);
    if (Object.keys(references).length > Object.keys(this.references).length) this.references = references;
  }

  /** Parses words once for as long as they stay the same. */
  private inlineParser(source: string, references: References): InlineParser {
    const known = Object.keys(references).join("\n") + Object.keys(this.references).join("\n");
    if (known !== this.known) this.leaves.clear();
    this.known = known;
    const torn = !/\s$/.test(source);
    const before = this.leaves;
    const used = (this.leaves = new Map<string, Token[]>());
    return (content, open) => {
      const key = `${open ? (torn ? "torn" : "open") : ""} ${content}`;
      const tokens = before.get(key) ?? parseInline(open ? completed(content, torn) : content, references);
      used.set(key, tokens);
      return tokens;
    };
  }

  /** The citations whose statement ends in text(from, to], by where that is, counted from `from`. */
  private marksWithin(from: number, to: number): Placed[] {
    const { citations, text } = this;
    if (citations.length === 0) return [];
    const first = (mark: number): boolean => citations.findIndex((citation) => isSame(citation, citations[mark])) === mark;
    const end = (mark: number): number => citations[mark]?.end ?? 0;
    const order = [...citations.keys()].filter(first).sort((a, b) => end(a) - end(b));
    const length = codePointLength(text);
    const indices = indicesOfCodePoints(text, order.map(end));
    return order.flatMap((mark, i) => {
      if (end(mark) > length) return [];
      const at = text.slice(0, indices[i]).trimEnd().length;
      return at > from && at <= to ? [{ mark, at: at - from }] : [];
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
    if (!block) return;
    const node = block.painted.node as Element;
    this.options.onBlock?.(node);
    for (const code of node.querySelectorAll("pre > code[class]")) highlightLater(code, code.className.slice("language-".length));
  }

  /** A citation or a link's definition has come for something that was finished before it. */
  private repaintFinished(): void {
    for (const [i, block] of this.blocks.slice(0, this.finished).entries()) {
      const source = this.text.slice(block.start, block.end);
      const parsed = new Parsed(source, this.references);
      const [only] = parsed.blocks;
      if (!only) continue;
      const before = i === 0 ? 0 : block.start;
      const marks = this.marksWithin(before, this.blocks[i + 1]?.start ?? this.text.length).map(({ mark, at }) => ({
        mark,
        at: Math.max(at + before - block.start, 1),
      }));
      const placement = placeMarks(only.tokens, source, parsed.starts, marks);
      const inline: InlineParser = (content) => parseInline(content, parsed.references);
      block.painted = this.place(i, new Drawing(this.rules, placement, inline, block.headingLevel).draw(only.tokens, false));
    }
  }

  private readonly markNode = (mark: number): Node => {
    const existing = this.markNodes.get(mark);
    if (existing) return existing;
    const citation = this.citations[mark];
    const made = citation ? (this.options.citation?.(citation) ?? null) : null;
    const node = made ?? this.target.ownerDocument.createTextNode("");
    this.markNodes.set(mark, node);
    return node;
  };
}

function isSame(one: CitationFields, other: CitationFields | undefined): boolean {
  return one.n === other?.n && one.end === other.end;
}

/**
 * The marks of a block: what stands between two blocks, like a definition, belongs to the one before, and at the very
 * beginning to the first.
 */
function between(marks: readonly Placed[], start: number, nextStart = Infinity, isFirst: boolean): Placed[] {
  const mine = marks.filter(({ at }) => (isFirst || at > start) && at <= nextStart);
  return mine.map(({ mark, at }) => ({ mark, at: Math.max(at, start + 1) }));
}

/** A part of the document that begins with a block, cut in its top-level blocks. */
class Parsed {
  readonly blocks: { tokens: Token[]; start: number; end: number; isDefinition: boolean }[];
  /** Where each line begins. */
  readonly starts: number[];
  /** Those known before, and its own. */
  readonly references: References;

  constructor(source: string, known: References) {
    this.references = Object.create(known) as References;
    const starts = (this.starts = lineStarts(source));
    this.blocks = topLevel(parseBlocks(source, this.references)).map((tokens) => {
      const [first, end] = tokens[0]?.map ?? [0, 0];
      const isDefinition = tokens[0]?.type === "reference_definition";
      return { tokens, start: starts[first] ?? source.length, end: starts[end] ?? source.length, isDefinition };
    });
  }

  get hasDefinitions(): boolean {
    return Object.keys(this.references).length > 0;
  }
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
