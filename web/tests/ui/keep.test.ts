import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { browserKeep } from "../../ui/keep";
import { Desk } from "../../ui/options";
import { Settings } from "../../ui/settings";
import { memory } from "./host";

class Storage {
  readonly values = new Map<string, string>();
  full = false;
  getItem = (key: string): string | null => this.values.get(key) ?? null;
  setItem(key: string, value: string): void {
    if (this.full) throw new Error("quota");
    this.values.set(key, value);
  }
}

describe("what outlives the page", () => {
  let storage: Storage;
  beforeEach(() => vi.stubGlobal("localStorage", (storage = new Storage())));
  afterEach(() => vi.unstubAllGlobals());

  it("is not overwritten by another tab that kept something else", () => {
    const [one, other] = [new Desk(browserKeep()), new Desk(browserKeep())];
    one.put("c1", { options: { sources: 3 } });
    other.put("c2", { options: { sources: 4 } });
    one.put("c1", { draft: "mine" });
    other.put("c2", { draft: "theirs" });
    expect(new Desk(browserKeep()).of("c1")).toEqual({ draft: "mine", options: { sources: 3 } });
    expect(new Desk(browserKeep()).of("c2")).toEqual({ draft: "theirs", options: { sources: 4 } });
  });

  it("is kept apart for each server", () => {
    new Desk(browserKeep("https://one.example/")).put(null, { draft: "for one" });
    expect(new Desk(browserKeep("https://two.example/")).of(null)).toEqual({});
    expect(new Desk(browserKeep()).of(null)).toEqual({});
    expect(new Desk(browserKeep("https://one.example/")).of(null)).toEqual({ draft: "for one" });
  });

  it("lasts as long as the page where the browser refuses it", () => {
    storage.full = true;
    const desk = new Desk(browserKeep());
    desk.put("c1", { draft: "kept here" });
    expect(desk.of("c1")).toEqual({ draft: "kept here" });
    storage.full = false;
    desk.put("c1", { draft: "stored" });
    expect(new Desk(browserKeep()).of("c1")).toEqual({ draft: "stored" });
  });
});

describe("settings", () => {
  it("go back to their defaults when the element no longer suggests any", () => {
    const settings = new Settings(memory(), { theme: "dark", language: "ar" });
    settings.suggest({});
    expect(settings.state).toMatchObject({ theme: "auto", language: "auto" });
  });
});
