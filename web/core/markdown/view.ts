import type { Token } from "markdown-it";
import type { CitationFields } from "../events";
import { Parsed } from "./blocks";
import { copyMarkdown } from "./copy";
import { highlightLater } from "./highlight";
import { MarkPlaces, placeMarks, type Placed } from "./marks";
import { parseBlocks, parseInline, type References } from "./parser";
import { type FinishedParts, finishedParts, hasParts, withParts } from "./parts";
import { paint, type Painted, update } from "./patch";
import { lacksEntities, loadEntities } from "./slim/entities";
import { completed, decided } from "./unfinished";
import { Drawing, type ElementPiece, type InlineParser, type Labels, levelAfter, type Rules } from "./pieces";

export interface MarkdownOptions {
  labels: Labels;
  /** The node for a citation; null when there is nothing to show for it. */
  citation?: (citation: CitationFields) => Node | null;
  /** Images are fetched from addresses that begin with one of these, and are else shown as links. */
  imagePrefixes?: readonly string[];
  /** Told of each block when it is finished, in order. */
  onBlock?: (block: Element) => void;
}

/** A top-level block of the document, as it is shown: its source is text[start, end). */
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
 * A finished block is painted once; only what is behind the last finished one is parsed again, and of a block that grows
 * long only what is behind its finished parts. However the text was cut on its way, the nodes are those of a single `update`
 * with the whole text.
 */
