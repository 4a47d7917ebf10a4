import { Parsed } from "./blocks";
import { placeEnds } from "./marks";
import { parseInline } from "./parser";
import { paint } from "./patch";
import { Drawing, type Labels, levelAfter } from "./pieces";

/** A document stands below a heading of this level. */
const HEADING_LEVEL = 2;

/**
 * Paints a document's Markdown as people read it into `target`, never by way of HTML, with the words from `ends[0]` to the
 * last of the `ends` (UTF-16 units) in `mark` elements. Returns these, for each of the parts between two ends.
 */
export function paintDocument(target: Element, text: string, ends: readonly number[], labels: Labels): HTMLElement[][] {
  const parsed = new Parsed(text, 0, {});
  const tokens = parsed.blocks.flatMap((block) => block.tokens);
  // What has no place in any words is left out.
  const placement = { ...placeEnds(tokens, text, parsed.starts, ends), behind: [] };
  const nodes = ends.map(() => target.ownerDocument.createComment(""));
  const inline = (content: string) => parseInline(content, parsed.references);
  const blocks: Node[] = [];
  let level = HEADING_LEVEL;
  for (const block of parsed.blocks) {
    if (block.isDefinition) continue;
    const drawn = new Drawing({ labels, imagePrefixes: [] }, placement, inline, level).draw(block.tokens, false);
    blocks.push(paint(target, drawn, (mark) => nodes[mark] as Comment).node);
    level = levelAfter(level, block.tokens);
  }
  target.replaceChildren(...blocks);
  return marked(target, nodes);
}

/** Puts the words between the nodes, which go, in `mark` elements. */
function marked(target: Element, ends: readonly Comment[]): HTMLElement[][] {
  if (!ends.every((end) => target.contains(end))) return [];
  const parts = ends.slice(1).map((): Text[] => []);
  let reached = -1;
  const nodes = target.ownerDocument.createTreeWalker(target, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_COMMENT);
  for (let node = nodes.nextNode(); node; node = nodes.nextNode()) {
    if (node instanceof Text) parts[reached]?.push(node);
    else reached = ends.indexOf(node as Comment);
  }
  for (const end of ends) end.remove();
  return parts.map((texts) =>
    texts.map((text) => {
      const mark = target.ownerDocument.createElement("mark");
      text.replaceWith(mark);
      mark.append(text);
      return mark;
    }),
  );
}
