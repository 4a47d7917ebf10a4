import type { Ui } from "./ui";

/** How long it is shown that something was copied. */
export const COPIED_MS = 2_000;

/** Puts text on the clipboard, and says whether the browser let us. Returns it too. */
export async function copyText(text: string, { t, announcer, chat }: Pick<Ui, "t" | "announcer" | "chat">): Promise<boolean> {
  const isCopied = await put(text);
  if (isCopied) announcer.say(t("copied"));
  else chat.report(t("copy_failed"));
  return isCopied;
}

async function put(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyByCommand(text);
  }
}

/** The old way: over plain HTTP, other than on this machine, a page has no `navigator.clipboard`. */
function copyByCommand(text: string): boolean {
  let isCopied = false;
  const onCopy = (event: ClipboardEvent): void => {
    event.clipboardData?.setData("text/plain", text);
    event.preventDefault();
    event.stopImmediatePropagation();
    isCopied = true;
  };
  document.addEventListener("copy", onCopy, { capture: true });
  try {
    // eslint-disable-next-line @typescript-eslint/no-deprecated -- there is no other way there
    return document.execCommand("copy") && isCopied;
  } finally {
    document.removeEventListener("copy", onCopy, { capture: true });
  }
}