export class MarkdownView {
  private readonly rules: Rules;
  private text = "";
  private final = false;
  private blocks: Block[] = [];
  private finished = 0;
  private finishedEnd = 0;
  /** Those of the first block behind, while they need not be parsed again. */
  private parts: FinishedParts | null = null;
  private headingLevel = TURN_HEADING_LEVEL;
  private references: References = {};
  private citations: readonly CitationFields[] = [];
  private marks = new MarkPlaces();
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
    const isMore = goesOn(text, this.text) && this.citations.every((citation, i) => isSame(citation, citations[i]));
    if (!isMore || (this.final && text !== this.text)) this.clear();
    const { references, finished, finishedEnd } = this;
    this.text = text;
    this.final = final;
    this.citations = citations;
    const late = this.marks.take(text, citations).filter(({ at }) => at <= (this.parts?.end ?? finishedEnd));
    if (late.some(({ at }) => at > finishedEnd)) this.parts = null;
    this.paintTail();
    // What stands between two blocks, like a definition, is finished after the first of them.
    const marked = [...late, ...this.marks.within(finishedEnd, this.finishedEnd)].map(({ at }) => this.blockAt(at));
    const isNew = references !== this.references;
    this.repaint(isNew ? this.blocks.keys() : new Set(marked), finished);
    if (lacksEntities() && !this.waitsForEntities) {
      this.waitsForEntities = true;
      // Without the table a rare character stays written out, as when the network is gone.
      void loadEntities().then(this.repaintAll, () => undefined);
    }
  }

  private readonly repaintAll = (): void => {
    this.leaves.clear();
    this.parts = null;
    this.repaint(this.blocks.keys(), this.finished);
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
    this.parts = null;
    this.headingLevel = TURN_HEADING_LEVEL;
    this.references = {};
    this.citations = [];
    this.marks = new MarkPlaces();
    this.markNodes.clear();
    this.leaves.clear();
  }

  private paintTail(): void {
    const parsed = this.parseTail();
    const { blocks, text: source, origin } = parsed;
    const { parts } = this;
    const growing = !this.final && !BLANK_LINE_AT_END.test(source);
    const finished = this.final ? blocks.length : parsed.finished;
    const inline = this.inlineParser(source, parsed.references);
    const marks = this.marks.within(parts?.end ?? origin, origin + source.length, origin);

    let at = this.finished;
    for (const [i, block] of blocks.entries()) {
      if (block.isDefinition) continue;
      const { headingLevel } = this;
      const known = i === 0 ? parts : null;
      const next = blocks.slice(i + 1).find(({ isDefinition }) => !isDefinition);
      const mine = between(marks, block.start, next?.start, at === 0);
      const placement = placeMarks(block.tokens, source, parsed.starts, mine);
      const level = known?.headingLevel ?? headingLevel;
      const drawn = new Drawing(this.rules, placement, inline, level).draw(block.tokens, growing && i === blocks.length - 1);
      const piece = known ? withParts(drawn, block.tokens, known) : drawn;
      const start = known ? (this.blocks[at]?.start ?? 0) : origin + block.start;
      this.blocks[at] = { start, end: origin + block.end, painted: this.place(at, piece), headingLevel };
      this.headingLevel = levelAfter(level, block.tokens);
      at++;
      if (i < finished) this.finish();
      // A mark behind the block stays there, below all that comes.
      else if (i === blocks.length - 1 && placement.behind.length === 0) {
        this.parts = finishedParts(block.tokens, parsed, piece, mine, level, known);
      }
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

  /** What is behind the finished blocks, as far as it can be painted; without finished parts where these are not parsed. */
  private parseTail(): Parsed {
    const { parts, finishedEnd, text } = this;
    const tail = text.slice(finishedEnd);
    const end = finishedEnd + (this.final ? tail : decided(tail)).length;
    if (parts && !this.final && end > parts.end) {
      const parsed = new Parsed(parts.head + text.slice(parts.end, end), parts.end - parts.head.length, parts.references);
      const tokens = parsed.blocks[0]?.tokens ?? [];
      if (parsed.finished === 0 && hasParts(tokens, parts, parsed)) return parsed;
    }
    this.parts = null;
    return new Parsed(text.slice(finishedEnd, end), finishedEnd, this.references);
  }

  /** Adds the definitions of a finished part of the text. */
  private define(source: string): void {
    const references = { ...this.references };
    parseBlocks(source, references);
    if (Object.keys(references).length > Object.keys(this.references).length) this.references = references;
  }

  /** Parses words once for as long as they stay the same. */
  private inlineParser(source: string, references: References): InlineParser {
    const known = Object.keys(references).join("\n");
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

  /** The block that a mark at `at` belongs to, by its index: what stands between two blocks belongs to the one before. */
  private blockAt(at: number): number {
    return Math.max(0, this.blocks.findLastIndex(({ start }) => start < at));
  }

  /** Paints the blocks of these indices below `end` anew: something has come for them after they were finished. */
  private repaint(indices: Iterable<number>, end: number): void {
    for (const i of indices) {
      const block = this.blocks[i];
      if (!block || i >= end) continue;
      const parsed = new Parsed(this.text.slice(block.start, block.end), block.start, this.references);
      const [only] = parsed.blocks;
      if (!only) continue;
      const marks = this.marks.within(i === 0 ? 0 : block.start, this.blocks[i + 1]?.start ?? this.text.length, block.start);
      const placement = placeMarks(only.tokens, parsed.text, parsed.starts, atLeast(marks, 1));
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

/** Whether `text` begins with `before`. On long texts, comparing is many times as fast as V8's `startsWith`. */
export function goesOn(text: string, before: string): boolean {
  return text.slice(0, before.length) === before;
}

function isSame(one: CitationFields, other: CitationFields | undefined): boolean {
  return one.n === other?.n && one.end === other.end;
}

/**
 * The marks of a block: what stands between two blocks, like a definition, belongs to the one before, and at the very
 * beginning to the first.
 */
function between(marks: readonly Placed[], start: number, nextStart = Infinity, isFirst: boolean): Placed[] {
  return atLeast(marks.filter(({ at }) => (isFirst || at > start) && at <= nextStart), start + 1);
}

function atLeast(marks: readonly Placed[], least: number): Placed[] {
  return marks.map(({ mark, at }) => ({ mark, at: Math.max(at, least) }));
}
