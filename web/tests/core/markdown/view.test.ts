// @vitest-environment jsdom
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { codePointLength } from "../../../core/codepoints";
import type { CitationFields } from "../../../core/events";
import { type MarkdownOptions, MarkdownView } from "../../../core/markdown/view";
import { wordEnd } from "../../../core/words";
import { documents } from "./documents";
import { outline } from "./outline";

const LABELS = {
  table: "Table",
  task: (done: boolean) => (done ? "Done" : "To do"),
  code: (language: string) => (language ? `Code, ${language}` : "Code"),
  image: (name: string, place: string) => `Image “${name}” (${place})`,
};

function shown(options: Partial<MarkdownOptions> = {}) {
  const target = document.createElement("div");
  const citation = ({ n }: CitationFields): Node => {
    const mark = document.createElement("b");
    mark.append(String(n));
    return mark;
  };
  return { target, view: new MarkdownView(target, { labels: LABELS, citation, ...options }) };
}

/** The blocks of `text` painted at once, without the groups they are in. */
function painted(text: string, citations: readonly CitationFields[] = [], options: Partial<MarkdownOptions> = {}): string {
  const { target, view } = shown(options);
  view.update(text, true, citations);
  return [...target.children].map(outline).join("");
}

/** What is painted when the text stops here and goes on. */
function paintedSoFar(text: string): string {
  const { target, view } = shown();
  view.update(text, false);
  return [...target.children].map(outline).join("");
}

const cited = (n: number, end: number): CitationFields => ({ n, start: 0, end });

/** A citation at each `¶`, numbered from 1; the text without them. */
function withCitations(text: string): [string, CitationFields[]] {
  const pieces = text.split("¶");
  const ends = pieces.slice(0, -1).map((_, i) => codePointLength(pieces.slice(0, i + 1).join("")));
  return [pieces.join(""), ends.map((end, i) => cited(i + 1, end))];
}

describe("Markdown", () => {
  it("becomes nodes", () => {
    expect(painted("# One\n\nTwo *three* **four** ~~five~~ `six`  \nseven\n\n1. a\n2. b\n\n> c\n\n---")).toBe(
      "<h3>One</h3><p>Two <em>three</em> <strong>four</strong> <s>five</s> <code>six</code><br></br>seven</p>" +
        "<ol><li>a</li><li>b</li></ol><blockquote><p>c</p></blockquote><hr></hr>",
    );
  });

  it("gives each block the direction of its own words, and code none", () => {
    const { target, view } = shown();
    view.update("Hello.\n\n- a\n  - b\n\n> c\n\n```\nd\n```\n\n|e|\n|-|\n|f|\n", true);
    const directed = [...target.querySelectorAll("[dir]")].map((node) => [node.localName, node.getAttribute("dir")]);
    expect(directed).toEqual(["p", "ul", "blockquote", "div"].map((name) => [name, "auto"]));
    expect(target.querySelector(".code")?.hasAttribute("dir")).toBe(false);
  });

  it("has tables that can be scrolled, with their alignment", () => {
    expect(painted("|a|b|\n|:-|-:|\n|1|2|")).toBe(
      '<div class="scroll" role="group" aria-label="Table" tabindex="0"><table>' +
        '<thead><tr><th class="align-left" scope="col">a</th><th class="align-right" scope="col">b</th></tr></thead>' +
        '<tbody><tr><td class="align-left">1</td><td class="align-right">2</td></tr></tbody></table></div>',
    );
  });

  it("has tasks", () => {
    expect(painted("- [ ] a\n- [x] *b*\n- [y] c\n\n[ ] d")).toBe(
      '<ul><li><input type="checkbox" disabled="" aria-label="To do"></input> a</li>' +
        '<li><input type="checkbox" disabled="" aria-label="Done" checked=""></input> <em>b</em></li><li>[y] c</li></ul><p>[ ] d</p>',
    );
  });

  it("has code that says its language", () => {
    expect(painted("```js title\na < b\n```\n\n    c")).toBe(
      '<div class="code"><pre tabindex="0" role="group" aria-label="Code, js">' +
        '<code class="language-js"><span class="lines">a < b\n</span></code></pre></div>' +
        '<div class="code"><pre tabindex="0" role="group" aria-label="Code"><code><span class="lines">c\n</span></code></pre></div>',
    );
  });

  it("leaves no level of headings out", () => {
    expect(painted("### A\n\n##### B\n\n# C")).toBe("<h3>A</h3><h4>B</h4><h3>C</h3>");
  });

  it("keeps raw HTML as text", () => {
    const { target, view } = shown();
    view.update("<script>alert(1)</script>\n\nA <img src=x onerror=alert(1)> b", true);
    expect(target.textContent).toBe("<script>alert(1)</script>A <img src=x onerror=alert(1)> b");
    expect(target.querySelector("script, img")).toBeNull();
  });
});

