import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Pacer, type Pacing } from "../../core/pacer";
import { TestFrames } from "./frames";

function pacer(pacing: Pacing = "smooth") {
  const frames = new TestFrames();
  const shown: string[] = [];
  const paced: Pacer = new Pacer(frames, (revealed) => shown.push(paced.text.slice(0, revealed)), pacing);
  return { frames, shown, paced };
}

const WORDS = "one two three four five six seven eight nine ten eleven twelve ".repeat(4);
const graphemes = new Intl.Segmenter("en", { granularity: "grapheme" });

/** Time from arrival to sight of each character, and between two paints, of text that comes in `arrivals`. */
function watched(arrivals: readonly { at: number; text: string }[]) {
  const { frames, paced } = pacer();
  const lags: number[] = [];
  const gaps: number[] = [];
  const arrived: number[] = [];
  let seen = 0;
  let paintedAt = 0;
  const look = (): void => {
    if (paced.revealed === seen) return;
    for (; seen < paced.revealed; seen++) lags.push(frames.now() - (arrived[seen] ?? 0));
    if (paintedAt > 0) gaps.push(frames.now() - paintedAt);
    paintedAt = frames.now();
  };
  for (const { at, text } of arrivals) {
    while (frames.now() < at) {
      frames.advance(Math.min(TestFrames.MS, at - frames.now()));
      look();
    }
    paced.append(text);
    for (let i = 0; i < text.length; i++) arrived.push(at);
  }
  paced.end();
  const endedAt = frames.now();
  while (!frames.idle) {
    frames.advance(TestFrames.MS);
    look();
  }
  return { lags: lags.sort((a, b) => a - b), gaps: gaps.sort((a, b) => a - b), drainMs: frames.now() - endedAt };
}

const quantile = (sorted: readonly number[], q: number): number => sorted[Math.floor(q * (sorted.length - 1))] ?? 0;

/** Numbers in [0, 1) that are the same each time. */
function random(seed: number): () => number {
  let state = seed;
  return () => (state = (state * 16_807) % 2_147_483_647) / 2_147_483_647;
}

function bursts(seed: number): { at: number; text: string }[] {
  const next = random(seed);
  const arrivals: { at: number; text: string }[] = [];
  for (let at = 0; at < 25_000; at += 500 + next() * 500) {
    const tokens = 20 + Math.floor(next() * 20);
    arrivals.push({ at, text: Array.from({ length: tokens }, () => "word".slice(0, 2 + Math.floor(next() * 3)) + " ").join("") });
  }
  return arrivals;
}

