#!/usr/bin/env node
/**
 * How smoothly, cheaply and safely an answer is painted, beside other renderers in the same browser and run.
 *
 *   bench.mjs cpu [PAGES…] [--rounds=n] [--behind=0|9000]
 *                                            main-thread time per 1,000 tokens at 50 tokens/s, at the start and after 9,000
 *   bench.mjs smooth [PAGES…] [--seeds=n]    bursts and a steady stream: gaps between paints, lag, raw syntax flashes
 *   bench.mjs long [KINDS…]                  answers of one long block: milliseconds in each quarter of it
 *   bench.mjs fuzz [--documents=n]           generated documents × chunkings against the same text at once
 *   bench.mjs hostile [PAGES…]               scripts run, bad links, requests made by hostile Markdown
 *   bench.mjs bytes                          kilobytes, compressed
 */
import { readFile } from "node:fs/promises";
import { longBlocks, tokens, times } from "./document.mjs";
import { bundle, launch, serve, weight } from "./harness.mjs";

const PAGES = ["millstream.ts", "streamdown.tsx", "streamdown-50ms.tsx", "react-markdown.tsx", "one-each-33ms.tsx"];
const WINDOW = 1_000;
const LATE = 9_000;
const STREAM_S = 20;

const [, , measurement, ...rest] = process.argv;
const options = Object.fromEntries(rest.filter((arg) => arg.startsWith("--")).map((arg) => arg.slice(2).split("=")));
const named = rest.filter((arg) => !arg.startsWith("--"));
const pages = PAGES.filter((page) => named.length === 0 || named.includes(page.split(".")[0]));
const entryOf = (page) => page.replace(/\.tsx?$/, ".js");
const quantile = (values, q) => [...values].sort((a, b) => a - b)[Math.floor(q * (values.length - 1))] ?? NaN;
const median = (values) => quantile(values, 0.5);
const rounded = (row) =>
  Object.fromEntries(Object.entries(row).map(([key, value]) => [key, typeof value === "number" ? Math.round(value * 100) / 100 : value]));

const measurements = { cpu, smooth, long, fuzz, hostile, bytes };
if (!Object.hasOwn(measurements, measurement ?? "")) {
  console.error(`bench.mjs knows ${Object.keys(measurements).join(", ")}.`);
  process.exit(2);
}
await measurements[measurement]();

/** Runs `use` with a page that streams `sent`. */
async function withPage(browser, page, sent, at, use) {
  const files = await bundle(page);
  const server = await serve(files, entryOf(page), sent, at);
  const tab = await browser.newPage();
  tab.on("pageerror", (error) => console.error(`${page}: ${error.message}`));
  await tab.goto(server.address);
  await tab.waitForFunction("window.stream !== undefined");
  try {
    return await use(tab);
  } finally {
    await tab.close();
    server.close();
  }
}

