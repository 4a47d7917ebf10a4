import { en } from "./en";

/** A text, or its forms by the language's plural rule for `{n}`. */
export type Entry = string | (Partial<Record<Intl.LDMLPluralRule, string>> & { other: string });
export type Key = keyof typeof en;
export type Catalogue = Record<Key, Entry>;

export const LANGUAGES = { en: "English", es: "Español", ar: "العربية" } as const;
export type Language = keyof typeof LANGUAGES;

/** A text in the reader's language, with `{name}` filled in. */
export type Translate = (key: Key, values?: Record<string, string | number>) => string;

export interface Tongue {
  language: Language;
  direction: "ltr" | "rtl";
  t: Translate;
}

const LOADED: Record<Language, () => Promise<Catalogue>> = {
  en: () => Promise.resolve(en),
  es: async () => (await import("./es")).es,
  ar: async () => (await import("./ar")).ar,
};

export const ENGLISH = tongueOf("en", en);

export function isLanguage(value: unknown): value is Language {
  return typeof value === "string" && Object.hasOwn(LANGUAGES, value);
}

/** The first of the wished languages (BCP 47) that there is; English if none is. */
export function closestLanguage(wished: readonly string[]): Language {
  for (const tag of wished) {
    const base = tag.toLowerCase().split("-")[0];
    if (isLanguage(base)) return base;
  }
  return "en";
}

export async function loadTongue(language: Language): Promise<Tongue> {
  return tongueOf(language, await LOADED[language]());
}

function tongueOf(language: Language, catalogue: Catalogue): Tongue {
  const plural = new Intl.PluralRules(language);
  const number = new Intl.NumberFormat(language);
  const t: Translate = (key, values = {}) => {
    const entry = catalogue[key];
    const text = typeof entry === "string" ? entry : (entry[plural.select(Number(values.n))] ?? entry.other);
    return text.replace(/\{(\w+)\}/g, (_, name: string) => {
      const value = values[name];
      return typeof value === "number" ? number.format(value) : (value ?? "");
    });
  };
  return { language, direction: language === "ar" ? "rtl" : "ltr", t };
}
