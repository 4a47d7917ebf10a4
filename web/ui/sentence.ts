/** What went wrong, for a person: the server's refusals and the browser's errors say it themselves. */
export function sentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
