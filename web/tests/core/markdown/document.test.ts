// @vitest-environment jsdom
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { paintDocument } from "../../../core/markdown/document";
import { outline } from "./outline";

const LABELS = { table: "Table", task: () => "Task", code: () => "Code", image: (name: string) => name };

/** `text` as it is painted, with the part between each `¶` marked; and what is marked of each part. */
function painted(text: string): [string, string[]] {
  const pieces = text.split("¶");
  const ends = pieces.slice(0, -1).map((_, i) => pieces.slice(0, i + 1).join("").length);
  const target = document.createElement("div");
  const parts = paintDocument(target, pieces.join(""), ends, LABELS);
  return [outline(target), parts.map((marks) => marks.map((mark) => mark.textContent).join(""))];
}

describe("a document", () => {
  it.each([
    ["a sentence", "One. ¶Two *words*.¶ Three.", "<p>One. <mark>Two </mark><em><mark>words</mark></em><mark>.</mark> Three.</p>"],
    ["a heading and more", "A.\n\n¶## Head\n\nWords.¶ B.", "<p>A.</p><h3><mark>Head</mark></h3><p><mark>Words.</mark> B.</p>"],
    ["items", "- a\n¶- b\n- c¶\n- d", "<ul><li>a</li><li><mark>b</mark></li><li><mark>c</mark></li><li>d</li></ul>"],
    ["all there is", "¶One.¶", "<p><mark>One.</mark></p>"],
  ])("shows %s as marked", (_, text, expected) => {
    expect(painted(text)[0]).toBe(expected);
  });

  it("shows rows of a table as marked, from its first one on too", () => {
    const [html] = painted("| a | b |\n|---|---|\n¶| c | d |¶\n| e | f |");
    expect(html).toContain("<tr><td><mark>c</mark></td><td><mark>d</mark></td></tr><tr><td>e</td><td>f</td></tr>");
  });

  it("shows lines of code as marked, character by character", () => {
    const [html, marked] = painted("A.\n\n```py\na = 1\n¶b = 2\nc¶ = 3\n```\n\n- x\n  ```\n  y\n  ```");
    expect(html).toContain('<span class="lines">a = 1\n<mark>b = 2\nc</mark> = 3\n</span>');
    expect(marked).toEqual(["b = 2\nc"]);
    expect(painted("¶```py\na = 1\n```¶\n\nB.")[1]).toEqual(["a = 1\n"]);
    expect(painted("- x\n  ```\n  y¶y\n  z¶\n  ```")[1]).toEqual(["y\nz"]);
  });

  it("tells the parts of what is marked apart", () => {
    expect(painted("One ¶two.\n\n¶Three¶ four.")[1]).toEqual(["two.", "Three"]);
  });

  it("has nothing marked where there are no words", () => {
    expect(painted("---\n¶\n---¶\n")).toEqual(["<hr></hr><hr></hr>", []]);
  });

  it("fetches nothing, and runs nothing", () => {
    const target = document.createElement("div");
    paintDocument(target, "![a](https://a.example/a.png) <img src=x onerror=y> [b](javascript:c) d", [0, 5], LABELS);
    expect([...target.querySelectorAll("*")].map((one) => one.localName)).toEqual(["p", "a", "mark", "span"]);
  });

  it("has exactly the words marked that stand between the ends, whatever they stand in", () => {
    const line = fc.constantFrom("W W", "W **W W** W", "*W* W", "W [W W](https://a.example/x) W", "W `W` W", "W W\nW");
    const oneLine = line.map((words) => words.replace("\n", " "));
    const block = fc.oneof(
      line,
      oneLine.map((words) => `## ${words}`),
      fc.tuple(oneLine, oneLine).map(([a, b]) => `- ${a}\n- ${b}\n  - ${a}\n\n  ${b}`),
      fc.tuple(oneLine, oneLine).map(([a, b]) => `3. ${a}\n4. ${b}`),
      fc.tuple(oneLine, oneLine).map(([a, b]) => `| ${a} | W |\n|---|---|\n| ${b} | W |\n| W | |`),
      oneLine.map((words) => `> ${words}\n> W\n>\n> W`),
      fc.constant("```\nW W\n\n  W\n```"),
      fc.constant("    W W\n    W"),
      fc.constant("---"),
      fc.constant("- W\n\n  ~~~js\n  W\n  W\n  ~~~"),
    );
    fc.assert(
      fc.property(fc.array(block, { minLength: 1, maxLength: 8 }), fc.nat(), fc.nat(), (blocks, one, other) => {
        let count = 0;
        const text = blocks.join("\n\n").replace(/W/g, () => `w${count++}`);
        // An end within a link or within code in a line is one of it as a whole.
        const words = [...text.matchAll(/(?<![\[`])\bw\d+\b(?![^\n[]*\])(?!`)/g)];
        if (words.length === 0) return;
        const [from, to] = [one % words.length, other % words.length].sort((a, b) => a - b) as [number, number];
        const [begin, end] = [words[from]?.index ?? 0, (words[to]?.index ?? 0) + (words[to]?.[0].length ?? 0)];
        const target = document.createElement("div");
        const [marks = []] = paintDocument(target, text, [begin, end], LABELS);
        const marked = marks.map((mark) => mark.textContent).join(" ");
        expect(marked.match(/w\d+/g)).toEqual(text.slice(begin, end).match(/w\d+/g));
      }),
      { numRuns: 500 },
    );
  });
});
