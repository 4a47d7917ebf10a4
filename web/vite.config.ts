import { defineConfig } from "vitest/config";

const slim = (name: string): string => decodeURI(new URL(`core/markdown/slim/${name}.ts`, import.meta.url).pathname);

export default defineConfig({
  // markdown-it's own dependencies weigh more than it does; what of them the page needs is in core/markdown/slim.
  resolve: {
    alias: [
      { find: /^linkify-it$/, replacement: slim("linkify") },
      { find: /^punycode\.js$/, replacement: slim("punycode") },
      { find: /^uc\.micro$/, replacement: slim("categories") },
      { find: /^entities$/, replacement: slim("entities") },
    ],
  },
  // The page is mounted under any prefix, so its own files are named relative to it.
  base: "./",
  build: {
    outDir: "../src/millstream/page",
    emptyOutDir: true,
    target: "es2022",
    // The notices of what is bundled travel with it, as their licences ask.
    license: { fileName: "licenses.md" },
    modulePreload: { polyfill: false },
    // The element's module has a name that other pages can rely on; what it loads later is named by its content.
    rolldownOptions: { output: { entryFileNames: "millstream-chat.js" } },
    // A data: address would be refused by the page's own policy.
    assetsInlineLimit: 0,
  },
  test: {
    include: ["tests/**/*.test.{ts,tsx}"],
    environment: "node",
    css: { include: /ui\/style\.css/ },
    server: { deps: { inline: ["markdown-it"] } },
  },
});
