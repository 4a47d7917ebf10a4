// @vitest-environment jsdom
import { describe, expect, it } from "vitest";
import { MarkdownView } from "../../../core/markdown/view";
import corpus from "./hostile.md?raw";

const HARMLESS =
  "a blockquote br code div em h3 h4 h5 h6 hr input li ol p pre s span strong table tbody td th thead tr ul".split(" ");
const ATTRIBUTES =
  "aria-label checked class dir disabled href referrerpolicy rel role scope start tabindex target title type".split(" ");

describe("hostile Markdown", () => {
  it("makes no element that loads or runs something and no link elsewhere than it may, at any moment", { timeout: 20_000 }, () => {
    const target = document.createElement("div");
    const labels = { table: "Table", code: () => "Code", task: () => "Task", image: (name: string) => name };
    const view = new MarkdownView(target, { labels });
    for (let end = 0; end < corpus.length; ) {
      end = Math.min(end + 23, corpus.length);
      view.update(corpus.slice(0, end), end === corpus.length);
      for (const element of target.querySelectorAll("*")) {
        expect(HARMLESS).toContain(element.localName);
        for (const { name } of element.attributes) expect(ATTRIBUTES).toContain(name);
        const address = element.getAttribute("href");
        if (address !== null) expect(address).toMatch(/^(https?:\/\/[^/]|mailto:)/);
      }
    }
    expect(target.textContent).toContain("<script>hostileScriptRan()</script>");
  });
});
