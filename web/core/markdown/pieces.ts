import type { Token } from "markdown-it";
import { placeOf, safeAddress } from "../links";
import type { Placement } from "./marks";

/** What is to be in the document: words, an element, or the mark of a citation by its index. Pieces are never changed. */
export type Piece = string | ElementPiece | MarkPiece;

export interface ElementPiece {
  tag: string;
  attributes: Readonly<Record<string, string>>;
  children: readonly Piece[];
}

export interface MarkPiece {
  mark: number;
}

/** The words that the page itself puts around what an answer says, in the reader's language. */
export interface Labels {
  table: string;
  code: (language: string) => string;
  /** The box of a task. */
  task: (done: boolean) => string;
  /** An image that is not fetched; `place` is its host. */
  image: (name: string, place: string) => string;
}

export interface Rules {
  labels: Labels;
  /** Addresses that images may be fetched from begin with one of these. */
  imagePrefixes: readonly string[];
}

/** The tokens of a leaf's words; `open` when they may still grow. */
export type InlineParser = (content: string, open: boolean) => readonly Token[];

/** Draws one block: its tokens as pieces, each mark where it belongs or, where none can stand, behind that. */
export class Drawing {
  /** Marks that cannot stand where they are (in code, in a link) wait for the end of it. */
  private waiting: number[] = [];
  private linkDepth = 0;

  constructor(
    private readonly rules: Rules,
    private readonly placement: Placement,
    private readonly inline: InlineParser,
    /** The level of the last heading before it. */
    private headingLevel: number,
  ) {}

  /** The block as one element, in the direction of its own words. `open`: its last leaf may still grow. */
  draw(tokens: readonly Token[], open: boolean): ElementPiece {
    const lastLeaf = open ? leafAtEnd(tokens) : undefined;
    const [piece] = this.nest(tokens, lastLeaf);
    const block = typeof piece === "object" && "tag" in piece ? piece : element("p", {}, []);
    return withBehind(inOwnDirection(block), [...this.released(), ...this.placement.behind.map((mark) => ({ mark }))]);
  }

  private nest(tokens: readonly Token[], lastLeaf?: Token): Piece[] {
    const stack: Piece[][] = [[]];
    const opened: Token[] = [];
    for (const [i, token] of tokens.entries()) {
      const siblings = stack.at(-1) ?? [];
      if (token.nesting === 1) {
        if (token.type === "link_open") this.linkDepth++;
        opened.push(token);
        stack.push([]);
      } else if (token.nesting === -1) {
        const children = stack.pop() ?? [];
        const opening = opened.pop();
        if (token.type === "link_close") this.linkDepth--;
        const parent = stack.at(-1) ?? [];
        if (opening) append(parent, this.container(opening, children));
        if (token.type === "link_close") append(parent, this.released());
      } else {
        const content = this.placement.marked(token);
        const task = isFirstOfItem(tokens, i) ? TASK.exec(content) : null;
        if (task) append(siblings, [this.checkbox(task[1] !== " "), " "]);
        append(siblings, this.leaf(token, content.slice(task?.[0].length ?? 0), token === lastLeaf));
      }
    }
    return stack[0] ?? [];
  }

  private container(token: Token, children: Piece[]): readonly Piece[] {
    switch (token.type) {
      case "paragraph_open":
        // In a tight list a paragraph is only its words.
        return token.hidden ? children : [element("p", {}, children)];
      case "heading_open":
        this.headingLevel = levelAfter(this.headingLevel, [token]);
        return [element(`h${this.headingLevel}`, {}, children)];
      case "ordered_list_open": {
        const start = attribute(token, "start");
        return [element("ol", start ? { start } : {}, children)];
      }
      case "table_open": {
        const label = { class: "scroll", role: "group", "aria-label": this.rules.labels.table, tabindex: "0" };
        return [element("div", label, [element("table", {}, children)])];
      }
      case "th_open":
        return [element("th", { ...alignmentOf(token), scope: "col" }, children)];
      case "td_open":
        return [element("td", alignmentOf(token), children)];
      case "link_open":
        return [link(this.withoutMarks(attribute(token, "href")), children)];
      default:
        return [element(token.tag, {}, children)];
    }
  }

  private leaf(token: Token, content: string, open: boolean): readonly Piece[] {
    switch (token.type) {
      case "inline":
        return this.nest(this.inline(content, open));
      case "code_inline":
        return [element("code", {}, [this.withoutMarks(content)]), ...this.released()];
      case "fence":
      case "code_block": {
        const language = this.withoutMarks(token.info).trim().split(/\s+/)[0] ?? "";
        const label = { tabindex: "0", role: "group", "aria-label": this.rules.labels.code(language) };
        const lines = piecesOfCode(content).map((piece) => element("span", { class: "lines" }, this.withMarks(piece)));
        const code = element("code", language ? { class: `language-${language}` } : {}, lines);
        return [element("div", { class: "code" }, [element("pre", label, [code])])];
      }
      case "softbreak":
        return ["\n"];
      case "hardbreak":
        return [element("br", {}, [])];
      case "hr":
        return [element("hr", {}, [])];
      case "image":
        return [this.image(this.withoutMarks(attribute(token, "src")), this.withoutMarks(wordsOf(token))), ...this.released()];
      case "reference_definition":
        return [];
      default:
        return this.withMarks(content);
    }
  }

  private checkbox(done: boolean): ElementPiece {
    const label = this.rules.labels.task(done);
    return element("input", { type: "checkbox", disabled: "", "aria-label": label, ...(done && { checked: "" }) }, []);
  }

