import { en } from "./strings/en";
import type { Entry, Key, Translate } from "./strings";

/**
 * What the server calls its own steps, by their name. An application's steps are shown in its own words, also where they
 * have a name of these.
 */
const OWN: Readonly<Record<string, readonly Key[]>> = {
  rewrite: ["step_rewrite", "step_not_rewritten", "step_rewritten"],
  search: ["step_search", "step_found", "step_found_none", "step_found_far", "step_found_no_room"],
  prompt: ["step_prompt", "step_prompted"],
  retry: ["step_limited", "step_was_limited", "step_unreachable", "step_was_unreachable"],
};

interface Known {
  key: Key;
  values: Record<string, string | number>;
}

interface Named {
  name: string;
  label: string;
}

/** A step's label in the reader's language: that of the server's own steps is English. */
export function stepLabel({ name, label }: Named, t: Translate): string {
  const known = recognised(name, label);
  return known ? t(known.key, known.values) : label;
}

/** The label of a step that waits, with the seconds that are left of it; null when it does not speak of seconds. */
export function waitLabel({ name, label }: Named, left: number, t: Translate): string | null {
  const known = recognised(name, label);
  return known?.values.seconds === undefined ? null : t(known.key, { ...known.values, seconds: left });
}

function recognised(name: string, label: string): Known | null {
  for (const key of OWN[name] ?? []) {
    for (const form of formsOf(en[key])) {
      const found = patternOf(form).exec(label);
      if (found) return { key, values: valuesOf(found.groups ?? {}) };
    }
  }
  return null;
}

function formsOf(entry: Entry): string[] {
  return typeof entry === "string" ? [entry] : Object.values(entry);
}

/** What a text looks like once it is filled in: numbers as English writes them, any other value as any words. */
function patternOf(text: string): RegExp {
  const source = text
    .split(/(\{\w+\}|\u00a0)/)
    .map((part) => {
      if (part === "\u00a0") return "\\s";
      const value = /^\{(\w+)\}$/.exec(part)?.[1];
      if (value === undefined) return part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
      return value === "query" ? `(?<${value}>.*)` : `(?<${value}>[\\d,]+)`;
    })
    .join("");
  return new RegExp(`^${source}$`, "s");
}

function valuesOf(groups: Record<string, string>): Record<string, string | number> {
  const values = Object.entries(groups).map(([name, text]): [string, string | number] => [
    name,
    name === "query" ? text : Number(text.replaceAll(",", "")),
  ]);
  return Object.fromEntries(values);
}
