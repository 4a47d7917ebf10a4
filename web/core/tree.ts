import type { AssistantMessage, StoredMessage } from "./api";

/** A conversation is a tree by `parent_id`: asking again for an answer makes a sibling. These read it. */

/** The message's siblings, itself included, oldest first. */
export function siblings(messages: readonly StoredMessage[], message: StoredMessage): StoredMessage[] {
  return messages.filter((other) => other.parent_id === message.parent_id && other.role === message.role);
}

/**
 * The messages from the first to a leaf. Where there are siblings it takes the one that `chosen` names (by the parent's
 * id, "" for the roots), else the newest.
 */
export function branch(
  messages: readonly StoredMessage[],
  chosen: ReadonlyMap<string, string> = new Map(),
): StoredMessage[] {
  const known = new Set(messages.map((message) => message.message_id));
  const children = new Map<string, StoredMessage[]>();
  for (const message of messages) {
    const parent = message.parent_id !== undefined && known.has(message.parent_id) ? message.parent_id : "";
    const list = children.get(parent);
    if (list) list.push(message);
    else children.set(parent, [message]);
  }
  const path: StoredMessage[] = [];
  let parent = "";
  for (;;) {
    const options = children.get(parent);
    if (!options) return path;
    const next = options.find((option) => option.message_id === chosen.get(parent)) ?? options.at(-1);
    if (!next || path.includes(next)) return path;
    path.push(next);
    parent = next.message_id;
  }
}

/** The newest answer on the path that is still being made. */
export function runningAnswer(path: readonly StoredMessage[]): AssistantMessage | undefined {
  return path.findLast(
    (message): message is AssistantMessage => message.role === "assistant" && message.run.state === "running",
  );
}
