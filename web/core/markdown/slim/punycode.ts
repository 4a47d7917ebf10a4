/** In place of punycode.js, which markdown-it brings along: addresses are canonical by `URL` when they become links. */
export default { toASCII: String, toUnicode: String };
