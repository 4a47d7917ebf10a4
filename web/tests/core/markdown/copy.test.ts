// @vitest-environment jsdom
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { markdownOf } from "../../../core/markdown/copy";
import { MarkdownView } from "../../../core/markdown/view";
import { outline } from "./outline";

function painted(text: string): HTMLElement {
  const target = document.createElement("div");
  const labels = { table: "Table", code: () => "Code", task: () => "Task", image: (name: string) => name };
  new MarkdownView(target, { labels }).update(text, true);
  return target;
}

const words = fc.constantFrom(
  "plain words",
  "**bold**",
  "*em*",
  "~~gone~~",
  "`code`",
  "`` a ` b ``",
  "[link](https://a.example/x)",
  "2 \\* 3 \\* 4",
  "snake_case",
  "a \\[note\\] b",
  "a < b",
  "\\<b> and & so on",
  "hard  \nbreak",
);
const line = fc.array(words, { minLength: 1, maxLength: 3 }).map((parts) => parts.join(" and "));
const block = fc.oneof(
  line,
  line.map((text) => `# ${text.replaceAll("\n", "")}`),
  line.map((text) => `- ${text.replaceAll("\n", "")}\n- [x] b\n  - c`),
  line.map((text) => `3. ${text.replaceAll("\n", "")}\n\n4. b\n\n   c`),
  line.map((text) => `> ${text.replaceAll("\n", "")}\n>\n> - b`),
  fc.constant("```js\nif (a) `b`\n\n  c\n```"),
  fc.constant("````\n```\n````"),
  line.map((text) => `| a | ${text.replaceAll("\n", "")} |\n| :-- | --: |\n| 1 | x \\| y |`),
  fc.constant("---"),
);

/** What copying gives from `start` in the text `from` to `end` in the text `to`. */
function copied(target: Element, from: Node | null | undefined, start: number, to: Node | null | undefined, end: number): Map<string, string> {
  if (!from || !to) throw new Error("nothing was painted");
  document.body.append(target);
  getSelection()?.setBaseAndExtent(from, start, to, end);
  const data = new Map<string, string>();
  const event = new Event("copy", { bubbles: true, cancelable: true });
  Object.assign(event, { clipboardData: { setData: (type: string, text: string) => data.set(type, text) } });
  target.dispatchEvent(event);
  expect(event.defaultPrevented).toBe(true);
  target.remove();
  return data;
}

describe("what is copied", () => {
  it("is Markdown that paints the same again", () => {
    fc.assert(
      fc.property(fc.array(block, { maxLength: 6 }), (parts) => {
        const target = painted(parts.join("\n\n<!-- -->\n\n"));
        expect(outline(painted(markdownOf(target)))).toBe(outline(target));
      }),
      { numRuns: 100 },
    );
  });

  it("is what was selected, without the page's buttons", () => {
    const target = painted("One **two three** four.\n\n- a\n- b");
    const button = document.createElement("button");
    button.append("1");
    target.querySelector("p")?.append(button);
    const data = copied(target, target.querySelector("strong")?.firstChild, 4, target.querySelector("li")?.firstChild, 1);
    expect(data.get("text/plain")).toBe("**three** four.\n\n- a");
    expect(data.get("text/html")).toContain("three</strong> four.</p>");
  });

  it("from within code is the code as it is", () => {
    const target = painted(`A \`b * c_d\`.\n\n\`\`\`\n${"a * b [c]\n".repeat(60)}\`\`\``);
    const [inline, block] = target.querySelectorAll("code");
    expect(copied(target, inline?.firstChild, 0, inline?.firstChild, 5).get("text/plain")).toBe("b * c");
    const code = copied(target, block?.firstChild?.firstChild, 2, block?.lastChild?.firstChild, 5);
    expect(code.get("text/plain")).toBe("a * b [c]\n".repeat(41).slice(2, -5));
  });
});
