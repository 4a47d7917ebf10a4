const COMPOSING = 229;

/** Whether `key` was pressed for itself; one that ends the composing of a character is the input method's. */
export function isKey(event: KeyboardEvent, key: "Enter" | "Escape" | "Tab"): boolean {
  // Safari says that the composing is over before it tells of the key that ended it: only the old code gives that away.
  // eslint-disable-next-line @typescript-eslint/no-deprecated
  return event.key === key && !event.isComposing && event.keyCode !== COMPOSING;
}
