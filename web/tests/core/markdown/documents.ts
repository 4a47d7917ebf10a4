import fc from "fast-check";

const words = fc.constantFrom(
  "plain words here",
  "**bold words**",
  "*em*",
  "_under score_",
  "snake_case_name",
  "***both***",
  "~~gone~~",
  "`code span`",
  "``a ` b``",
  "[link](https://a.example/x_y)",
  '[link](<https://a.example> "title")',
  "[ref]",
  "[words][ref]",
  "[other][]",
  "![image](https://img.example/a.png)",
  "<https://auto.example>",
  "<b>html</b>",
  "&amp; &copy; &nope;",
  "\\*escaped\\*",
  "2 * 3 * 4",
  "**open",
  "`open",
  "[open",
  "hard  \nbreak",
  "soft\nbreak",
  "naïve 🌊 水 👩‍👩‍👧",
  "[1]",
  "\ta tab",
);
const line = fc.array(words, { minLength: 1, maxLength: 4 }).map((parts) => parts.join(" "));

const block = fc.oneof(
  line,
  line.map((text) => `${text}\n${text}`),
  fc.tuple(fc.integer({ min: 1, max: 7 }), line).map(([level, text]) => `${"#".repeat(level)} ${text}`),
  line.map((text) => `${text}\n---`),
  line.map((text) => `${text}\n===`),
  fc.constantFrom("---", "***", "* * *", "[ref]: https://ref.example", "[other]: https://other.example 'T'\n[third]: /x", "- ", "> ", "|", "```", "    code\n\n    code"),
  fc.array(line, { minLength: 1, maxLength: 4 }).map((items) => items.map((item) => `- ${item}`).join("\n")),
  fc.array(line, { minLength: 1, maxLength: 4 }).map((items) => items.map((item, i) => `${i + 1}. ${item}`).join("\n\n")),
  fc.tuple(line, line).map(([outer, inner]) => `- ${outer}\n  - ${inner}\n\n    ${inner}\n- [x] ${outer}`),
  fc.tuple(line, line).map(([outer, inner]) => `* ${outer}\n\n  \`\`\`js\n  ${inner}\n  \`\`\`\n* ${inner}`),
  fc.tuple(line, line).map(([one, two]) => `> ${one}\n> ${two}\nlazy\n>\n> - ${two}`),
  fc.tuple(line, fc.constantFrom("```", "~~~", "````")).map(([text, fence]) => `${fence}python\n${text}\n\n# ${text}\n${fence}`),
  fc.tuple(line, line).map(([one, two]) => `| ${one} | ${two} |\n|:--|--:|\n| ${two} | ${one} |\n| a |`),
  fc.tuple(line, line).map(([one, two]) => `${one} | ${two}\n--- | ---\n${two} | ${one}`),
);
/** Up to `maxLength` of `parts`, some of which are not what such a block is made of. */
const many = (parts: fc.Arbitrary<string>, maxLength = 30): fc.Arbitrary<string[]> =>
  fc.array(fc.oneof({ weight: 9, arbitrary: parts }, { weight: 1, arbitrary: fc.constantFrom("", "  more", "lazy", "---", "# head", "> quote", "```") }), {
    minLength: 5,
    maxLength,
  });
const item = fc.oneof(
  { weight: 8, arbitrary: line },
  line.map((text) => `${text}\n   - ${text}\n     - inner`),
  line.map((text) => `${text}\n\n   ${text}`),
  line.map((text) => `${text}\n   \`\`\`\n   code\n\n   code\n   \`\`\``),
  line.map((text) => `${text} | ${text}\n---|---`),
  line.map((text) => `| ${text} | b |\n   |---|---|\n   | c |`),
  fc.constantFrom("# head", "### head\n   text", "[ ] open", "[x] done", "", "[other]: https://other.example", "> quoted\n> on", "    code"),
);
const marker = fc.constantFrom("-", "*", "1.", "7.", "2)", "+", "  -", "   1.");
/** Blocks that grow long, part by part. */
const long = fc.oneof(
  fc.tuple(marker, many(item), fc.constantFrom("\n", "\n", "\n", "\n\n")).map(([mark, items, gap]) => items.map((text) => `${mark} ${text}`).join(gap)),
  fc.tuple(many(item), fc.constantFrom("", "  ")).map(([items, indent]) => items.map((text, i) => `${indent}${i + 3}. ${text}`).join("\n")),
  fc.tuple(many(item), fc.nat(30)).map(([items, at]) => items.map((text, i) => `- ${text}${i === at ? "\n" : ""}`).join("\n")),
  many(line.map((text) => `| ${text} | \`b\` |`)).map((rows) => `| a | b |\n|:--|--:|\n${rows.join("\n")}`),
  many(line.map((text) => `${text} | b`)).map((rows) => `a | b\n--- | ---\n${rows.join("\n")}`),
  fc.tuple(many(fc.oneof(line, item).map((text) => text.replaceAll("\n", "\n> "))), fc.constantFrom("\n", "\n>\n", "\n> \n")).map(([parts, gap]) => parts.map((text) => `> ${text}`).join(gap)),
  fc.tuple(many(line), fc.constantFrom("```", "~~~", "````", "  ```"), fc.boolean()).map(([lines, fence, closed]) => `${fence}js\n${lines.join("\n")}${closed ? `\n${fence}` : ""}`),
);
const scrap = fc.oneof(
  fc.string({ unit: "grapheme", maxLength: 8 }),
  fc.constantFrom("*", "**", "_", "`", "```", "~", "[", "]", "](", ")", "!", "<", ">", "#", "-", "+", "1.", "|", "\n", "\n\n", " ", "    ", "\\", "&", ":", "\r\n", "=", "\t"),
);

/** Markdown as models write it, as nobody should write it, and scraps of it; and blocks of many parts. */
export const documents: fc.Arbitrary<string> = fc.oneof(
  { weight: 3, arbitrary: fc.array(fc.tuple(fc.oneof(long, block), fc.constantFrom("\n\n", "\n")), { minLength: 1, maxLength: 4 }).map((parts) => parts.flat().join("")) },
  { weight: 4, arbitrary: fc.array(fc.tuple(block, fc.constantFrom("\n\n", "\n\n", "\n", "\n\n\n")), { maxLength: 9 }).map((parts) => parts.flat().join("")) },
  { weight: 2, arbitrary: fc.array(scrap, { maxLength: 40 }).map((parts) => parts.join("")) },
  { weight: 1, arbitrary: fc.array(fc.oneof(block, scrap), { maxLength: 16 }).map((parts) => parts.join("\n")) },
);
