import fc from "fast-check";
import type { CitationFields } from "../../../web/core/events";
import { MarkdownView } from "../../../web/core/markdown/view";
import { documents } from "../../../web/tests/core/markdown/documents";
import { outline } from "../../../web/tests/core/markdown/outline";

declare global {
  interface Window {
    fuzz: (seed: number, count: number) => string[];
  }
}

const labels = { table: "Table", code: () => "Code", task: () => "Task", image: (name: string) => name };
const cuts = fc.array(fc.nat(5_000), { maxLength: 30 });
const ends = fc.array(fc.nat(400), { maxLength: 4 });

const citation = ({ n }: CitationFields): Node => document.createElement("b").appendChild(document.createTextNode(`${n}`)).parentNode as Node;

function view() {
  const target = document.createElement("div");
  return { target, view: new MarkdownView(target, { labels, citation }) };
}

/** The blocks, without the groups that they are in. */
function painted(target: Element): string {
  return [...target.children].map(outline).join("");
}

/** Documents that are not painted in pieces as they are at once, at a moment on the way or in the end, as JSON. */
window.fuzz = (seed, count) =>
  fc.sample(fc.tuple(documents, cuts, ends), { seed, numRuns: count }).flatMap(([text, places, cites]) => {
    const citations = cites.map((end, i) => ({ n: i + 1, start: 0, end: Math.min(end, [...text].length) }));
    const ascending = places.map((place) => place % (text.length + 1)).sort((a, b) => a - b);
    const moments = [...ascending.map((place, i) => [text.slice(0, place), citations.slice(0, i)] as const), [text, citations] as const];
    // A definition counts for what was finished before it once it is finished itself: only in the end that is all the same.
    const isDefining = text.includes("]:");
    const many = view();
    return moments.flatMap(([part, cited], i) => {
      const final = i === ascending.length;
      many.view.update(part, final, cited);
      if (isDefining && !final) return [];
      const one = view();
      one.view.update(part, final, cited);
      return painted(many.target) === painted(one.target) ? [] : [JSON.stringify([text, places, cites, i])];
    });
  });
