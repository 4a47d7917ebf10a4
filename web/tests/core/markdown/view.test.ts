// @vitest-environment jsdom
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { codePointLength } from "../../../core/codepoints";
import { MarkdownView } from "../../../core/markdown/view";

export const LABELS = {
  table: "Table",
  code: (language: string) => (language ? `Code, ${language}` : "Code"),
  image: (name: string, place: string) => `Image “${name}” (${place})`,
};

function view(): { target: HTMLElement; view: MarkdownView } {
  const target = document.createElement("div");
  const citation = (n: number): Node => {
    const mark = document.createElement("b");
    mark.append(String(n));
    return mark;
  };
  return { target, view: new MarkdownView(target, { labels: LABELS, citation }) };
}

describe("a view", () => {
  it("paints", () => {
    const { target, view: shown } = view();
    shown.update("# One\n\nTwo *three* **four** ~~five~~ `six`\n\n- a\n- [x] b\n\n> c", true);
    expect(target.innerHTML).toBe(
      '<div class="blocks"><h3>One</h3><p>Two <em>three</em> <strong>four</strong> <s>five</s> <code>six</code></p>' +
        '<ul><li>a</li><li><input type="checkbox" disabled="" checked=""> b</li></ul><blockquote><p>c</p></blockquote></div>',
    );
  });
  it("cites", () => {
    const { target, view: shown } = view();
    const text = "One. Two.";
    shown.update(text, true, [{ n: 3, start: 0, end: codePointLength("One.") }]);
    expect(target.textContent).toBe("One.3 Two.");
  });
  it("is the same in pieces", () => {
    const piece = fc.constantFrom("a ", "**b** ", "\n\n", "\n", "- c\n", "1. d\n", "> ", "# e\n", "```\n", "|a|b|\n|-|-|\n", "[r]", "[r]: https://a.example\n", "    ");
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 30 }), fc.array(fc.nat(80), { maxLength: 10 }), (pieces, cuts) => {
        const text = pieces.join("");
        const one = view();
        one.view.update(text, true);
        const many = view();
        for (const cut of [...cuts].sort((a, b) => a - b)) many.view.update(text.slice(0, cut), false);
        many.view.update(text, true);
        expect(many.target.innerHTML).toBe(one.target.innerHTML);
      }),
      { numRuns: 2000 },
    );
  });
});
