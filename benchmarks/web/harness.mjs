/** Bundles the pages, serves one with its stream, and drives the browser. */
import { build } from "esbuild";
import { mkdtemp, readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import puppeteer from "puppeteer-core";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const slim = (name) => join(HERE, `../../web/core/markdown/slim/${name}.ts`);

/** The page `name` as one module, its size in bytes (and compressed), and where it is. */
export async function bundle(name) {
  const { outputFiles } = await build({
    entryPoints: [join(HERE, "page", `${name}`)],
    bundle: true,
    minify: true,
    write: false,
    splitting: true,
    format: "esm",
    target: "es2022",
    jsx: "automatic",
    outdir: "out",
    define: { "process.env.NODE_ENV": '"production"' },
    // As in the page's own build (web/vite.config.ts).
    alias: { "linkify-it": slim("linkify"), "punycode.js": slim("punycode"), "uc.micro": slim("categories") },
    plugins: [
      {
        name: "slim entities",
        setup(setup) {
          setup.onResolve({ filter: /^entities$/ }, ({ importer }) =>
            importer.includes("markdown-it") ? { path: slim("entities") } : undefined,
          );
        },
      },
    ],
    nodePaths: [join(HERE, "node_modules"), join(HERE, "../../web/node_modules")],
    logLevel: "error",
  });
  const files = new Map(outputFiles.map((file) => [file.path.split("/").pop(), file.contents]));
  return files;
}

/** Kilobytes (1,000 bytes) of the modules that a page loads at once, compressed. */
export function weight(files, entry) {
  const loaded = new Set([entry]);
  for (const name of loaded) {
    const code = new TextDecoder().decode(files.get(name));
    for (const [, other] of code.matchAll(/(?:from|import)\s*"\.\/([^"]+)"/g)) loaded.add(other);
  }
  return [...loaded].reduce((sum, name) => sum + gzipSync(files.get(name)).length, 0) / 1000;
}

/** Serves a page whose stream is `tokens` at `times`. Returns its address and how to close it. */
export async function serve(files, entry, tokens, times, csp) {
  const html = (await readFile(join(HERE, "page/index.html"), "utf8")).replace(
    "</html>",
    `<script type="module" src="${entry}"></script></html>`,
  );
  const css = await readFile(join(HERE, "page/page.css"));
  const server = createServer((request, response) => {
    const name = request.url.slice(1);
    if (name === "") {
      response.writeHead(200, { "content-type": "text/html", ...(csp && { "content-security-policy": csp }) });
      response.end(html);
    } else if (name === "page.css") {
      response.writeHead(200, { "content-type": "text/css" });
      response.end(css);
    } else if (name === "stream") {
      response.writeHead(200, { "content-type": "application/x-ndjson" });
      response.socket.setNoDelay(true);
      send(response, tokens, times);
    } else if (files.has(name)) {
      response.writeHead(200, { "content-type": "text/javascript" });
      response.end(files.get(name));
    } else {
      response.writeHead(404);
      response.end();
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    address: `http://127.0.0.1:${server.address().port}/`,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

function send(response, tokens, times) {
  const began = performance.now();
  let next = 0;
  const step = () => {
    const now = performance.now() - began;
    let lines = "";
    for (; next < tokens.length && times[next] <= now; next++) lines += `${JSON.stringify({ t: tokens[next] })}\n`;
    if (lines) response.write(lines);
    if (next === tokens.length) response.end();
    else setTimeout(step, Math.max(1, times[next] - (performance.now() - began)));
  };
  step();
}

/** A browser whose frames are not starved by the machine's other work, where that is allowed. */
export async function launch() {
  return puppeteer.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    userDataDir: await mkdtemp(join(tmpdir(), "painting-bench-")),
    args: ["--no-sandbox", "--disable-background-networking", "--disable-extensions", "--no-first-run"],
    defaultViewport: { width: 1000, height: 800 },
    protocolTimeout: 300_000,
  });
}
