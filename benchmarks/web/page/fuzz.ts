import fc from "fast-check";
import { MarkdownView } from "../../../web/core/markdown/view";
import { documents } from "../../../web/tests/core/markdown/documents";
import { outline } from "../../../web/tests/core/markdown/outline";

declare global {
  interface Window {
    fuzz: (seed: number, count: number) => string[];
  }
}

const labels = { table: "Table", code: () => "Code", task: () => "Task", image: (name: string) => name };
const cuts = fc.array(fc.nat(2_000), { maxLength: 30 });
const ends = fc.array(fc.nat(400), { maxLength: 4 });

/** Documents that are not painted in pieces as they are at once, as JSON. */
window.fuzz = (seed, count) =>
  fc.sample(fc.tuple(documents, cuts, ends), { seed, numRuns: count }).flatMap(([text, places, cites]) => {
    const citations = cites.map((end, i) => ({ n: i + 1, start: 0, end: Math.min(end, [...text].length) }));
    const view = () => {
      const target = document.createElement("div");
      const citation = (n: number): Node => document.createElement("b").appendChild(document.createTextNode(`${n}`)).parentNode as Node;
      return { target, view: new MarkdownView(target, { labels, citation }) };
    };
    const one = view();
    one.view.update(text, true, citations);
    const many = view();
    for (const [i, place] of places.toSorted((a, b) => a - b).entries()) {
      many.view.update(text.slice(0, place), false, citations.slice(0, i));
    }
    many.view.update(text, true, citations);
    return outline(many.target) === outline(one.target) ? [] : [JSON.stringify([text, places, cites])];
  });
