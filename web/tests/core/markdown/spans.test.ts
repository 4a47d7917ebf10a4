import { describe, expect, it } from "vitest";
import { spansOf } from "../../../core/markdown/spans";

describe("code", () => {
  it("is cut in pieces that say what they are, by any common name of its language", async () => {
    const code = 'def f(a):\n    return "x"  # why\n';
    for (const name of ["python", "py"]) {
      const spans = await spansOf(code, name);
      expect(spans?.map(({ text }) => text).join("")).toBe(code);
      expect(spans).toContainEqual({ text: "def", scope: "keyword" });
      expect(spans).toContainEqual({ text: "# why", scope: "comment" });
    }
  });

  it("stays whole when another language is inside", async () => {
    const code = "<p>a</p><script>const a = 1;</script>";
    await spansOf("", "js");
    const spans = await spansOf(code, "html");
    expect(spans?.map(({ text }) => text).join("")).toBe(code);
    expect(spans).toContainEqual({ text: "const", scope: "keyword" });
  });

  it("of an unknown language is left alone", async () => {
    expect(await spansOf("a", "klingon")).toBeNull();
    expect(await spansOf("a", "constructor")).toBeNull();
  });
});
