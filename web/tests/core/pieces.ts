/** `bytes` cut at the given places (in any order, out of range ones wrapped), empty pieces included. */
export function inPieces(bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const places = cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b);
  const pieces: Uint8Array[] = [];
  let from = 0;
  for (const place of [...places, bytes.length]) {
    pieces.push(bytes.slice(from, place));
    from = place;
  }
  return pieces;
}