  private image(address: string, name: string): Piece {
    const href = safeAddress(address);
    // Prefixes are whole addresses, so that a host is not taken for the beginning of another.
    if (href !== null && this.rules.imagePrefixes.some((prefix) => href.startsWith(prefix))) {
      return element("img", { src: href, alt: name, loading: "lazy", referrerpolicy: "no-referrer" }, []);
    }
    const words = this.rules.labels.image(name, placeOf(address));
    return this.linkDepth > 0 ? words : link(address, [words]);
  }

  private withMarks(text: string): readonly Piece[] {
    // Splitting by a pattern with one group gives words and indices in turn.
    return text.split(this.placement.pattern).flatMap((part, i): Piece[] => {
      if (i % 2 === 0) return part === "" ? [] : [part];
      if (this.linkDepth === 0) return [{ mark: Number(part) }];
      this.waiting.push(Number(part));
      return [];
    });
  }

  private withoutMarks(text: string): string {
    const parts = text.split(this.placement.pattern);
    for (let i = 1; i < parts.length; i += 2) this.waiting.push(Number(parts[i]));
    return parts.filter((_, i) => i % 2 === 0).join("");
  }

  private released(): Piece[] {
    const marks = this.waiting.map((mark) => ({ mark }));
    this.waiting = [];
    return marks;
  }
}

/**
 * The level of the last heading of `tokens`, `level` being that of the one before. They continue the page's outline, which
 * has reached level 2 at a turn, without leaving a level out.
 */
export function levelAfter(level: number, tokens: readonly Token[]): number {
  const headings = tokens.filter(({ type }) => type === "heading_open");
  return headings.reduce((before, { tag }) => Math.min(Number(tag.slice(1)) + 2, before + 1, 6), level);
}

/** The leaf that the tokens end with, empty cells behind it aside; none when something else has begun since. */
function leafAtEnd(tokens: readonly Token[]): Token | undefined {
  const isEmpty = ({ type, content }: Token): boolean => type === "td_open" || type === "th_open" || (type === "inline" && content === "");
  const last = tokens.findLast((token) => token.nesting !== -1 && !isEmpty(token));
  return last?.type === "inline" ? last : undefined;
}

/** Code is cut after so many lines: a browser lays the whole of a text out again whenever it grows. */
export const LINES_TOGETHER = 40;

/** Code in pieces of at most `LINES_TOGETHER` lines. */
export function piecesOfCode(code: string): string[] {
  const lines = code.split(/(?<=\n)/);
  const count = Math.ceil(lines.length / LINES_TOGETHER);
  return Array.from({ length: count }, (_, i) => lines.slice(i * LINES_TOGETHER, (i + 1) * LINES_TOGETHER).join(""));
}

/** GFM, section 5.3: a list item whose first words are `[ ]` or `[x]` is a task. */
const TASK = /^\[([ xX])\]\s+/;

function isFirstOfItem(tokens: readonly Token[], i: number): boolean {
  return tokens[i]?.type === "inline" && tokens[i - 1]?.type === "paragraph_open" && tokens[i - 2]?.type === "list_item_open";
}

function element(tag: string, attributes: Record<string, string>, children: readonly Piece[]): ElementPiece {
  return { tag, attributes, children };
}

/** Code, whose element the page sets from left to right, keeps that. */
function inOwnDirection({ tag, attributes, children }: ElementPiece): ElementPiece {
  return element(tag, attributes.class === "code" ? attributes : { ...attributes, dir: "auto" }, children);
}

/** Adds to `siblings`; words that follow words are one text. */
function append(siblings: Piece[], pieces: readonly Piece[]): void {
  for (const piece of pieces) {
    const last = siblings.at(-1);
    if (typeof piece === "string" && typeof last === "string") siblings[siblings.length - 1] = last + piece;
    else siblings.push(piece);
  }
}

/** `block` with `marks` at its end: in a list's last item, below code and tables. */
function withBehind(block: ElementPiece, marks: readonly Piece[]): ElementPiece {
  if (marks.length === 0) return block;
  const { tag, attributes, children } = block;
  switch (tag) {
    case "hr":
      return element("div", {}, [block, element("p", {}, marks)]);
    case "div":
    case "blockquote":
      return element(tag, attributes, [...children, element("p", {}, marks)]);
    case "ul":
    case "ol": {
      const last = children.at(-1);
      if (typeof last !== "object" || !("tag" in last)) return block;
      return element(tag, attributes, [...children.slice(0, -1), element("li", {}, [...last.children, ...marks])]);
    }
    default:
      return element(tag, attributes, [...children, ...marks]);
  }
}

/** An image's words, as its alternative text. */
function wordsOf(token: Token): string {
  if (token.children === null || token.children.length === 0) return token.type === "softbreak" ? " " : token.content;
  return token.children.map(wordsOf).join("");
}

function attribute(token: Token, name: string): string {
  return String(token.attrGet(name) ?? "");
}

function alignmentOf(token: Token): Record<string, string> {
  const side = /text-align:(left|center|right)/.exec(attribute(token, "style"))?.[1];
  return side ? { class: `align-${side}` } : {};
}

function link(address: string, children: readonly Piece[]): ElementPiece {
  const href = safeAddress(address);
  if (href === null) return element("span", {}, children);
  const privacy = { target: "_blank", rel: "noopener noreferrer nofollow", referrerpolicy: "no-referrer" };
  return element("a", { href, title: placeOf(href), ...privacy }, children);
}
