import { describe, expect, it } from "vitest";
import { ar } from "../../ui/strings/ar";
import { en } from "../../ui/strings/en";
import { es } from "../../ui/strings/es";
import { closestLanguage, type Entry, type Language, loadTongue } from "../../ui/strings";

const CATALOGUES: Record<Language, Record<string, Entry>> = { en, es, ar };
const SOURCES = import.meta.glob<string>("../../ui/*.{ts,tsx}", { query: "?raw", import: "default", eager: true });

function forms(entry: Entry | undefined): string[] {
  return typeof entry === "string" ? [entry] : Object.values(entry ?? {});
}

/** The names in braces; `n` may be left out of a form that says the number in words. */
function places(text: string): string[] {
  return [...text.matchAll(/\{(\w+)\}/g)].flatMap(([, name]) => (name === "n" ? [] : [name ?? ""])).sort();
}

describe.each(Object.keys(CATALOGUES) as Language[])("the catalogue %s", (language) => {
  const catalogue = CATALOGUES[language];

  it("has every text, none of them empty, and no other", () => {
    expect(Object.keys(catalogue).sort()).toEqual(Object.keys(en).sort());
    for (const entry of Object.values(catalogue)) for (const text of forms(entry)) expect(text.trim()).not.toBe("");
  });

  it("fills in the same values as the English one", () => {
    for (const [key, entry] of Object.entries<Entry>(en)) {
      const [wanted] = forms(entry);
      for (const text of forms(catalogue[key])) expect([key, places(text)]).toEqual([key, places(wanted ?? "")]);
    }
  });

  it("has a form for every number of its language", () => {
    const { pluralCategories } = new Intl.PluralRules(language).resolvedOptions();
    for (const [key, entry] of Object.entries<Entry>(catalogue)) {
      if (typeof entry === "string") continue;
      // Spanish has a form for millions in long scale, which is that of all others here.
      const missing = pluralCategories.filter((category) => category !== "many" || language !== "es").filter((c) => !(c in entry));
      expect([key, missing]).toEqual([key, []]);
    }
  });

  it("is not English where it should not be", () => {
    if (language === "en") return;
    const same = Object.keys(en).filter((key) => key !== "comma" && forms(catalogue[key])[0] === forms(en[key as keyof typeof en])[0]);
    expect(same).toEqual([]);
  });
});

describe("texts", () => {
  it("are all used, and none is written outside the catalogue", () => {
    const all = Object.values(SOURCES).join("\n");
    const unused = Object.keys(en).filter((key) => !all.includes(`"${key}"`) && !key.startsWith("effort_"));
    expect(unused).toEqual([]);
    const written = Object.entries(SOURCES).flatMap(([name, text]) =>
      [...text.matchAll(/(?:aria-label|title|placeholder|alt)="([^"]*[a-z][^"]*)"/g)].map(([found]) => `${name}: ${found}`),
    );
    expect(written).toEqual([]);
  });

  it("are chosen by number and filled in", async () => {
    const { t } = await loadTongue("en");
    expect(t("words", { n: 1 })).toBe("1 word");
    expect(t("words", { n: 1200 })).toBe("1,200 words");
    expect((await loadTongue("ar")).t("words", { n: 2 })).toBe("كلمتان");
    expect((await loadTongue("ar")).direction).toBe("rtl");
  });

  it("come in the first wished language that there is", () => {
    expect(closestLanguage(["pt-BR", "es-MX", "en"])).toBe("es");
    expect(closestLanguage(["AR-EG"])).toBe("ar");
    expect(closestLanguage(["xx"])).toBe("en");
  });
});
