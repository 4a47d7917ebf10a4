/**
 * What to make of Markdown that stops in the middle, so that no raw syntax flashes up and vanishes again.
 *
 * Two means: lines that may still become anything are not painted yet (`decided`), and in the leaf that is being written,
 * what has been opened is closed (`completed`). Both only concern the moment: the finished text is painted as it is.
 */

/** What blocks can begin with, before the words of a leaf. */
const CONTAINERS = "(?:[ \\t>]|[-*+][ \\t]|\\d{1,9}[.)][ \\t])*";
/** A last line that is nothing but (the beginning of) a marker, or whose meaning its end decides. */
const UNDECIDED_LINE = new RegExp(
  `^${CONTAINERS}(?:` +
    [
      "[-*_=+ \\t]*", // a list item, a rule, a heading's underline, the beginning of emphasis
      "\\d{1,9}[.)]?",
      "#{1,6}[ \\t]*",
      "(?:`{3,}|~{3,})[^\\n]*", // a fence is known by its whole line
      "[`~]*",
      "\\[[ xX]?\\]?[ \\t]*", // a task
      "\\[[^\\]\\n]{0,40}\\]?", // the beginning of a link's definition
      "\\[[^\\]\\n]*\\]:[^\\n]*", // a link's definition
      "\\|?[-:| \\t]*", // a table's second line, or an empty row
    ].join("|") +
    ")$",
);
const TABLE_ROW = new RegExp(`^${CONTAINERS}\\|`);

/** `source` without the last lines that cannot be painted yet. `source` is behind the last finished block. */
export function decided(source: string): string {
  const cut = source.endsWith("\r") ? source.slice(0, -1) : source;
  const lineStart = cut.lastIndexOf("\n") + 1;
  const line = cut.slice(lineStart);
  let end = line !== "" && UNDECIDED_LINE.test(line) ? lineStart : cut.length;
  // Two lines make a table: until the second has come, the first is no paragraph.
  const headStart = end === lineStart ? cut.lastIndexOf("\n", lineStart - 2) + 1 : lineStart;
  if (headStart < end && isTableHead(cut, headStart)) end = headStart;
  return cut.slice(0, end);
}

function isTableHead(source: string, at: number): boolean {
  if (!TABLE_ROW.test(source.slice(at))) return false;
  const before = source.slice(source.lastIndexOf("\n", at - 2) + 1, at);
  // A line of a table that stands already is a row, and shown cell by cell.
  return !TABLE_ROW.test(before);
}

