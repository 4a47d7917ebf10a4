/** Copying: what was selected, as the Markdown that it came from. */

/** Makes copying from `target` give Markdown as plain text, code as it is, and the words with their format for who wants those. */
export function copyMarkdown(target: Element): void {
  target.addEventListener("copy", (event) => {
    const { clipboardData } = event as ClipboardEvent;
    const range = selected(target);
    if (clipboardData === null || range === null) return;
    const fragment = range.cloneContents();
    for (const control of fragment.querySelectorAll("button")) control.remove();
    const { commonAncestorContainer: common } = range;
    const isCode = (common instanceof Element ? common : common.parentElement)?.closest("code");
    clipboardData.setData("text/plain", isCode ? fragment.textContent : markdownOf(fragment));
    clipboardData.setData("text/html", new XMLSerializer().serializeToString(fragment));
    event.preventDefault();
  });
}

/** The part of the selection that lies in `target`; null when there is none or it goes beyond. */
function selected(target: Element): Range | null {
  // In a shadow tree Chromium tells only the root, and the others tell by getComposedRanges.
  const root = target.getRootNode() as Partial<Document> & Node;
  const selection = root.getSelection?.() ?? target.ownerDocument.getSelection();
  if (selection === null || selection.isCollapsed) return null;
  const isShadowed = root instanceof ShadowRoot && "getComposedRanges" in selection;
  const [composed] = isShadowed ? selection.getComposedRanges({ shadowRoots: [root] }) : [];
  const ends = composed ?? (selection.rangeCount > 0 ? selection.getRangeAt(0) : null);
  if (ends === null || !target.contains(ends.startContainer) || !target.contains(ends.endContainer)) return null;
  const range = target.ownerDocument.createRange();
  range.setStart(ends.startContainer, ends.startOffset);
  range.setEnd(ends.endContainer, ends.endOffset);
  return range;
}

/** The Markdown of nodes as a view paints them. */
export function markdownOf(node: ParentNode): string {
  return blocks(node).replace(/\n{3,}/g, "\n\n").trim();
}

const BLOCKS = new Set(["P", "H1", "H2", "H3", "H4", "H5", "H6", "UL", "OL", "LI", "BLOCKQUOTE", "PRE", "TABLE", "HR", "DIV"]);

/** The children of `parent`: blocks apart by empty lines, loose words between them as they are. */
function blocks(parent: ParentNode): string {
  // In a tight list an item's words and its own list are on adjoining lines.
  const isTight = parent.nodeName === "LI" && parent.querySelector(":scope > p") === null;
  let text = "";
  for (const child of parent.childNodes) {
    const isBlock = BLOCKS.has(child.nodeName);
    if (isBlock && text !== "") text = `${text.trimEnd()}${isTight ? "\n" : "\n\n"}`;
    text += isBlock ? block(child as HTMLElement) : inline(child);
  }
  return text;
}

function block(element: HTMLElement): string {
  switch (element.nodeName) {
    case "H1":
    case "H2":
    case "H3":
    case "H4":
    case "H5":
    case "H6":
      // A turn is a heading of level 2, below which the answer's own begin.
      return `${"#".repeat(Math.max(1, Number(element.nodeName[1]) - 2))} ${inlines(element)}`;
    case "UL":
      return items(element, () => "- ");
    case "OL": {
      const start = Number(element.getAttribute("start") ?? 1);
      return items(element, (i) => `${start + i}. `);
    }
    case "BLOCKQUOTE":
      return indented(blocks(element), "> ", "> ");
    case "PRE":
      return fenced(element);
    case "TABLE":
      return table(element);
    case "HR":
      return "---";
    case "P":
      return inlines(element);
    default:
      return blocks(element);
  }
}

function items(list: Element, marker: (i: number) => string): string {
  const isLoose = [...list.children].some((item) => item.querySelector(":scope > p") !== null);
  return [...list.children]
    .map((item, i) => indented(blocks(item), marker(i), " ".repeat(marker(i).length)))
    .join(isLoose ? "\n\n" : "\n");
}

function indented(text: string, first: string, next: string): string {
  return text
    .trim()
    .split("\n")
    .map((line, i) => (i === 0 ? first : next) + line)
    .map((line) => line.trimEnd())
    .join("\n");
}

function fenced(pre: Element): string {
  const code = pre.textContent;
  const language = pre.querySelector("code")?.className.replace("language-", "") ?? "";
  const longest = Math.max(2, ...[...code.matchAll(/`+/g)].map(([ticks]) => ticks.length));
  const fence = "`".repeat(longest + 1);
  return `${fence}${language}\n${code.replace(/\n$/, "")}\n${fence}`;
}

function table(element: Element): string {
  const rows = [...element.querySelectorAll("tr")].map((row) => [...row.children]);
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  const written = rows.map((cells) => line(cells.map((cell) => inlines(cell).replaceAll("|", "\\|"))));
  const sides = (rows[0] ?? []).map((cell) => ALIGNMENTS[cell.className] ?? "---");
  return [...written.slice(0, 1), line(sides), ...written.slice(1)].join("\n");
}

const ALIGNMENTS: Record<string, string> = { "align-left": ":--", "align-right": "--:", "align-center": ":-:" };

function inlines(parent: ParentNode): string {
  return [...parent.childNodes].map(inline).join("").trim();
}

function inline(node: Node): string {
  if (!(node instanceof Element)) return escaped(node.textContent ?? "");
  switch (node.localName) {
    case "strong":
      return `**${inlines(node)}**`;
    case "em":
      return `*${inlines(node)}*`;
    case "s":
      return `~~${inlines(node)}~~`;
    case "code":
      return codeSpan(node.textContent);
    case "br":
      return "  \n";
    case "a":
      return `[${inlines(node)}](${node.getAttribute("href") ?? ""})`;
    case "img":
      return `![${node.getAttribute("alt") ?? ""}](${node.getAttribute("src") ?? ""})`;
    case "input":
      return node.hasAttribute("checked") ? "[x]" : "[ ]";
    default:
      return [...node.childNodes].map(inline).join("");
  }
}

function codeSpan(code: string): string {
  const longest = Math.max(0, ...[...code.matchAll(/`+/g)].map(([ticks]) => ticks.length));
  const ticks = "`".repeat(longest + 1);
  const space = code.startsWith("`") || code.endsWith("`") ? " " : "";
  return ticks + space + code + space + ticks;
}

/** Words that would be read as Markdown, so that they are not. */
function escaped(words: string): string {
  return words.replace(/[\\`*[\]]|(?<![\p{L}\p{N}])_|_(?![\p{L}\p{N}])|~~|<(?=[A-Za-z/!?])/gu, "\\$&");
}
