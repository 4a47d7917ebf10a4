import { build, type Rolldown } from "vite";
import { afterEach, describe, expect, it, vi } from "vitest";

/** Kilobytes (1,000 bytes), compressed as a server would, of what `entry` loads before an answer with code is painted. */
async function weight(input: string, options: Rolldown.InputOptions = {}): Promise<number> {
  vi.stubEnv("NODE_ENV", "production"); // as it is shipped: libraries say more when they are tested
  const { output } = (await build({
    logLevel: "silent",
    build: { write: false, rolldownOptions: { input, ...options } },
  })) as Rolldown.RolldownOutput;
  const chunks = new Map(output.flatMap((file) => (file.type === "chunk" ? [[file.fileName, file] as const] : [])));
  const first = [...chunks.values()].filter((chunk) => chunk.isEntry);
  const loaded = new Set(first);
  for (const chunk of loaded) for (const name of chunk.imports) loaded.add(chunks.get(name) ?? chunk);
  let bytes = 0;
  for (const { code } of loaded) {
    const compressed = new Blob([code]).stream().pipeThrough(new CompressionStream("gzip"));
    bytes += (await new Response(compressed).arrayBuffer()).byteLength;
  }
  return bytes / 1000;
}

afterEach(() => void vi.unstubAllEnvs());

describe("until an answer is painted, a reader loads", () => {
  it("at most 40 kB of the core", { timeout: 60_000 }, async () => {
    const kilobytes = await weight("core/index.ts", { preserveEntrySignatures: "strict" });
    console.log(`core: ${kilobytes.toFixed(1)} kB`);
    expect(kilobytes).toBeLessThan(40);
    expect(kilobytes).toBeGreaterThan(20);
  });

  it("at most 80 kB of the whole element", { timeout: 60_000 }, async () => {
    const kilobytes = await weight("index.html");
    console.log(`element: ${kilobytes.toFixed(1)} kB`);
    expect(kilobytes).toBeLessThan(80);
  });
});
