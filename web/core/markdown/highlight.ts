import type { Span } from "./spans";

/** Longer code is not worth the time that it would take. */
const LONGEST = 50_000;
/** Highlighting waits for the browser to have nothing else to do, but not for ever. */
const LONGEST_WAIT_MS = 2_000;

/**
 * Colours finished code when the browser is idle. What it takes is loaded for the first code there is, and each language
 * by itself. Each coloured piece becomes `<span class="hl-…">` (keyword, string, comment, number, title …, the scopes of
 * highlight.js by their first part); code in an unknown language stays as it is.
 */
export function highlightLater(code: Element, language: string): void {
  const text = code.textContent;
  if (text.length > LONGEST) return;
  whenIdle(() => void highlight(code, text, language.toLowerCase()));
}

async function highlight(code: Element, text: string, language: string): Promise<void> {
  let spans: Span[] | null;
  try {
    spans = await (await import("./spans")).spansOf(text, language);
  } catch {
    // Code without colours, as when the network is gone, is still the code.
    return;
  }
  if (spans === null) return;
  const coloured = spans.map(({ text: part, scope }) => {
    if (scope === null) return code.ownerDocument.createTextNode(part);
    const span = code.ownerDocument.createElement("span");
    span.className = `hl-${scope}`;
    span.append(part);
    return span;
  });
  whenIdle(function paint() {
    // Another node under a selection would drop it.
    if (isSelected(code)) code.ownerDocument.addEventListener("selectionchange", () => whenIdle(paint), { once: true });
    else if (code.isConnected && code.textContent === text) code.replaceChildren(...coloured);
  });
}

function isSelected(code: Element): boolean {
  // Chromium tells of a selection inside a shadow tree only there.
  const root = code.getRootNode() as Partial<Document>;
  const selection = root.getSelection?.() ?? code.ownerDocument.getSelection();
  return selection !== null && !selection.isCollapsed && selection.containsNode(code, true);
}

function whenIdle(callback: () => void): void {
  // Safari has none.
  if ("requestIdleCallback" in globalThis) requestIdleCallback(callback, { timeout: LONGEST_WAIT_MS });
  else setTimeout(callback, 0);
}
