import type { ElementPiece, Piece } from "./pieces";

/** A piece and the node that shows it. */
export interface Painted {
  piece: Piece;
  node: Node;
  children: Painted[];
}

/** Gives the node of a citation's mark, by its index. */
export type MarkNode = (mark: number) => Node;

/**
 * Makes `parent`'s children, those of `painted`, show `pieces`, with the fewest changes: what stays the same is not
 * touched, and text that grows is appended to, so that a selection in it survives. Changes `painted`.
 */
export function patchChildren(parent: Node, painted: Painted[], pieces: readonly Piece[], markNode: MarkNode): void {
  for (const [i, piece] of pieces.entries()) {
    const old = painted[i];
    if (old && update(old, piece, markNode)) continue;
    const fresh = paint(parent, piece, markNode);
    parent.insertBefore(fresh.node, painted[i - 1]?.node.nextSibling ?? (i === 0 ? parent.firstChild : null));
    painted[i] = fresh;
    if (old) remove(parent, old, painted);
  }
  for (const old of painted.splice(pieces.length)) remove(parent, old, painted);
}

/** A new node for `piece`, for a document of `within`. */
export function paint(within: Node, piece: Piece, markNode: MarkNode): Painted {
  const document = within.ownerDocument;
  if (document === null) throw new TypeError("Only an element can be painted in.");
  if (typeof piece === "string") return { piece, node: document.createTextNode(piece), children: [] };
  if ("mark" in piece) return { piece, node: markNode(piece.mark), children: [] };
  const node = document.createElement(piece.tag);
  for (const [name, value] of Object.entries(piece.attributes)) node.setAttribute(name, value);
  const painted: Painted = { piece, node, children: [] };
  patchChildren(node, painted.children, piece.children, markNode);
  return painted;
}

/** Makes `painted` show `piece`. Returns false when that needs another node. */
export function update(painted: Painted, piece: Piece, markNode: MarkNode): boolean {
  const was = painted.piece;
  if (was === piece) return true;
  if (typeof piece === "string") {
    if (typeof was !== "string") return false;
    const text = painted.node as Text;
    if (piece.startsWith(was)) text.appendData(piece.slice(was.length));
    else text.data = piece;
  } else if (typeof was === "string") {
    return false;
  } else if ("mark" in piece) {
    if (!("mark" in was) || was.mark !== piece.mark) return false;
  } else {
    if (!("tag" in was) || was.tag !== piece.tag) return false;
    updateAttributes(painted.node as Element, was, piece);
    patchChildren(painted.node, painted.children, piece.children, markNode);
  }
  painted.piece = piece;
  return true;
}

function updateAttributes(node: Element, was: ElementPiece, piece: ElementPiece): void {
  for (const name of Object.keys(was.attributes)) {
    if (!(name in piece.attributes)) node.removeAttribute(name);
  }
  for (const [name, value] of Object.entries(piece.attributes)) {
    if (was.attributes[name] !== value) node.setAttribute(name, value);
  }
}

/** Removes what is shown no more; a mark's node may have moved on to another place, here or elsewhere. */
function remove(parent: Node, { piece, node }: Painted, kept: readonly Painted[]): void {
  const isMark = typeof piece === "object" && "mark" in piece;
  if (isMark && kept.some((one) => one.node === node)) return;
  if (node.parentNode === parent) parent.removeChild(node);
}
