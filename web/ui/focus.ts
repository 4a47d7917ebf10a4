const CONTROLS = "a[href], button, input, select, textarea, summary, [tabindex]";
/** Parts within which one control can stand in for another. */
const COMPANY = "li, .pages, [role=group], [role=toolbar]";

/**
 * Keeps the focus within: when what has it goes away or can be used no more, what is nearest to it gets it, instead of the
 * page around. Returns how to end that.
 */
export function keepFocus(root: ShadowRoot): () => void {
  let held = root.activeElement;
  const onFocus = (event: Event): void => {
    held = event.target as Element;
  };
  // Who clicks beside all controls has let go of them. A removal looks alike, but its observer is called before.
  const onBlur = (): void => void setTimeout(() => (held = root.activeElement));
  const changes = new MutationObserver((records) => {
    const { activeElement } = root;
    if (held === null || (activeElement === held && isUsable(held))) return;
    const [lost, removal] = [held, removalOf(held, records)];
    held = activeElement === lost ? null : activeElement;
    if (held !== null || isElsewhere(root) || (isUsable(lost) && !removal)) return;
    heirOf(lost, removal, records, root)?.focus();
  });
  root.addEventListener("focusin", onFocus);
  root.addEventListener("focusout", onBlur);
  changes.observe(root, { childList: true, subtree: true, attributeFilter: ["disabled", "inert"] });
  return () => {
    root.removeEventListener("focusin", onFocus);
    root.removeEventListener("focusout", onBlur);
    changes.disconnect();
  };
}

/** Lets Tab go round in `part`, which lies over all else. */
export function goRound(event: KeyboardEvent, part: Element): void {
  const stops = controlsIn(part).filter(({ tabIndex }) => tabIndex >= 0);
  const at = stops.findIndex((stop) => stop.matches(":focus"));
  const isLast = at === -1 || at === (event.shiftKey ? 0 : stops.length - 1);
  if (!isLast) return;
  event.preventDefault();
  stops.at(event.shiftKey ? -1 : 0)?.focus();
}

/** The first control of `part` that can be used. */
export function firstIn(part: Element | null | undefined): HTMLElement | undefined {
  return part ? controlsIn(part)[0] : undefined;
}

function controlsIn(part: Element): HTMLElement[] {
  return [...part.querySelectorAll<HTMLElement>(CONTROLS)].filter(
    (control) => isUsable(control) && control.checkVisibility({ visibilityProperty: true }),
  );
}

function isUsable(control: Element): boolean {
  return control.isConnected && !control.matches(":disabled") && control.closest("[inert]") === null;
}

/** Whether something outside has the focus. */
function isElsewhere({ host }: ShadowRoot): boolean {
  const { activeElement } = host.getRootNode() as Document | ShadowRoot;
  return activeElement !== null && activeElement !== host && activeElement !== document.body;
}

/** How `control` was taken out of what is still there. */
function removalOf(control: Element, records: readonly MutationRecord[]): MutationRecord | undefined {
  return records.findLast(({ target, removedNodes }) => target.isConnected && removedWith(control, removedNodes));
}

function removedWith(control: Element, removed: NodeList): Element | undefined {
  return elements(removed).find((node) => node.contains(control));
}

function heirOf(
  lost: Element,
  removal: MutationRecord | undefined,
  records: readonly MutationRecord[],
  root: ShadowRoot,
): HTMLElement | null | undefined {
  // It has only been moved.
  if (isUsable(lost)) return lost as HTMLElement;
  const around = removal ? (removal.target as Element) : lost.parentElement;
  return (
    (removal && (sameIn(records.flatMap(({ addedNodes }) => elements(addedNodes)), lost) ?? inNeighbour(lost, removal))) ??
    inCompany(around?.closest(COMPANY)) ??
    firstIn(around?.closest("nav, .panel")) ??
    firstIn(root.querySelector("[aria-modal]")) ??
    atRest(root)
  );
}

/** The control of the same name in what has taken the place, or one beside it if that cannot be used. */
function sameIn(added: readonly Element[], lost: Element): HTMLElement | undefined {
  const name = lost.getAttribute("aria-label");
  if (name === null) return undefined;
  const same = added.flatMap((node) => [...node.querySelectorAll(CONTROLS)]).find((one) => one.getAttribute("aria-label") === name);
  return same && isUsable(same) ? (same as HTMLElement) : inCompany(same?.closest(COMPANY));
}

/** Of a list's entry that is gone, what stands at the same place in the one behind or before it. */
function inNeighbour(lost: Element, { removedNodes, nextSibling, previousSibling }: MutationRecord): HTMLElement | undefined {
  const entry = removedWith(lost, removedNodes);
  const neighbour = elements([nextSibling, previousSibling]).find((node) => node.matches("li"));
  if (!entry?.matches("li") || !neighbour) return undefined;
  const place = [...entry.querySelectorAll(CONTROLS)].indexOf(lost);
  const same = neighbour.querySelectorAll(CONTROLS)[place];
  return same && isUsable(same) ? (same as HTMLElement) : firstIn(neighbour);
}

/** Of controls that belong together, the one that opens the others, else the first. */
function inCompany(part: Element | null | undefined): HTMLElement | undefined {
  const opener = part?.querySelector<HTMLElement>("[aria-expanded]");
  return opener && isUsable(opener) ? opener : firstIn(part);
}

/** Where the focus is when there is nothing to do: where one types, unless that would call up a phone's keyboard. */
function atRest(root: ShadowRoot): HTMLElement | null {
  return root.querySelector(matchMedia("(pointer: fine)").matches ? "#question" : ".transcript");
}

function elements(nodes: Iterable<Node | null>): Element[] {
  return [...nodes].filter((node) => node instanceof Element);
}
