/** In place of linkify-it, which markdown-it brings along: bare addresses are not made links here. */
export function LinkifyIt(): void {
  // markdown-it makes one and never uses it.
}
