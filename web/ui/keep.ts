/** What outlives the page: small values under names, in the browser's storage where there is one. */
export interface Keep {
  read: (name: string) => unknown;
  write: (name: string, value: unknown) => void;
}

const PREFIX = "millstream.";

/**
 * Local storage; where the browser refuses it, values last as long as the page. `server` keeps apart what belongs to
 * one server: its base address, "" for that of the page.
 */
export function browserKeep(server = ""): Keep {
  const refused = new Map<string, unknown>();
  const keyOf = (name: string): string => PREFIX + name + (server && ` ${server}`);
  return {
    read(name) {
      if (refused.has(name)) return refused.get(name);
      try {
        // Always what is stored: another tab may have written it.
        return JSON.parse(localStorage.getItem(keyOf(name)) ?? "null") as unknown;
      } catch {
        return null;
      }
    },
    write(name, value) {
      try {
        localStorage.setItem(keyOf(name), JSON.stringify(value));
        refused.delete(name);
      } catch {
        refused.set(name, value);
      }
    },
  };
}