async function cpu() {
  const rounds = Number(options.rounds ?? 1);
  const all = tokens(LATE + WINDOW);
  const measured = new Map();
  const browser = await launch();
  for (let round = 0; round < rounds; round++) {
    for (const from of options.behind ? [Number(options.behind)] : [0, LATE]) {
      const sent = all.slice(from, from + WINDOW);
      const cost = async (page) =>
        withPage(browser, page, sent, times("steady", WINDOW), async (tab) => {
          await tab.evaluate((text) => window.prepare(text), all.slice(0, from).join(""));
          const client = await tab.createCDPSession();
          await client.send("Performance.enable", { timeDomain: "threadTicks" });
          const before = await metrics(client);
          const began = performance.now();
          await tab.evaluate(() => window.stream(false));
          // What is late by then is work that has not been done yet, and counts in the ratio of time and stream.
          const after = await metrics(client);
          const seconds = (performance.now() - began) / 1000;
          return { task: (after.TaskDuration - before.TaskDuration) * 1000, script: (after.ScriptDuration - before.ScriptDuration) * 1000, layout: (after.LayoutDuration - before.LayoutDuration) * 1000, seconds };
        });
      const idle = await cost("nothing.ts");
      for (const page of pages) {
        const { task, script, layout, seconds } = await cost(page);
        const key = `${page} ${from}`;
        const row = { task: task - idle.task, script: script - idle.script, layout, busy: task / 10 / seconds, seconds };
        measured.set(key, [...(measured.get(key) ?? []), row]);
        console.error(page, from, rounded(row));
      }
    }
  }
  await browser.close();
  const of = (page, from, what) => median((measured.get(`${page} ${from}`) ?? []).map((row) => row[what]));
  const peer = "streamdown-50ms.tsx";
  console.table(
    pages.map((page) =>
      rounded({
        page,
        "start ms": of(page, 0, "task"),
        script: of(page, 0, "script"),
        layout: of(page, 0, "layout"),
        "after 9,000 ms": of(page, LATE, "task"),
        "script ": of(page, LATE, "script"),
        "layout ": of(page, LATE, "layout"),
        growth: of(page, LATE, "task") / of(page, 0, "task"),
        "× 50 ms, start": of(page, 0, "task") / of(peer, 0, "task"),
        "× 50 ms, late": of(page, LATE, "task") / of(peer, LATE, "task"),
        "busy %": of(page, LATE, "busy"),
        "stream s": of(page, LATE, "seconds"),
      }),
    ),
  );
}

async function metrics(client) {
  const { metrics: list } = await client.send("Performance.getMetrics");
  return Object.fromEntries(list.map(({ name, value }) => [name, value]));
}

async function smooth() {
  const seeds = Number(options.seeds ?? 1);
  const browser = await launch();
  const rows = [];
  for (const pattern of ["burst", "steady"]) {
    for (const page of pages) {
      const results = [];
      for (let seed = 1; seed <= seeds; seed++) {
        const sent = tokens(WINDOW, seed);
        const result = await withPage(browser, page, sent, times(pattern, WINDOW, WINDOW / STREAM_S, seed), async (tab) => {
          await tab.evaluate(() => window.prepare(""));
          return tab.evaluate(() => window.stream(true));
        });
        results.push(result);
      }
      const all = (what) => results.flatMap((result) => result[what]);
      const gaps = all("gaps");
      const total = gaps.reduce((sum, gap) => sum + gap, 0);
      const row = rounded({
        pattern,
        page,
        "gap p95": quantile(gaps, 0.95),
        "gap p99": quantile(gaps, 0.99),
        "% in gaps > 250 ms": (100 * gaps.filter((gap) => gap > 250).reduce((sum, gap) => sum + gap, 0)) / total,
        "lag p50": quantile(all("lags"), 0.5),
        "lag p95": quantile(all("lags"), 0.95),
        "after end": Math.max(...all("drainMs")),
        "paints/s": (1000 * gaps.length) / total,
        "shrinks/1,000": all("shrinks").reduce((sum, count) => sum + count, 0) / seeds,
        unseen: all("unseen").reduce((sum, count) => sum + count, 0),
      });
      console.error(row);
      rows.push(row);
    }
  }
  await browser.close();
  console.table(rows);
}

