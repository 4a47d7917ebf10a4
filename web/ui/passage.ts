/** How many letters of a passage must agree so that it counts as found. */
const LEAST = 24;

/**
 * Which of a page's `pieces` of text hold the passage: their indices, in order; none when it is not there.
 *
 * Only letters and digits count: line ends, hyphenation and spaces differ between a page and the text that was read from
 * it. A passage that goes on from the page before, or on to the next one, is found by what of it is here.
 */
export function findPassage(pieces: readonly string[], passage: string): number[] {
  const wanted = letters(passage);
  if (wanted === "") return [];
  let page = "";
  const owners: number[] = [];
  for (const [i, piece] of pieces.entries()) {
    const own = letters(piece);
    page += own;
    for (let k = 0; k < own.length; k++) owners.push(i);
  }
  const place = wholePlace(page, wanted) ?? endPlace(page, wanted) ?? beginningPlace(page, wanted) ?? runPlace(page, wanted);
  if (!place) return [];
  return [...new Set(owners.slice(place[0], place[1]))];
}

type Place = [number, number];

function wholePlace(page: string, wanted: string): Place | null {
  const at = page.indexOf(wanted);
  if (at !== -1) return [at, at + wanted.length];
  // All of this page lies inside the passage.
  return page.length >= LEAST && wanted.includes(page) ? [0, page.length] : null;
}

/** The passage begins here and goes on beyond the page. */
function endPlace(page: string, wanted: string): Place | null {
  const at = page.indexOf(wanted.slice(0, LEAST));
  if (at === -1 || wanted.length < LEAST) return null;
  const here = page.slice(at);
  return wanted.startsWith(here) ? [at, page.length] : null;
}

/** The passage began on the page before and ends here. */
function beginningPlace(page: string, wanted: string): Place | null {
  const tail = wanted.slice(-LEAST);
  const at = page.indexOf(tail);
  if (at === -1 || wanted.length < LEAST) return null;
  const end = at + tail.length;
  return wanted.endsWith(page.slice(0, end)) ? [0, end] : null;
}

/** Between its first and last words that are here; what lies between (a running head, a note) may differ. */
function runPlace(page: string, wanted: string): Place | null {
  if (wanted.length < 2 * LEAST) return null;
  const begin = page.indexOf(wanted.slice(0, LEAST));
  const tail = page.indexOf(wanted.slice(-LEAST));
  if (begin !== -1 && tail > begin && tail - begin < wanted.length * 1.5) return [begin, tail + LEAST];
  if (begin !== -1) return [begin, Math.min(page.length, begin + wanted.length)];
  if (tail !== -1) return [Math.max(0, tail + LEAST - wanted.length), tail + LEAST];
  return null;
}

function letters(text: string): string {
  return text.normalize("NFKC").toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "");
}
