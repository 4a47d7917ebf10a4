import type { Keep } from "./keep";
import { Store } from "./store";
import { isLanguage, type Language } from "./strings";

/** How an answer's words appear: evenly, as they arrive, or all at once at the end. */
export type Painting = "smooth" | "realtime" | "whole";
/** What a screen reader is told of an answer: each finished paragraph, only its end, or nothing. */
export type Announcing = "paragraphs" | "end" | "off";
export type Theme = "auto" | "light" | "dark";

export interface SettingsState {
  painting: Painting;
  announcing: Announcing;
  theme: Theme;
  language: Language | "auto";
}

const CHOICES = {
  painting: ["smooth", "realtime", "whole"],
  announcing: ["paragraphs", "end", "off"],
  theme: ["auto", "light", "dark"],
} as const;

const DEFAULTS: SettingsState = { painting: "smooth", announcing: "paragraphs", theme: "auto", language: "auto" };

/** A person's own settings. They start from what the element's attributes say and outlive the page once changed. */
export class Settings extends Store<SettingsState> {
  constructor(
    private readonly keep: Keep,
    defaults: Partial<SettingsState> = {},
  ) {
    super({ ...DEFAULTS, ...defaults, ...kept(keep) });
  }

  change(change: Partial<SettingsState>): void {
    this.keep.write("settings", { ...kept(this.keep), ...change });
    this.set(change);
  }

  /** The element's attributes changed: what the person chose stays. */
  suggest(defaults: Partial<SettingsState>): void {
    this.set({ ...DEFAULTS, ...defaults, ...kept(this.keep) });
  }
}

/** What storage holds may be of another version or of anyone's making: only known values count. */
function kept(keep: Keep): Partial<SettingsState> {
  const value = keep.read("settings");
  if (typeof value !== "object" || value === null) return {};
  const found: Record<string, string> = {};
  for (const [name, choices] of Object.entries(CHOICES)) {
    const choice = (value as Record<string, unknown>)[name];
    if (typeof choice === "string" && (choices as readonly string[]).includes(choice)) found[name] = choice;
  }
  const { language } = value as Record<string, unknown>;
  if (language === "auto" || isLanguage(language)) found.language = language;
  return found;
}
