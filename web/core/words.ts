/** Where text may be cut for showing: after a word and the white space behind it, never inside a grapheme. */

/** Scripts that put no spaces between words: every character there is a place to pause. */
const UNSPACED = "\\p{Script=Han}\\p{Script=Hiragana}\\p{Script=Katakana}\\p{Script=Thai}\\p{Script=Lao}\\p{Script=Khmer}\\p{Script=Myanmar}";
/** A longer run without a space (an address, Base64) is shown in pieces. */
const LONGEST_WORD = 24;
const UNIT = new RegExp(`\\s*(?:[${UNSPACED}]|[^\\s${UNSPACED}]{1,${LONGEST_WORD}})?\\s*`, "uy");
/** No grapheme that people use is longer, in UTF-16 units. */
const LONGEST_GRAPHEME = 64;
const ASCII = /^[\0-\x7f]*$/;

const graphemes = new Intl.Segmenter(undefined, { granularity: "grapheme" });

/** The end of the word that begins at `from`, in UTF-16 units; the text's length when it may still be growing. */
export function wordEnd(text: string, from: number): number {
  UNIT.lastIndex = from;
  const unit = UNIT.exec(text)?.[0] ?? "";
  return graphemeEnd(text, from, from + unit.length);
}

/** The first end of a grapheme at or after `index`; `from` is a known one before it. */
function graphemeEnd(text: string, from: number, index: number): number {
  if (index >= text.length || ASCII.test(text.slice(index - 1, index + 1))) return index;
  const start = Math.max(from, index - LONGEST_GRAPHEME);
  const around = text.slice(start, index + LONGEST_GRAPHEME);
  const across = graphemes.segment(around).containing(index - start);
  if (!across || across.index === index - start) return index;
  return start + across.index + across.segment.length;
}

/** Addresses of links, marks of emphasis, lines that only make a table: what nobody sees of Markdown. */
const UNSEEN = /\]\([^)\s]*\)?|^[ \t]*\|?[-:| \t]+$|[*_`~#|>[\]]+/gm;

/** About how much there is to see of a piece of Markdown, in characters. */
export function visibleLength(markdown: string): number {
  return markdown.replace(UNSEEN, "").length;
}

/** Whether the text ends within a grapheme for certain: half of a surrogate pair, or a joiner with nothing joined yet. */
export function endsTorn(text: string): boolean {
  const last = text.charCodeAt(text.length - 1);
  return (last >= 0xd800 && last <= 0xdbff) || last === 0x200d;
}
