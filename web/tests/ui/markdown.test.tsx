import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { codePointLength } from "../../core/codepoints";
import { Drawing } from "../../ui/markdown";
import { tagsOf, written } from "./written";

function drawn(text: string, ends: readonly number[] = [], shown: readonly string[] = []): string {
  const marks = ends.map((end, i) => ({ end, node: () => <b>{i + 1}</b> }));
  return written(new Drawing(text, marks).draw(), shown);
}

/** A mark after each occurrence of `¶`, which is then taken out. */
function drawnAt(text: string): string {
  const pieces = text.split("¶");
  const ends = pieces.slice(0, -1).map((_, i) => codePointLength(pieces.slice(0, i + 1).join("")));
  return drawn(pieces.join(""), ends);
}

const HARMLESS = new Set(
  "a b p s em strong span code pre h3 h4 h5 h6 ul ol li br hr blockquote div table thead tbody tr th td".split(" "),
);

describe("Markdown", () => {
  it("becomes nodes", () => {
    expect(drawn("# One\n\nTwo *three* **four** ~~five~~ `six`\n\n- a\n- b\n\n> c")).toBe(
      "<h3>One</h3><p>Two <em>three</em> <strong>four</strong> <s>five</s> <code>six</code></p>" +
        "<ul><li>a</li><li>b</li></ul><blockquote><p>c</p></blockquote>",
    );
  });

  it("keeps raw HTML as text", () => {
    expect(drawn("<script>alert(1)</script>\n\nA <img src=x onerror=alert(1)> b")).toBe(
      "<p><script>alert(1)</script></p><p>A <img src=x onerror=alert(1)> b</p>",
    );
    // The same strings, so that it is seen to be one text and no element:
    expect(new Drawing("<script>alert(1)</script>", []).draw()).toMatchObject({
      props: { children: [[{ type: "p", props: { children: [["<script>alert(1)</script>"]] } }], false] },
    });
  });

  it.each(["javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "vbscript:x", "file:///etc/passwd", "/local", "//host"])(
    "makes no link of %s",
    (address) => {
      expect(drawn(`[word](${address})`, [], ["href"])).toBe("<p><span>word</span></p>");
    },
  );

  it("links to http, https and mail, telling the other side nothing", () => {
    expect(drawn("[a](https://example.org/x) <me@example.org>", [], ["href", "rel", "referrerpolicy"])).toBe(
      '<p><a href="https://example.org/x" rel="noopener noreferrer nofollow" referrerpolicy="no-referrer">a</a> ' +
        '<a href="mailto:me@example.org" rel="noopener noreferrer nofollow" referrerpolicy="no-referrer">me@example.org</a></p>',
    );
  });

  it("names an image and its host instead of fetching it", () => {
    expect(drawn("![plan](https://evil.example/p.png?q=secret)")).toBe(
      "<p><span>Image “plan” not loaded (evil.example)</span></p>",
    );
    expect(drawn("![plan][p]\n\n[p]: https://evil.example/p.png")).not.toContain("img");
  });

  it("leaves no level of headings out", () => {
    expect(drawn("### A\n\n##### B\n\n# C")).toBe("<h3>A</h3><h4>B</h4><h3>C</h3>");
  });

  it("draws any text without a throw and without an element that loads or runs something", () => {
    const piece = fc.oneof(
      fc.constantFrom("<script>", "![", "](", "http://a.example", ")", "`", "```\n", "**", "_", "|", "\n", "- ", "> ", "#", "[1]: "),
      fc.string({ unit: "grapheme" }),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 30 }), fc.array(fc.nat(60), { maxLength: 4 }), (pieces, ends) => {
        const nodes = new Drawing(
          pieces.join(""),
          ends.map((end) => ({ end, node: () => <b>!</b> })),
        ).draw();
        for (const tag of tagsOf(nodes)) expect(HARMLESS).toContain(tag);
      }),
    );
  });
});

describe("marks", () => {
  it.each([
    ["at the end of a statement", "One. ¶Two.¶", "<p>One.<b>1</b> Two.<b>2</b></p>"],
    ["after emphasis", "**So.**¶ And *so*¶ on.", "<p><strong>So.</strong><b>1</b> And <em>so</em><b>2</b> on.</p>"],
    ["inside emphasis", "**So.¶**", "<p><strong>So.<b>1</b></strong></p>"],
    ["before emphasis", "So.¶**And**", "<p>So.<b>1</b><strong>And</strong></p>"],
    ["several at one place", "So.¶¶", "<p>So.<b>1</b><b>2</b></p>"],
    ["in a list", "- a¶\n- b¶", "<ul><li>a<b>1</b></li><li>b<b>2</b></li></ul>"],
    ["before the line end that a statement carries", "One.\n\n¶Two.", "<p>One.<b>1</b></p><p>Two.</p>"],
    ["after code", "Use `so`¶.", "<p>Use <code>so</code><b>1</b>.</p>"],
    ["behind code that they fall into", "Use `s¶o`.", "<p>Use <code>so</code><b>1</b>.</p>"],
    ["behind a link that they fall into", "[a¶b](https://a.example).", "<p><a>ab</a><b>1</b>.</p>"],
    ["below a block of code", "```js\na¶\nb\n```\nc", "<pre><code>a\nb\n</code></pre><p><b>1</b></p><p>c</p>"],
    ["after the fence of a block of code", "```\na\n```¶", "<pre><code>a\n</code></pre><p><b>1</b></p>"],
    ["after characters beyond 16 bits", "🌊🌊.¶ b", "<p>🌊🌊.<b>1</b> b</p>"],
    ["in the last cell of a row", "|a|b|\n|-|-|\n|c|d| ¶\n\ne", "<div><table><thead><tr><th>a</th><th>b</th></tr></thead><tbody><tr><td>c</td><td>d<b>1</b></td></tr></tbody></table></div><p>e</p>"],
  ])("stand %s", (_, text, expected) => {
    expect(drawnAt(text)).toBe(expected);
  });

  it("are never lost, doubled or mixed up, and change nothing else", () => {
    const statement = fc.constantFrom("One.", "**Two.**", "_three_", "`four`", "[five](https://a.example)", "Six 🌊.", "水。");
    const gap = fc.constantFrom(" ", "\n\n", "\n- ", "\n\n> ", "\n\n## ");
    fc.assert(
      fc.property(fc.array(fc.tuple(statement, gap), { minLength: 1, maxLength: 12 }), (parts) => {
        let text = "";
        const ends: number[] = [];
        for (const [words, space] of parts) {
          text += words;
          ends.push(codePointLength(text));
          text += space;
        }
        const marked = drawn(text, ends);
        expect([...marked.matchAll(/<b>(\d+)<\/b>/g)].map((match) => Number(match[1]))).toEqual(ends.map((_, i) => i + 1));
        expect(marked.replaceAll(/<b>\d+<\/b>/g, "")).toBe(drawn(text));
      }),
    );
  });
});
