import MarkdownIt, { type Env, type Token } from "markdown-it";

/**
 * CommonMark with tables and strikethrough; raw HTML is text. The server's page without JavaScript uses the same parser
 * in Python (markdown-it-py) with the same settings.
 */
const parser = new MarkdownIt("default", { html: false, linkify: false, typographer: false, maxNesting: 40 });
// Every address becomes a token; which of them may be a link is decided when it is drawn.
parser.validateLink = () => true;
parser.normalizeLink = (address) => address;

/** Link reference definitions by their normalised label; the first one of a label counts. */
export type References = NonNullable<Env["references"]>;

/** The block tokens of `source`; the words of each leaf are in an `inline` token, not parsed. Adds to `references`. */
export function parseBlocks(source: string, references: References): Token[] {
  const tokens: Token[] = [];
  parser.block.parse(normalized(source), parser, { references }, tokens);
  return tokens;
}

/** The tokens of one leaf's words. */
export function parseInline(content: string, references: References): Token[] {
  const tokens: Token[] = [];
  parser.inline.parse(content, parser, { references }, tokens);
  return tokens;
}

/** Line ends and the null character as the CommonMark specification wants them (sections 2.1 and 2.3). */
function normalized(source: string): string {
  return source.replace(/\r\n?/g, "\n").replaceAll("\0", "\ufffd");
}