/** An entity, an autolink, an escape or a run of delimiters that has only begun. */
const UNDECIDED_TAIL = /\s*(?:&[#\w]{0,31}|<(?:[A-Za-z][^\s<>]*)?|\\|!|[*_~]+|\s#+)$/;

/**
 * The words of a leaf that is being written, with what is open in them closed and what is undecided left out. `torn`: the
 * text ends right behind them, without white space.
 */
export function completed(content: string, torn: boolean): string {
  const open = openCode(content);
  if (open !== null) {
    const ticks = /^`+/.exec(content.slice(open))?.[0] ?? "`";
    const code = content.slice(open + ticks.length).replace(/[`\s]+$/, "");
    return code === "" ? closeEmphasis(content.slice(0, open)) : content.slice(0, open) + ticks + code + ticks;
  }
  const linked = withoutOpenLink(content, torn);
  return closeEmphasis(torn ? linked.replace(UNDECIDED_TAIL, "") : linked);
}

/** Where a code span begins that has no end yet. */
function openCode(content: string): number | null {
  const run = /\\.|`+/gs;
  for (let match = run.exec(content); match !== null; match = run.exec(content)) {
    if (match[0].startsWith("\\")) continue;
    const close = closing(content, run.lastIndex, match[0].length);
    if (close === null) return match.index;
    run.lastIndex = close;
  }
  return null;
}

/** The end of the next run of exactly `length` backticks. */
function closing(content: string, from: number, length: number): number | null {
  const run = /`+/g;
  run.lastIndex = from;
  for (let match = run.exec(content); match !== null; match = run.exec(content)) {
    if (match[0].length === length) return run.lastIndex;
  }
  return null;
}

/** A link or image shows its words without brackets, and nothing of its address, until it is complete. */
function withoutOpenLink(content: string, torn: boolean): string {
  const open: number[] = [];
  for (let i = 0; i < content.length; i++) {
    const unit = content[i];
    if (unit === "\\") i++;
    else if (unit === "`") i = skipCode(content, i);
    else if (unit === "[") open.push(i);
    else if (unit === "]" && open.length > 0) {
      const start = open.pop() ?? 0;
      const target = i + 1 < content.length || torn ? targetEnd(content, i + 1) : 0;
      if (target === null) {
        // Between the words and the end of the address: the words alone.
        const words = content.slice(start + 1, i);
        return beforeWords(content, start) + (isImage(content, start) ? "" : words);
      }
      if (target > 0) i = target - 1;
    }
  }
  const outer = open.find((start) => !isTask(content, start));
  if (outer === undefined) return content;
  const image = open.find((start) => isImage(content, start));
  if (image !== undefined) return content.slice(0, image - 1);
  return open.reduceRight((text, start) => text.slice(0, start) + text.slice(start + 1), content);
}

/** The end of the address behind a link's words; 0 when there is none, null when it is not complete. */
function targetEnd(content: string, at: number): number | null {
  if (at === content.length) return null;
  if (content[at] === "[") {
    const end = content.indexOf("]", at);
    return end === -1 ? null : end + 1;
  }
  if (content[at] !== "(") return 0;
  const inside = /^\(\s*(?:<[^<>\n]*>|[^\s<][^\s]*?)?(?:\s+(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'))?\s*\)/s.exec(content.slice(at));
  if (inside) return at + inside[0].length;
  // An address holds no white space but before its title: anything else is no link, and no reason to wait.
  return /^\(\s*(?:<[^<>\n]*|[^\s<]\S*)?(?:>?\s+(?:"[^"]*"?|'[^']*'?)?)?\s*$/.test(content.slice(at)) ? null : 0;
}

function skipCode(content: string, at: number): number {
  const ticks = /^`+/.exec(content.slice(at))?.[0].length ?? 1;
  const close = closing(content, at + ticks, ticks);
  return close === null ? at + ticks - 1 : close - 1;
}

function beforeWords(content: string, start: number): string {
  return content.slice(0, isImage(content, start) ? start - 1 : start);
}

function isImage(content: string, start: number): boolean {
  return content[start - 1] === "!";
}

function isTask(content: string, start: number): boolean {
  return start === 0 && /^\[[ xX]\]\s/.test(content);
}

/** Appends the ends of emphasis that has been opened. */
function closeEmphasis(words: string): string {
  const content = words.trimEnd();
  const open: string[] = [];
  const run = /\\.|`+|\*+|_+|~~+/gs;
  for (let match = run.exec(content); match !== null; match = run.exec(content)) {
    const [marker] = match;
    if (marker.startsWith("\\")) continue;
    if (marker.startsWith("`")) {
      run.lastIndex = closing(content, run.lastIndex, marker.length) ?? run.lastIndex;
      continue;
    }
    const before = content[match.index - 1] ?? " ";
    const after = content[run.lastIndex] ?? " ";
    const opens = flanks(before, after) && (marker[0] !== "_" || !isWord(before));
    const closes = flanks(after, before) && (marker[0] !== "_" || !isWord(after));
    let left = closes ? close(open, marker) : marker;
    if (opens && left !== "") {
      while (left.length > 2) {
        open.push(left.slice(0, 2));
        left = left.slice(2);
      }
      open.push(left);
    }
  }
  return content + open.toReversed().join("");
}

/** Takes what `marker` closes from `open`. Returns what is left of it. */
function close(open: string[], marker: string): string {
  let left = marker;
  while (left !== "") {
    const at = open.findLastIndex((one) => one[0] === left[0]);
    const opened = open[at];
    if (opened === undefined) return left;
    open.length = at;
    if (opened.length > left.length) {
      open.push(opened.slice(left.length));
      return "";
    }
    left = left.slice(opened.length);
  }
  return "";
}

/** CommonMark, section 6.2: whether a run between these characters may open emphasis (or close it, the other way round). */
function flanks(before: string, after: string): boolean {
  if (/\s/.test(after)) return false;
  return !isPunctuation(after) || /\s/.test(before) || isPunctuation(before);
}

function isPunctuation(character: string): boolean {
  return /[\p{P}\p{S}]/u.test(character);
}

function isWord(character: string): boolean {
  return !/\s/.test(character) && !isPunctuation(character);
}
