/**
 * In place of `entities`, which markdown-it brings along: the named characters that people and models write are here, the
 * other two thousand are loaded when one of them is met for the first time.
 */

const COMMON =
  "amp& lt< gt> quot\" apos' nbsp\u00a0 shy\u00ad copy© reg® trade™ hellip… mdash— ndash– lsquo‘ rsquo’ ldquo“ rdquo” sbquo‚ bdquo„ " +
  "laquo« raquo» bull• middot· deg° plusmn± times× divide÷ minus− frac12½ frac14¼ frac34¾ sup1¹ sup2² sup3³ micro\u00b5 para¶ sect§ " +
  "euro€ pound£ yen¥ cent¢ larr← uarr↑ rarr→ darr↓ harr↔ rArr⇒ hArr⇔ ne≠ le≤ ge≥ asymp≈ equiv≡ infin∞ sum∑ prod∏ radic√ int∫ part∂ " +
  "isin∈ notin∉ forall∀ exist∃ empty∅ cap∩ cup∪ sub⊂ sup⊃ and∧ or∨ alphaα betaβ gammaγ deltaδ epsilonε thetaθ lambdaλ muμ piπ " +
  "rhoρ sigmaσ tauτ phiφ omegaω DeltaΔ SigmaΣ OmegaΩ eacuteé egraveè ecircê agraveà aacuteá acircâ ccedilç ocircô oumlö uumlü aumlä " +
  "OumlÖ UumlÜ AumlÄ szligß ntildeñ iexcl¡ iquest¿ ensp\u2002 emsp\u2003 thinsp\u2009 zwj\u200d zwnj\u200c dagger† checkmark✓ check✓";

const common = new Map<string, string>();
for (const [, name, character] of COMMON.matchAll(/([A-Za-z]+\d*)(\W)(?: |$)/gu)) {
  if (name !== undefined && character !== undefined) common.set(name, character);
}

let decodeAny: ((reference: string) => string) | null = null;
let missed = false;

/** Whether a reference was met that only the whole table knows, if anything does. */
export function lacksEntities(): boolean {
  return missed && decodeAny === null;
}

/** Loads the whole table. Throws when it cannot be loaded. */
export async function loadEntities(): Promise<void> {
  decodeAny = (await import("entities/decode")).decodeHTMLStrict;
}

/** The character of a reference like `&amp;`; the reference itself when there is none. */
export function decodeHTMLStrict(reference: string): string {
  const character = common.get(reference.slice(1, -1));
  if (character !== undefined) return character;
  missed = true;
  return decodeAny?.(reference) ?? reference;
}
