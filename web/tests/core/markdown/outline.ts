/** What is in `node`, written like HTML: for comparing and reading only. That each block has its direction goes unsaid. */
export function outline(node: Node): string {
  return [...node.childNodes].map(one).join("");
}

function one(node: Node): string {
  if (node instanceof Element) {
    const said = [...node.attributes].filter(({ name }) => name !== "dir");
    const attributes = said.map(({ name, value }) => ` ${name}="${value}"`).join("");
    return `<${node.localName}${attributes}>${outline(node)}</${node.localName}>`;
  }
  // A mark that shows nothing is an empty text, and no more.
  return node.textContent ?? "";
}
