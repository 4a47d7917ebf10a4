import type { SourceFields } from "../core/events";
import { nameOf } from "./sources";
import type { Ui } from "./ui";

/** The mark of a source in the text: a button that opens it at its place, on the same line as the words around it. */
export function citationMark(source: SourceFields, { t, showSource }: Pick<Ui, "t" | "showSource">): HTMLElement {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "citation";
  button.part.add("citation");
  button.textContent = String(source.n);
  button.setAttribute("aria-label", nameOf(source, t));
  button.title = nameOf(source, t);
  button.addEventListener("click", () => showSource({ source, from: button }));
  const joined = document.createElement("span");
  joined.className = "cite";
  joined.append(button);
  return joined;
}
