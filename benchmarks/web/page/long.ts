import { MarkdownView } from "../../../web/core/markdown/view";
import type { CitationFields } from "../../../web/core/events";

declare global {
  interface Window {
    /** Begins with an empty answer. */
    begin: () => void;
    /** Paints `text` up to `to`, `step` more in each frame; the scripted part's milliseconds. */
    paint: (text: string, to: number, step: number, citations: readonly CitationFields[]) => Promise<number>;
  }
}

const target = document.querySelector<HTMLElement>("#answer");
const scroller = document.querySelector<HTMLElement>("#scroller");
if (!target || !scroller) throw new Error("The page has lost its elements.");
new ResizeObserver(() => (scroller.scrollTop = scroller.scrollHeight)).observe(target);
const labels = { table: "Table", code: () => "Code", task: () => "Task", image: (name: string) => name };
const citation = ({ n }: CitationFields): Node => document.createElement("b").appendChild(document.createTextNode(`${n}`)).parentNode as Node;

let view = new MarkdownView(target, { labels, citation });
let shown = 0;

window.begin = () => {
  target.replaceChildren();
  view = new MarkdownView(target, { labels, citation });
  shown = 0;
};

window.paint = async (text, to, step, citations) => {
  let script = 0;
  while (shown < to) {
    await new Promise((resolve) => requestAnimationFrame(resolve));
    shown = Math.min(shown + step, to);
    const began = performance.now();
    view.update(text.slice(0, shown), shown === text.length, citations.filter(({ end }) => end <= shown));
    script += performance.now() - began;
  }
  return script;
};
