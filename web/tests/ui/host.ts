import type { Host } from "../../ui/chat";
import type { Keep } from "../../ui/keep";

/** A host that does nothing and wants words as they are written. */
export const nobody: Host = {
  remember: () => undefined,
  streams: () => true,
  conversationsChanged: () => undefined,
  answered: () => undefined,
};

/** Storage that lasts as long as the test. */
export function memory(): Keep {
  const values = new Map<string, unknown>();
  return { read: (name) => values.get(name) ?? null, write: (name, value) => void values.set(name, value) };
}
