import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { findPassage } from "../../ui/passage";

const SENTENCE = "Each October the miller clears the stream of leaves, from the grate to the apron of the wheel.";

function lettersOf(text: string): string {
  return text.toLowerCase().replace(/[^a-z]/g, "");
}

describe("a passage on a page", () => {
  it("is found across lines, hyphens and spaces that differ", () => {
    const page = [
      "The water",
      "Each October the mil-",
      "ler clears  the stream of leaves, from",
      "the grate to the apron of the wheel.",
      "2 The wheel",
    ];
    expect(findPassage(page, SENTENCE)).toEqual([1, 2, 3]);
  });

  it("is found by its beginning where it goes on to the next page, and by its end where it comes from the one before", () => {
    expect(findPassage(["The water", "Each October the miller clears the stream"], SENTENCE)).toEqual([1]);
    expect(findPassage(["of leaves, from the grate to the apron of the wheel.", "2 The wheel"], SENTENCE)).toEqual([0]);
  });

  it("is not found where it is not", () => {
    expect(findPassage(["Another page", "about the wheel"], SENTENCE)).toEqual([]);
    expect(findPassage([], SENTENCE)).toEqual([]);
    expect(findPassage(["A page"], "…")).toEqual([]);
  });

  it("is found wherever it stands and however the page is cut into pieces", () => {
    const words = fc.array(fc.stringMatching(/^[a-y]{2,9}$/), { maxLength: 30 });
    const sizes = fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1 });
    fc.assert(
      fc.property(words, words, sizes, (before, after, cuts) => {
        const text = [...before, SENTENCE, ...after].join(" ");
        const pieces: string[] = [];
        for (let at = 0; at < text.length; at += pieces.at(-1)?.length ?? 1) {
          pieces.push(text.slice(at, at + (cuts[pieces.length % cuts.length] ?? 1)));
        }
        const marked = lettersOf(
          findPassage(pieces, SENTENCE)
            .map((i) => pieces[i])
            .join(""),
        );
        expect(marked).toContain(lettersOf(SENTENCE));
        expect(marked.length).toBeLessThanOrEqual(SENTENCE.length + 24);
      }),
    );
  });
});
