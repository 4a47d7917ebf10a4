import { describe, expect, it } from "vitest";
import { loadTongue } from "../../ui/strings";
import { en } from "../../ui/strings/en";
import { stepLabel, waitLabel } from "../../ui/step-label";

const SERVER = import.meta.glob<string>("../../../src/millstream/{run,answers/rag,answers/prompt}.py", {
  query: "?raw",
  import: "default",
  eager: true,
});

const spanish = (await loadTongue("es")).t;
const english = (await loadTongue("en")).t;

describe("a step of the server", () => {
  it.each([
    ["search", "Searching 1 document…", "Buscando en 1 documento…"],
    ["search", "Searching 12,345 documents…", "Buscando en 12.345 documentos…"],
    ["search", "Found 3 related passages", "3 pasajes relacionados"],
    ["search", "Found no related passages", "Ningún pasaje relacionado"],
    ["rewrite", "Searching for “who clears\nthe stream?”", "Buscando «who clears\nthe stream?»"],
    ["retry", "The model is rate limited; tried again after 12 s", "El modelo limitaba las peticiones; nuevo intento tras 12\u00a0s"],
  ])("is told in the reader's language: %s, %s", (name, label, told) => {
    expect(stepLabel({ name, label }, spanish)).toBe(told);
    expect(stepLabel({ name, label }, english).replace("\u00a0", " ")).toBe(label);
  });

  it("that waits tells how long still", () => {
    const wait = { name: "retry", label: "The model cannot be reached; trying again in 30 s…" };
    expect(waitLabel(wait, 7, spanish)).toBe("No se llega al modelo; nuevo intento en 7\u00a0s…");
    expect(waitLabel({ name: "retry", label: "Waiting for a free seat…" }, 7, spanish)).toBeNull();
    expect(waitLabel({ name: "search", label: "Searching 30 documents…" }, 7, spanish)).toBeNull();
  });

  it("is called so by the server", () => {
    const server = Object.values(SERVER).join("\n");
    expect(Object.keys(SERVER)).toHaveLength(3);
    const texts = Object.entries(en).filter(([key]) => key.startsWith("step_"));
    const words = texts.flatMap(([, entry]) => (typeof entry === "string" ? entry : entry.other).match(/[A-Za-z]{3,}/g) ?? []);
    // The server joins its labels from parts, so they are looked for word by word, but for the names of values.
    const missing = words.filter((word) => !["query", "seconds"].includes(word) && !server.includes(word));
    expect(missing).toEqual([]);
  });
});

describe("an application's step", () => {
  it.each([
    ["search", "Looking through the catalogue…"],
    ["lookup", "Searching 3 documents…"],
    ["search", "Searching 3 documents… and more"],
  ])("is told in its own words: %s, %s", (name, label) => {
    expect(stepLabel({ name, label }, spanish)).toBe(label);
  });
});
