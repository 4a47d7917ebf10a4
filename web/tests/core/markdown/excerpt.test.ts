import { describe, expect, it } from "vitest";
import { excerpt, withoutFrontMatter } from "../../../core/markdown/excerpt";

/** The excerpt that begins at the `¶`, or before. */
function at(text: string, reach = 100): string {
  const whole = text.replace("¶", "");
  const { start, head } = excerpt(whole, text.indexOf("¶"), reach);
  return head + whole.slice(start);
}

describe("an excerpt", () => {
  it.each([
    ["behind an empty line", "One.\n\nTwo\nthr¶ee.\n\nFour.", "Two\nthree.\n\nFour."],
    ["at the beginning, if there is none", "One\ntwo¶.", "One\ntwo."],
    ["at a row of a table, with its head", "A.\n\n| a |\n|---|\n| 1 |\n| 2 |\n| ¶3 |\n| 4 |", "| a |\n|---|\n| 3 |\n| 4 |"],
    ["at a line of code, with its fence", "```py\na\n\nb\nc¶\n```\n\nD.", "```py\nc\n```\n\nD."],
    ["behind code that has ended", "```py\na\n```\n\nB.\n\nC¶.", "C."],
    ["at code in an item", "- a\n\n  ~~~\n  b\n  c¶\n  ~~~", "  ~~~\n  c\n  ~~~"],
    ["not at what only looks like a fence's end", "````\n```\n\na¶\n````", "````\na\n````"],
  ])("begins %s", (_, text, expected) => {
    expect(at(text)).toBe(expected);
  });

  it("begins at a line where anything else is too far away", () => {
    expect(at(`One.\n\n${"two\n".repeat(50)}thr¶ee\nfour`)).toBe("three\nfour");
  });
});

describe("front matter", () => {
  it("is code, as long as it was", () => {
    const text = "---\ntitle: Mills\n---\n\n# Mills\n\n---\n";
    expect(withoutFrontMatter(text)).toBe("```\ntitle: Mills\n```\n\n# Mills\n\n---\n");
    expect(withoutFrontMatter("---\n\nNo end")).toBe("---\n\nNo end");
    expect(withoutFrontMatter("A.\n---\nb\n---\n")).toBe("A.\n---\nb\n---\n");
  });
});