describe("a link", () => {
  it.each(["javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "vbscript:x", "file:///etc/passwd", "/local", "//host"])(
    "is not made of %s",
    (address) => {
      expect(painted(`[word](${address})`)).toBe("<p><span>word</span></p>");
    },
  );

  it("tells the other side nothing", () => {
    expect(painted("[a](https://example.org/x)")).toBe(
      '<p><a href="https://example.org/x" title="example.org" target="_blank" rel="noopener noreferrer nofollow" ' +
        'referrerpolicy="no-referrer">a</a></p>',
    );
    expect(painted("<me@example.org>")).toContain('href="mailto:me@example.org"');
  });

  it("is nothing to click before its address is complete", () => {
    for (const part of ["[a", "[a]", "[a](", "[a](https://exam", "[a](https://example.org \"ti", "<https://exam"]) {
      expect(paintedSoFar(`See ${part}`)).not.toContain("<a");
    }
    expect(paintedSoFar("See [a](https://exam")).toBe("<p>See a</p>");
    expect(paintedSoFar("[r]\n\n[r]: https://exam")).not.toContain("<a");
  });

  it("is found by a definition that comes last", () => {
    const { target, view } = shown();
    view.update("First [r].\n\nSecond.\n\n", false);
    const second = target.querySelectorAll("p")[1];
    view.update("First [r].\n\nSecond.\n\n[r]: https://a.example\n", true);
    expect(target.querySelector("a")?.textContent).toBe("r");
    expect(target.querySelectorAll("p")[1]).toBe(second);
  });
});

describe("an image", () => {
  it("is a link with its name and host, and not fetched", () => {
    expect(painted("![plan](https://evil.example/p.png?q=secret)")).toBe(
      '<p><a href="https://evil.example/p.png?q=secret" title="evil.example" target="_blank" ' +
        'rel="noopener noreferrer nofollow" referrerpolicy="no-referrer">Image “plan” (evil.example)</a></p>',
    );
    expect(painted("[![plan](https://evil.example/p.png)](https://a.example)")).toContain(">Image “plan” (evil.example)</a></p>");
    expect(painted("![plan][p]\n\n[p]: https://evil.example/p.png")).not.toContain("img");
    expect(painted("![x](data:image/png;base64,AAAA)")).toBe("<p><span>Image “x” (a data: address)</span></p>");
  });

  it("is shown from where the page allows it, and from nowhere that only looks like it", () => {
    const options = { imagePrefixes: ["https://img.example"] };
    expect(painted("![a *b*](https://img.example/a.png)", [], options)).toBe(
      '<p><img src="https://img.example/a.png" alt="a b" loading="lazy" referrerpolicy="no-referrer"></img></p>',
    );
    expect(painted("![a](https://img.example.evil.example/a.png)", [], options)).not.toContain("<img");
    expect(painted("![a](https://img.example@evil.example/a.png)", [], options)).not.toContain("<img");
  });
});

describe("a citation", () => {
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
    ["after characters beyond 16 bits", "🌊🌊.¶ b", "<p>🌊🌊.<b>1</b> b</p>"],
    ["below a rule", "a\n\n---¶\n\nb", "<p>a</p><div><hr></hr><p><b>1</b></p></div><p>b</p>"],
  ])("stands %s", (_, text, expected) => {
    expect(painted(...withCitations(text))).toBe(expected);
  });

  it("stands below a block of code", () => {
    for (const text of ["```\na¶\n```\nc", "```\na\n```¶\nc"]) {
      expect(painted(...withCitations(text))).toMatch(/>a\n<\/span><\/code><\/pre><p><b>1<\/b><\/p><\/div><p>c<\/p>$/);
    }
  });

  it("stands in the last cell of a row", () => {
    expect(painted(...withCitations("|a|b|\n|-|-|\n|c|d| ¶\n\ne"))).toContain("<td>d<b>1</b></td>");
  });

  it("waits for its statement to be on screen, and comes into one that was finished long ago", () => {
    const { target, view } = shown();
    const text = "One. Two.\n\nThree.\n\nFour.";
    view.update("One.", false, [cited(1, 9)]);
    expect(target.textContent).toBe("One.");
    view.update(text, false, [cited(1, 9)]);
    const mark = target.querySelector("b");
    const four = target.querySelectorAll("p")[2];
    view.update(text, true, [cited(1, 9), cited(2, 4), cited(3, 17)]);
    expect(target.textContent).toBe("One.2 Two.1Three.3Four.");
    expect(target.contains(mark)).toBe(true);
    expect(target.querySelectorAll("p")[2]).toBe(four);
  });

  it("of a definition stands behind the block before it, also when it comes late", () => {
    const { target, view } = shown();
    const text = "[r]: https://a.example\n\nOne.\n\n[r]: https://a.example\n";
    view.update(text, false);
    view.update(`${text}\nTwo.\n\nThree.`, true, [cited(1, text.length - 5)]);
    expect(target.textContent).toBe("One.1Two.Three.");
  });

  it("draws no block again but the one that it stands in", () => {
    const text = Array.from({ length: 20 }, (_, i) => `A ![${i}](https://a.example) b.\n\n`).join("");
    const drawn: string[] = [];
    const image = (name: string): string => (drawn.push(name), name);
    const { view } = shown({ labels: { ...LABELS, image } });
    view.update(text, false);
    drawn.length = 0;
    const ends = [...text.matchAll(/\n\n/g)].map(({ index }) => index);
    view.update(text, false, [cited(1, ends[3] ?? 0), cited(2, ends[19] ?? 0)]);
    expect(drawn).toEqual(["19", "3"]);
  });

  it("is shown once, and not at all when there is nothing to show for it", () => {
    expect(painted("a b", [cited(1, 1), cited(1, 1)])).toBe("<p>a<b>1</b> b</p>");
    expect(painted("a b", [cited(1, 1)], { citation: () => null })).toBe("<p>a b</p>");
  });

  it("is never lost, doubled or mixed up, and changes nothing else", () => {
    const statement = fc.constantFrom("One.", "**Two.**", "_three_", "`four`", "[five](https://a.example)", "Six 🌊.", "水。");
    const gap = fc.constantFrom(" ", "\n\n", "\n- ", "\n\n> ", "\n\n## ");
    fc.assert(
      fc.property(fc.array(fc.tuple(statement, gap), { minLength: 1, maxLength: 12 }), (parts) => {
        const [text, citations] = withCitations(parts.map(([words, space]) => `${words}¶${space}`).join(""));
        const marked = painted(text, citations);
        expect([...marked.matchAll(/<b>(\d+)<\/b>/g)].map((match) => Number(match[1]))).toEqual(citations.map(({ n }) => n));
        expect(marked.replaceAll(/<b>\d+<\/b>/g, "")).toBe(painted(text));
      }),
    );
  });

  it("cannot be written by the model", () => {
    expect(painted("a \ua95f0\ua95f b.", [cited(7, 1)])).toBe("<p>a<b>7</b> \ua95f0\ua95f b.</p>");
  });
});