describe("smooth pacing", () => {
  it("keeps a steady stream within 75 ms", () => {
    const { lags } = watched(Array.from({ length: 1000 }, (_, i) => ({ at: i * 20, text: "abc " })));
    expect(quantile(lags, 0.95)).toBeLessThan(75);
  });

  it("spreads bursts over the pauses between them", () => {
    for (const seed of [1, 2, 3]) {
      const { lags, gaps } = watched(bursts(seed));
      const stalled = gaps.filter((gap) => gap > 250).reduce((sum, gap) => sum + gap, 0);
      expect(quantile(gaps, 0.95)).toBeLessThanOrEqual(100);
      expect(quantile(gaps, 0.99)).toBeLessThanOrEqual(160);
      expect(stalled / gaps.reduce((sum, gap) => sum + gap, 0)).toBeLessThan(0.05);
      expect(quantile(lags, 0.95)).toBeLessThan(850);
    }
  });

  it("spreads bursts that come in several reads just as well", () => {
    const next = random(4);
    const pieces = bursts(4).flatMap(({ at, text }) =>
      text.match(/.{1,9}/gs)?.map((piece, i) => ({ at: at + i * (1 + next() * 2), text: piece })) ?? [],
    );
    const { gaps } = watched(pieces);
    expect(quantile(gaps, 0.99)).toBeLessThanOrEqual(160);
  });

  it("is not slowed by one long pause", () => {
    const steady = (from: number) => Array.from({ length: 200 }, (_, i) => ({ at: from + i * 20, text: "abc " }));
    const { lags } = watched([...steady(0), ...steady(8_000)]);
    expect(quantile(lags, 0.95)).toBeLessThan(75);
  });

  it("shows the rest within 250 ms after the end, however much it is", () => {
    for (const count of [1, 100, 10_000]) {
      const { drainMs } = watched([{ at: 0, text: WORDS.repeat(count) }]);
      expect(drainMs).toBeLessThanOrEqual(250);
    }
  });

  it("shows all text, only ever more of it, and never half a grapheme", () => {
    const text = fc.string({ unit: "grapheme", maxLength: 60 });
    const delta = fc.oneof(text, fc.constantFrom("word ", "👩‍👩‍👧", "e\u0301", "🇪🇸🇫🇷", "水が好きです", "สวัสดีครับ", "https://a.example/".repeat(5)));
    fc.assert(
      fc.property(fc.array(fc.tuple(delta, fc.nat(900)), { maxLength: 20 }), (deltas) => {
        const { frames, shown, paced } = pacer();
        for (const [one, wait] of deltas) {
          paced.append(one);
          frames.advance(wait);
        }
        paced.end();
        frames.advance(300);
        const whole = deltas.map(([one]) => one).join("");
        expect(paced.finished).toBe(true);
        expect(shown.at(-1) ?? "").toBe(whole);
        const ends = new Set([...graphemes.segment(whole)].map(({ index, segment }) => index + segment.length).concat(0));
        const arrivals = new Set<number>();
        let length = 0;
        for (const [one] of deltas) arrivals.add((length += one.length));
        for (const [i, part] of shown.entries()) {
          expect(part.startsWith(shown[i - 1] ?? "")).toBe(true);
          // Where an arrival ends nobody knows yet that the next one goes on with the same grapheme.
          expect(ends.has(part.length) || arrivals.has(part.length)).toBe(true);
        }
      }),
      { numRuns: 300 },
    );
  });

  it("shows whole words, and half of one only when its end does not come", () => {
    const { frames, shown, paced } = pacer();
    paced.append("Hello wor");
    frames.advance(100);
    expect(shown.at(-1)).toBe("Hello ");
    frames.advance(150);
    expect(shown.at(-1)).toBe("Hello wor");
    paced.append("ld and");
    frames.advance(1000);
    expect(shown).not.toContain("Hello worl");
    expect(paced.revealed).toBe(15);
  });

  it("never shows half of a pair of surrogates", () => {
    const { frames, shown, paced } = pacer();
    paced.append("a \ud83c");
    frames.advance(2000);
    expect(shown.at(-1)).toBe("a ");
    paced.append("\udf0a");
    frames.advance(2000);
    expect(shown.at(-1)).toBe("a 🌊");
  });

  it("asks for no frame while there is nothing to show", () => {
    const { frames, paced } = pacer();
    paced.append("one two ");
    frames.advance(2000);
    expect(frames.idle).toBe(true);
    paced.append("three ");
    expect(frames.idle).toBe(false);
  });
});

describe("at once", () => {
  it("is shown what is replayed", () => {
    const { shown, paced } = pacer();
    paced.replay(WORDS);
    expect(shown).toEqual([WORDS]);
  });

  it("is shown everything when the page is hidden, without a frame", () => {
    const { frames, shown, paced } = pacer();
    paced.append(WORDS);
    paced.hidden = true;
    expect(shown).toEqual([WORDS]);
    paced.append("more");
    expect(shown.at(-1)).toBe(`${WORDS}more`);
    expect(frames.idle).toBe(true);
  });

  it.each(["realtime", "reduced motion"])("is shown in the next frame what has come: %s", (why) => {
    const { frames, shown, paced } = pacer(why === "realtime" ? "realtime" : "smooth");
    paced.reducedMotion = why !== "realtime";
    paced.append("one tw");
    paced.append("o three");
    expect(shown).toEqual([]);
    frames.advance(TestFrames.MS);
    expect(shown).toEqual(["one two three"]);
  });

  it("is said that all is shown, though nothing was left to show", () => {
    const { shown, paced } = pacer();
    paced.replay("one");
    paced.end();
    expect(shown).toEqual(["one", "one"]);
    expect(paced.finished).toBe(true);
  });
});

it("is shown only whole when it is off", () => {
  const { frames, shown, paced } = pacer("off");
  paced.append(WORDS);
  frames.advance(5000);
  expect(shown).toEqual([]);
  paced.end();
  expect(shown).toEqual([WORDS]);
});

it("goes on in another way from where it is", () => {
  const { frames, shown, paced } = pacer();
  paced.append(WORDS);
  frames.advance(100);
  expect(paced.revealed).toBeLessThan(WORDS.length);
  paced.pacing = "realtime";
  frames.advance(TestFrames.MS);
  expect(shown.at(-1)).toBe(WORDS);
});

it("stops at what is shown", () => {
  const { frames, shown, paced } = pacer();
  paced.append(WORDS);
  frames.advance(200);
  const seen = paced.stop();
  frames.advance(1000);
  expect(seen).toBe(shown.at(-1)?.length);
  expect(paced.text).toBe(shown.at(-1));
});

it("starts over when a replay is another text", () => {
  const { shown, paced } = pacer();
  paced.replay("one two three");
  paced.replay("other");
  expect(shown.at(-1)).toBe("other");
});
