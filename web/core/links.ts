const ALLOWED = new Set(["http:", "https:", "mailto:"]);

/** The address as it may stand in a link: http, https and mailto, absolute; null for anything else. */
export function safeAddress(address: string): string | null {
  const url = parsed(address);
  return url && ALLOWED.has(url.protocol) ? url.href : null;
}

/** What a person should know of where an address leads: its host, or the mail address. */
export function placeOf(address: string): string {
  const url = parsed(address);
  if (!url) return "no valid address";
  return url.host || (url.protocol === "mailto:" ? url.pathname : `a ${url.protocol} address`);
}

function parsed(address: string): URL | null {
  return URL.canParse(address) ? new URL(address) : null;
}