async function long() {
  const QUARTERS = 4;
  const CHARACTERS_PER_FRAME = 24;
  const browser = await launch();
  const files = await bundle("long.ts");
  const server = await serve(files, "long.js", [], []);
  const tab = await browser.newPage();
  tab.on("pageerror", (error) => console.error(error.message));
  await tab.goto(server.address);
  await tab.waitForFunction("window.paint !== undefined");
  const client = await tab.createCDPSession();
  await client.send("Performance.enable", { timeDomain: "threadTicks" });
  const rows = [];
  for (const [kind, { text, citations }] of Object.entries(longBlocks())) {
    if (named.length > 0 && !named.includes(kind)) continue;
    await tab.evaluate(() => window.begin());
    const row = { kind, characters: text.length };
    for (let quarter = 1; quarter <= QUARTERS; quarter++) {
      const before = await metrics(client);
      const to = Math.floor((text.length * quarter) / QUARTERS);
      const view = await tab.evaluate((...args) => window.paint(...args), text, to, CHARACTERS_PER_FRAME, citations);
      const after = await metrics(client);
      const ms = (name) => (after[name] - before[name]) * 1000;
      row[`${quarter}: all`] = ms("TaskDuration");
      row[`${quarter}: ours`] = view;
      row[`${quarter}: layout`] = ms("LayoutDuration");
    }
    console.error(rounded(row));
    rows.push(rounded(row));
  }
  await browser.close();
  server.close();
  console.table(rows);
}

async function fuzz() {
  const documents = Number(options.documents ?? 10_000);
  const browser = await launch();
  const files = await bundle("fuzz.ts");
  const server = await serve(files, "fuzz.js", [], []);
  const tab = await browser.newPage();
  tab.on("pageerror", (error) => console.error(error.message));
  await tab.goto(server.address);
  await tab.waitForFunction("window.fuzz !== undefined");
  const batch = 500;
  let different = 0;
  for (let done = 0; done < documents; done += batch) {
    const found = await tab.evaluate((seed, count) => window.fuzz(seed, count), done + 1, Math.min(batch, documents - done));
    different += found.length;
    for (const one of found) console.error(one);
  }
  await browser.close();
  server.close();
  console.log(`${documents} documents × chunkings: ${different} differences`);
  process.exitCode = different === 0 ? 0 : 1;
}

async function hostile() {
  const corpus = await readFile(new URL("../../web/tests/core/markdown/hostile.md", import.meta.url), "utf8");
  const browser = await launch();
  const rows = [];
  for (const page of pages) {
    const sent = corpus.match(/.{1,7}/gs);
    const files = await bundle(page);
    const server = await serve(files, entryOf(page), sent, sent.map((_, i) => i));
    const tab = await browser.newPage();
    const requests = [];
    let scripts = 0;
    await tab.exposeFunction("hostileScriptRan", () => scripts++);
    await tab.setRequestInterception(true);
    tab.on("request", (request) => {
      if (request.url().startsWith(server.address)) {
        void request.continue();
        return;
      }
      requests.push(request.url());
      void request.abort();
    });
    tab.on("dialog", (dialog) => {
      scripts++;
      void dialog.dismiss();
    });
    await tab.goto(server.address);
    await tab.waitForFunction("window.stream !== undefined");
    await tab.evaluate(() => window.prepare(""));
    await tab.evaluate(() => window.stream(true));
    const bad = await tab.evaluate(() => {
      const links = [...document.querySelectorAll("#answer [href], #answer [src], #answer [action], #answer [formaction]")];
      const addresses = links.flatMap((link) => ["href", "src", "action", "formaction"].map((name) => link.getAttribute(name)));
      const unsafe = addresses.filter((address) => address !== null && /^[\s\0-\x20]*[a-z][a-z0-9+.-]*:/i.test(address) && !/^(https?|mailto):/i.test(address));
      const elements = [...document.querySelectorAll("#answer :is(script, iframe, object, embed, form, style, link, meta, base, video, audio, svg *)")];
      return { unsafe, live: elements.filter((one) => !one.closest("button")).map((one) => one.localName) };
    });
    rows.push({ page, scripts, "bad links": bad.unsafe.length, "live HTML": bad.live.length, requests: requests.length });
    if (requests.length > 0) console.error(page, requests);
    await tab.close();
    server.close();
  }
  await browser.close();
  console.table(rows);
}

async function bytes() {
  const rows = [];
  for (const page of PAGES) rows.push(rounded({ page, "kB gz": weight(await bundle(page), entryOf(page)) }));
  console.table(rows);
}
