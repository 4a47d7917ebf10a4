/** What is in `node`, written like HTML: for comparing and reading only. */
export function outline(node: Node): string {
  return [...node.childNodes].map(one).join("");
}

function one(node: Node): string {
  if (node instanceof Element) {
    const attributes = [...node.attributes].map(({ name, value }) => ` ${name}="${value}"`).join("");
    return `<${node.localName}${attributes}>${outline(node)}</${node.localName}>`;
  }
  // A mark that shows nothing is an empty text, and no more.
  return node.textContent ?? "";
}
