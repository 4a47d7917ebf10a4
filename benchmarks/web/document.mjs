/** The text that is streamed: the same mix of structure in every section of 1,000 tokens, made anew from a seed. */

const WORDS = (
  "the model answers with words that arrive one after another and a page has to paint them without work that grows " +
  "reader stream token section table list source render block frame buffer layout measure cost time answer question"
).split(" ");

/** Numbers in [0, 1) that are the same each time. */
export function random(seed) {
  let state = seed * 7919 + 17;
  return () => (state = (state * 16_807) % 2_147_483_647) / 2_147_483_647;
}

/** `count` tokens of Markdown, four characters on average; every eighth word is a mark like `m17x` that occurs once. */
export function tokens(count, seed = 1) {
  const next = random(seed);
  let marks = 0;
  const word = () => (next() < 0.125 ? `m${marks++}x` : WORDS[Math.floor(next() * WORDS.length)]);
  const words = (n) => Array.from({ length: n }, word).join(" ");
  const sentence = () => `${words(6 + Math.floor(next() * 10))}.`;
  const paragraph = () =>
    `${sentence()} **${words(2)}** ${sentence()} A [${words(2)}](https://example.org/${marks}) and \`${words(1)}\` *${words(3)}* here. ${sentence()}`;
  const section = (n) =>
    [
      `## ${n}. ${words(4)}`,
      paragraph(),
      paragraph(),
      Array.from({ length: 5 }, () => `- ${words(5)} **${words(1)}** ${words(4)}`).join("\n"),
      paragraph(),
      `\`\`\`python\ndef ${words(1)}(a):\n    return a * ${n}  # ${words(4)}\n\nprint("${words(3)}")\n\`\`\``,
      paragraph(),
      `| ${words(1)} | ${words(2)} |\n|---|---:|\n${Array.from({ length: 4 }, () => `| ${words(3)} | ${words(1)} |`).join("\n")}`,
      paragraph(),
      Array.from({ length: 4 }, (_, i) => `${i + 1}. ${words(8)} ~~${words(1)}~~`).join("\n"),
      `> ${sentence()} ${sentence()}`,
      paragraph(),
      paragraph(),
    ].join("\n\n");
  let text = "";
  for (let n = 1; text.length < count * 4; n++) text += `${section(n)}\n\n`;
  text = text.slice(0, count * 4);
  const cut = [];
  for (let at = 0; at < text.length; ) {
    const size = 2 + Math.floor(next() * 5);
    cut.push(text.slice(at, at + size));
    at += size;
  }
  return cut.slice(0, count);
}

/** When each of `count` tokens is sent, in milliseconds: `rate` a second, or bursts of 20 to 40 after 0.5 to 1 s. */
export function times(pattern, count, rate = 50, seed = 1) {
  if (pattern === "steady") return Array.from({ length: count }, (_, i) => (i * 1000) / rate);
  const next = random(seed + 1);
  const at = [];
  for (let now = 0; at.length < count; now += 500 + next() * 500) {
    for (let left = 20 + Math.floor(next() * 21); left > 0 && at.length < count; left--) at.push(now);
  }
  return at;
}

/** Answers that are one long block each, by their kind; and one of many paragraphs, each with its citation. */
export function longBlocks() {
  const next = random(3);
  const words = (n) => Array.from({ length: n }, () => WORDS[Math.floor(next() * WORDS.length)]).join(" ");
  const lines = (n, line) => Array.from({ length: n }, (_, i) => line(i)).join("\n");
  const texts = {
    list: lines(1_000, () => `- ${words(5)} **${words(1)}** ${words(2)}`),
    loose: lines(500, (i) => `${i + 1}. ${words(8)}\n`),
    table: `| a | b | c |\n|---|--:|---|\n${lines(500, (i) => `| ${words(3)} | ${i} | \`${words(1)}\` ${words(2)} |`)}`,
    fence: `\`\`\`python\n${lines(2_000, (i) => `    ${words(2)} = ${i}`)}\n\`\`\``,
    quote: lines(500, () => `> ${words(9)}\n>`),
    paragraph: words(5_000),
    cited: lines(400, () => `${words(20)}.\n`),
  };
  return Object.fromEntries(Object.entries(texts).map(([kind, text]) => [kind, { text, citations: kind === "cited" ? ends(text) : [] }]));
}

/** A citation at the end of each statement. */
function ends(text) {
  return [...text.matchAll(/\./g)].map(({ index }, i) => ({ n: (i % 8) + 1, start: 0, end: index + 1 }));
}
