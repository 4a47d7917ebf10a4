import { describe, expect, it } from "vitest";
import documentation from "../../../docs/element.md?raw";
import types from "../../public/millstream-chat.d.ts?raw";
import styles from "../../ui/style.css?raw";

const SOURCES = Object.values(import.meta.glob<string>("../../ui/*.{ts,tsx}", { query: "?raw", import: "default", eager: true }));

/** What the element offers by this pattern's first group, and what its documentation names of it. */
function offered(texts: readonly string[], pattern: RegExp): string[] {
  return [...new Set(texts.flatMap((text) => [...text.matchAll(pattern)].map(([, name]) => name ?? "")))].sort();
}

describe("the element's documentation", () => {
  it("names every part, and no other", () => {
    const parts = /^Parts: ([^.]*)\.$/ms.exec(documentation)?.[1] ?? "";
    expect(offered([parts], /`([\w-]+)`/g)).toEqual(offered(SOURCES, /\bpart(?:="|\.add\(")([\w-]+)"/g));
  });

  it("names every custom property, and no other", () => {
    const property = /(--millstream-[\w-]+)/g;
    expect(offered([documentation], property)).toEqual(offered([styles], property));
  });

  it("and its types name every event, and no other", () => {
    const told = offered(SOURCES, /this\.tell\("([\w-]+)"/g);
    expect(told.length).toBeGreaterThan(0);
    expect(offered([documentation], /^\| `(millstream-[\w-]+)` \|/gm)).toEqual(told);
    for (const event of told) expect(types).toContain(`"${event}"`);
  });

  it("names every attribute that is observed", () => {
    const [, observed = ""] = SOURCES.map((text) => /observedAttributes = (\[[^\]]*\])/.exec(text)).find((found) => found) ?? [];
    const named = offered([documentation], /^\| `(\w+)` \|/gm);
    for (const attribute of offered([observed], /"(\w+)"/g)) expect(named).toContain(attribute);
  });
});
