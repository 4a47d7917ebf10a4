import { describe, expect, it } from "vitest";
import { Api } from "../../core/api";
import { emptySnapshot, fold } from "../../core/fold";
import { Chat } from "../../ui/chat";
import { Desk } from "../../ui/options";
import { Queues } from "../../ui/queue";
import { numbered } from "../core/arbitraries";
import { Clock, frames, problem } from "../core/server";
import { memory, nobody } from "./host";

const started = (runId: string) => ({
  type: "run.started" as const,
  format: 1,
  run_id: runId,
  conversation_id: "c1",
  message_id: "m1",
  model: "scripted",
  created: 0,
});

describe("an answer whose server died", () => {
  it("is shown as what was kept of it, although more had been seen", async () => {
    let runId = "";
    const log = (...words: string[]) =>
      numbered([started(runId), ...words.map((text) => ({ type: "text.delta" as const, text }))]);
    const kept = () => [
      ...log("One "),
      { type: "run.failed" as const, seq: 3, at: 3, code: "interrupted", message: "It stopped.", retryable: true },
    ];
    const fetch: typeof globalThis.fetch = (input, init) => {
      const url = input as string;
      if (init?.method === "POST") {
        runId = (JSON.parse(init.body as string) as { run_id: string }).run_id;
        return Promise.resolve(new Response(frames(log("One ", "two ", "three"))));
      }
      if (url === "api/conversations") return Promise.resolve(Response.json({ conversations: [] }));
      if (url.includes("/events")) return Promise.resolve(problem(409, "cursor-ahead"));
      return Promise.resolve(Response.json(kept().reduce(fold, emptySnapshot(runId))));
    };
    const everyFrame = (callback: () => void) => {
      callback();
      return () => undefined;
    };
    const chat = new Chat(new Api("", fetch), new Clock(20_000), everyFrame, nobody, new Desk(memory()), new Queues(memory()));
    const seen = new Set<string>();
    chat.onWords(({ message }) => seen.add(message.content));

    await chat.ask("Count");

    expect(seen).toContain("One two three");
    const answer = chat.path.at(-1);
    expect(answer?.role === "assistant" && answer.run).toMatchObject({ state: "failed", message: { content: "One " } });
    expect(chat.state.following).toBeNull();
  });
});

describe("ratings", () => {
  it("reach the server in the order in which they were given", async () => {
    const stored: string[] = [];
    let answer: (() => void) | undefined;
    const fetch: typeof globalThis.fetch = (_input, init) => {
      stored.push(init?.body as string);
      return new Promise((resolve) => (answer = () => resolve(new Response(null, { status: 204 }))));
    };
    const chat = new Chat(new Api("", fetch), new Clock(20_000), () => () => undefined, nobody, new Desk(memory()), new Queues(memory()));
    const rated = { message_id: "m1", role: "assistant" as const, created: 0, run: emptySnapshot("r1") };

    const first = chat.rate(rated, { rating: "down" });
    const second = chat.rate(rated, { rating: "down", comment: "It is the stream." });
    await Promise.resolve();
    expect(stored).toEqual(['{"rating":"down"}']);
    answer?.();
    await first;
    answer?.();
    await second;
    expect(stored).toEqual(['{"rating":"down"}', '{"rating":"down","comment":"It is the stream."}']);
  });
});
