/** What outlives the page: small values under names, in the browser's storage where there is one. */
export interface Keep {
  read: (name: string) => unknown;
  write: (name: string, value: unknown) => void;
}

const PREFIX = "millstream.";

/** Local storage; where the browser refuses it, values last as long as the page. */
export function browserKeep(): Keep {
  const here = new Map<string, unknown>();
  return {
    read(name) {
      if (here.has(name)) return here.get(name);
      try {
        return JSON.parse(localStorage.getItem(PREFIX + name) ?? "null") as unknown;
      } catch {
        return null;
      }
    },
    write(name, value) {
      here.set(name, value);
      try {
        localStorage.setItem(PREFIX + name, JSON.stringify(value));
      } catch {
        return;
      }
    },
  };
}
