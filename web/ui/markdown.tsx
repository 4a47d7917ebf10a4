import MarkdownIt, { type Token } from "markdown-it";
import { type ComponentChildren, Fragment, h, type JSX } from "preact";
import { useMemo } from "preact/hooks";
import { placeOf, safeAddress } from "../core/links";
import { placeMarks } from "../core/marks";

const parser = new MarkdownIt("default", { html: false, linkify: false, typographer: false, maxNesting: 40 });
// Every address becomes a token; which of them may be a link is decided when it is drawn.
parser.validateLink = () => true;

export interface Mark {
  /** In code points of the Markdown. */
  end: number;
  node: () => JSX.Element;
}

/** Markdown as nodes, never by way of HTML: raw HTML in it is text, images are named but not fetched. */
export function Markdown({ text, marks = [] }: { text: string; marks?: readonly Mark[] }): JSX.Element {
  return useMemo(() => new Drawing(text, marks).draw(), [text, marks]);
}

interface Open {
  token: Token;
  children: ComponentChildren[];
}

/** One pass over the parser's tokens. */
export class Drawing {
  private readonly tokens: Token[];
  private readonly pattern: RegExp;
  private readonly drawn = new Set<number>();
  /** Marks that cannot stand where they are (in code, in a link) wait for the end of it. */
  private waiting: number[] = [];
  private linkDepth = 0;
  private headingLevel = 2;

  constructor(
    text: string,
    private readonly marks: readonly Mark[],
  ) {
    const marked = placeMarks(
      text,
      marks.map((mark) => mark.end),
    );
    this.pattern = marked.pattern;
    this.tokens = parser.parse(marked.text, {});
  }

  draw(): JSX.Element {
    const body = this.nest(this.tokens);
    const left = [...this.marks.keys()].filter((i) => !this.drawn.has(i));
    return h(Fragment, null, body, left.length > 0 && <p>{left.map((i) => this.mark(i))}</p>);
  }

  private nest(tokens: readonly Token[]): ComponentChildren[] {
    const stack: ComponentChildren[][] = [[]];
    const open: Open[] = [];
    const append = (child: ComponentChildren): void => void stack.at(-1)?.push(child);
    for (const token of tokens) {
      if (token.nesting === 1) {
        if (token.type === "link_open") this.linkDepth++;
        open.push({ token, children: [] });
        stack.push([]);
      } else if (token.nesting === -1) {
        const children = stack.pop() ?? [];
        const opened = open.pop();
        if (token.type === "link_close") this.linkDepth--;
        if (opened) append(this.element(opened.token, children));
        if (token.type === "link_close") append(this.released());
      } else {
        append(this.leaf(token));
      }
    }
    return stack[0] ?? [];
  }

  private element(token: Token, children: ComponentChildren[]): ComponentChildren {
    switch (token.type) {
      case "paragraph_open":
        // In a tight list a paragraph is only its words.
        return token.hidden ? children : <p>{children}</p>;
      case "heading_open":
        return h(`h${this.levelOf(token)}`, null, children);
      case "ordered_list_open": {
        const start = attribute(token, "start");
        return <ol {...(start && { start: Number(start) })}>{children}</ol>;
      }
      case "table_open":
        return (
          <div class="scroll" role="group" aria-label="Table" tabIndex={0}>
            <table>{children}</table>
          </div>
        );
      case "th_open":
      case "td_open":
        return h(token.tag, { class: alignmentOf(token), ...(token.tag === "th" && { scope: "col" }) }, children);
      case "link_open":
        return link(attribute(token, "href"), children);
      default:
        return h(token.tag, null, children);
    }
  }

  private leaf(token: Token): ComponentChildren {
    switch (token.type) {
      case "inline":
        return this.nest(token.children ?? []);
      case "text":
      case "text_special":
        return this.withMarks(token.content);
      case "code_inline":
        return [<code>{this.withoutMarks(token.content)}</code>, this.released()];
      case "fence":
      case "code_block": {
        const language = this.withoutMarks(token.info).trim().split(/\s+/)[0] ?? "";
        return [
          <pre tabIndex={0} role="group" aria-label={language ? `Code, ${language}` : "Code"}>
            <code>{this.withoutMarks(token.content)}</code>
          </pre>,
          this.waiting.length > 0 && <p>{this.released()}</p>,
        ];
      }
      case "softbreak":
        return "\n";
      case "hardbreak":
        return <br />;
      case "hr":
        return <hr />;
      case "image":
        return [image(attribute(token, "src"), this.withoutMarks(token.content)), this.released()];
      default:
        return this.withMarks(token.content);
    }
  }

  /** Headings continue the page's outline, which has reached level 2 at a turn, without leaving a level out. */
  private levelOf(token: Token): number {
    this.headingLevel = Math.min(Number(token.tag.slice(1)) + 2, this.headingLevel + 1, 6);
    return this.headingLevel;
  }

  private withMarks(text: string): ComponentChildren {
    // Splitting by a pattern with one group gives words and indices in turn.
    const parts = text.split(this.pattern);
    if (parts.length === 1) return text;
    return parts.map((part, i) => {
      if (i % 2 === 0) return part;
      if (this.linkDepth === 0) return this.mark(Number(part));
      this.waiting.push(Number(part));
      return null;
    });
  }

  private withoutMarks(text: string): string {
    return text
      .split(this.pattern)
      .filter((part, i) => {
        if (i % 2 === 1) this.waiting.push(Number(part));
        return i % 2 === 0;
      })
      .join("");
  }

  private released(): ComponentChildren {
    const marks = this.waiting.map((i) => this.mark(i));
    this.waiting = [];
    return marks;
  }

  private mark(i: number): ComponentChildren {
    this.drawn.add(i);
    return this.marks[i]?.node() ?? null;
  }
}

function attribute(token: Token, name: string): string {
  return String(token.attrGet(name) ?? "");
}

function alignmentOf(token: Token): string | undefined {
  const side = /text-align:(left|center|right)/.exec(attribute(token, "style"))?.[1];
  return side && `align-${side}`;
}

function link(address: string, children: ComponentChildren): ComponentChildren {
  const href = safeAddress(address);
  if (href === null) return <span>{children}</span>;
  return (
    <a href={href} title={placeOf(href)} target="_blank" rel="noopener noreferrer nofollow" referrerpolicy="no-referrer">
      {children}
    </a>
  );
}

function image(address: string, name: string): JSX.Element {
  return (
    <span class="image">
      {name ? `Image “${name}”` : "Image"} not loaded ({placeOf(address)})
    </span>
  );
}