const TOUR = `# The *plan*

This is **bold text** and *italic words* with \`inline code\` and a [link to docs](https://example.com/a_b?q=1 "title") in it. Also ***both kinds* here** and ~~gone now~~!

1. First **item one**: see \`x = [1, 2]\`
2. Second item with [another](https://example.org) link
   - nested *point*
   - [ ] open task
   - [x] done task

| Name | Value |
|:-----|------:|
| a **b** | 1 |
| c | \`2\` |

> A quote that *goes on*
> for two lines.

\`\`\`python
def f(a):
    return [a] * 2  # comment
\`\`\`

Text with 2 * 3 = 6 and snake_case_name and &amp; entity &mdash; done. <https://auto.example/x> and A <b or c.

Title two
---------

---

Final paragraph with [1] and brackets [sic] and ![image alt](https://img.example/p.png) end.

[ref]: https://example.com/ref "Ref"

The [words][ref] are linked.
`;

/** `places` in ascending order, those beyond the text wrapped. */
function within(text: string, places: readonly number[]): number[] {
  return places.map((place) => place % (text.length + 1)).sort((a, b) => a - b);
}

describe("Markdown that grows", () => {
  it("is in the end what it would have been at once, whatever the pieces and the citations", () => {
    const cuts = fc.array(fc.nat(2000), { maxLength: 25 });
    const ends = fc.array(fc.nat(400), { maxLength: 4 });
    fc.assert(
      fc.property(documents, cuts, ends, (text, places, cites) => {
        const citations = cites.map((end, i) => cited(i + 1, Math.min(end, codePointLength(text))));
        const one = shown();
        one.view.update(text, true, citations);
        const many = shown();
        for (const [i, place] of within(text, places).entries()) {
          many.view.update(text.slice(0, place), false, citations.slice(0, i));
        }
        many.view.update(text, true, citations);
        expect(outline(many.target)).toBe(outline(one.target));
      }),
      { numRuns: 500 },
    );
  }, 30_000);

  it.each([
    ["list", "", (i: number) => `- ${i} [ref]`],
    ["loose list", "", (i: number) => `${i + 1}. ${i}\n`],
    ["table", "| a | b |\n|---|---|\n", (i: number) => `| ${i} | b |`],
    ["quotation", "", (i: number) => `> ${i}\n>`],
  ])("draws the finished parts of a long %s no more", (_, head, part) => {
    const count = 50;
    const text = head + Array.from({ length: count }, (_, i) => `${part(i).replace(`${i}`, `![${i}](https://a.example)`)}\n`).join("");
    let drawn = 0;
    const image = (name: string): string => (drawn++, name);
    const { target, view } = shown({ labels: { ...LABELS, image } });
    for (let end = 0; end < text.length; end += 5) view.update(text.slice(0, end), false);
    const perPart = (part(count).length + 22) / 5;
    expect(drawn).toBeLessThan(3 * count * perPart);
    view.update(text, true);
    expect(target.querySelectorAll("a")).toHaveLength(count);
  });

  it("lays long code out in pieces of which only the last one grows", () => {
    const { target, view } = shown();
    const text = `\`\`\`\n${"a\n".repeat(100)}`;
    view.update(text, false);
    const pieces = [...target.querySelectorAll(".lines")];
    expect(pieces.map((piece) => piece.textContent.length)).toEqual([80, 80, 40]);
    const texts = pieces.map((piece) => piece.firstChild);
    view.update(`${text}b`, false);
    view.update(`${text}b\n\`\`\`\n`, true);
    expect([...target.querySelectorAll(".lines")].map((piece) => piece.firstChild)).toEqual(texts);
    expect(target.textContent).toBe(`${"a\n".repeat(100)}b\n`);
  });

  it("is at every moment what it would be at once, whatever the pieces", () => {
    const cuts = fc.array(fc.nat(2000), { minLength: 5, maxLength: 25 });
    // A definition counts for finished blocks once it is finished itself.
    const undefined_ = documents.filter((text) => !text.includes("]:"));
    fc.assert(
      fc.property(undefined_, cuts, (text, places) => {
        const { target, view } = shown();
        for (const place of within(text, places)) {
          const part = text.slice(0, place);
          view.update(part, false);
          expect([...target.children].map(outline).join("")).toBe(paintedSoFar(part));
        }
      }),
      { numRuns: 500 },
    );
  }, 30_000);

  it("shows no raw syntax that vanishes again, word by word, and only what may turn out to be brackets, unit by unit", () => {
    const texts = (step: (at: number) => number): string[] => {
      const { target, view } = shown();
      const seen: string[] = [];
      for (let end = 0; end < TOUR.length; ) {
        end = step(end);
        view.update(TOUR.slice(0, end), end === TOUR.length);
        seen.push(target.textContent);
      }
      return seen;
    };
    const vanishing = (seen: string[]): string[] => seen.filter((text, i) => text.length < (seen[i - 1] ?? "").length);
    const changed = (seen: string[]): string[] => seen.filter((text, i) => !text.startsWith(seen[i - 1] ?? ""));
    const words = texts((at) => wordEnd(TOUR, at));
    expect(changed(words)).toEqual([]);
    const units = texts((at) => at + 1);
    expect(vanishing(units)).toEqual([]);
    expect(changed(units).map((text) => text.slice(-5))).toEqual(["h [1]", "[sic]"]);
  });

  it("leaves the nodes of finished blocks alone", () => {
    const { target, view } = shown();
    const text = "One *two*.\n\n- a\n- b\n\nThree.\n\nFour";
    const kept = new Set<Node>();
    const blocks: Element[] = [];
    for (let end = 0; end <= text.length; end++) {
      view.update(text.slice(0, end), end === text.length);
      const nodes = [...target.querySelectorAll("*")];
      for (const node of kept) expect(target.contains(node)).toBe(true);
      if (end === 16) for (const node of nodes) kept.add(node);
      blocks.splice(0, blocks.length, ...target.querySelectorAll(".blocks > *"));
    }
    expect(kept.size).toBeGreaterThan(2);
    expect(blocks).toHaveLength(4);
  });

  it("appends to the text that grows, so that a selection in it stays", () => {
    const { target, view } = shown();
    document.body.append(target);
    view.update("One two", false);
    const text = target.querySelector("p")?.firstChild;
    if (!text) throw new Error("nothing was painted");
    getSelection()?.setBaseAndExtent(text, 0, text, 3);
    view.update("One two three.\n\nFour", true);
    expect(target.querySelector("p")?.firstChild).toBe(text);
    expect(getSelection()?.toString()).toBe("One");
    target.remove();
  });

  it("tells of each block once, when it is finished, in order", () => {
    const finished: string[] = [];
    const { view } = shown({ onBlock: (block) => finished.push(block.textContent) });
    view.update("One.\n\nTw", false);
    expect(finished).toEqual([]);
    view.update("One.\n\nTwo.\nTwo.", false);
    expect(finished).toEqual(["One."]);
    view.update("One.\n\nTwo.\nTwo.\n\n[r]: https://a.example", true);
    expect(finished).toEqual(["One.", "Two.\nTwo."]);
  });

  it("groups finished blocks, so that the browser can pass over those far away", () => {
    const { target, view } = shown();
    const text = Array.from({ length: 30 }, (_, i) => `Paragraph ${i}.\n\n`).join("");
    view.update(text.slice(0, -1), false);
    expect([...target.children].map((group) => [group.className, group.childElementCount])).toEqual([
      ["blocks finished", 12],
      ["blocks finished", 12],
      ["blocks", 6],
    ]);
  });

  it("starts over when the text does not go on from what it was", () => {
    const { target, view } = shown();
    view.update("One.\n\nTwo.\n\nThree", false, [cited(1, 4)]);
    view.update("One.\n\nOther", true, []);
    expect(target.textContent).toBe("One.Other");
  });

  it("takes half a line end for none", () => {
    const { target, view } = shown();
    view.update("One\r", false);
    view.update("One\r\ntwo\r\n\r\nThree", true);
    expect([...target.querySelectorAll("p")].map((p) => p.textContent)).toEqual(["One\ntwo", "Three"]);
  });
});
