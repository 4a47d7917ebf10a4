import type { SourceFields } from "../core/events";
import { nameOf } from "./sources";
import type { Ui } from "./ui";

/**
 * The mark of a source in the text, on the same line as the words around it: a button that opens it at its place, on the
 * `page` that the citation names, if it does.
 */
export function citationMark(
  source: SourceFields,
  page: number | undefined,
  { t, showSource }: Pick<Ui, "t" | "showSource">,
): HTMLElement {
  const name = nameOf(page === undefined ? source : { ...source, page_start: page, page_end: page }, t);
  const button = document.createElement("button");
  button.type = "button";
  button.className = "citation";
  button.part.add("citation");
  button.textContent = String(source.n);
  button.setAttribute("aria-label", name);
  button.title = name;
  button.addEventListener("click", () => showSource({ source, page, from: button }));
  const joined = document.createElement("span");
  joined.className = "cite";
  joined.append(button);
  return joined;
}
