/** Offsets on the wire count Unicode code points; JavaScript strings count UTF-16 units. These translate. */

export function codePointLength(text: string): number {
  let count = 0;
  for (let i = 0; i < text.length; i++) {
    // The first half of a pair is counted with its second half.
    if (isPairAt(text, i)) i++;
    count++;
  }
  return count;
}

/** The text's first `count` code points. */
export function firstCodePoints(text: string, count: number): string {
  return text.slice(0, indexOfCodePoint(text, count));
}

/** Where code point `count` begins, in UTF-16 units; the text's length when it has fewer. */
export function indexOfCodePoint(text: string, count: number): number {
  return indicesOfCodePoints(text, [count])[0] ?? text.length;
}

/** `indexOfCodePoint` for many counts, in ascending order, in one pass. */
export function indicesOfCodePoints(text: string, ascending: readonly number[]): number[] {
  const indices: number[] = [];
  let index = 0;
  let counted = 0;
  for (const count of ascending) {
    while (counted < count && index < text.length) {
      index += isPairAt(text, index) ? 2 : 1;
      counted++;
    }
    indices.push(index);
  }
  return indices;
}

function isPairAt(text: string, index: number): boolean {
  const high = text.charCodeAt(index);
  if (high < 0xd800 || high > 0xdbff) return false;
  const low = text.charCodeAt(index + 1);
  return low >= 0xdc00 && low <= 0xdfff;
}
