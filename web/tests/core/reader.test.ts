import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Api, Refusal } from "../../core/api";
import { Transports } from "../../core/buffering";
import { type AnyEvent, isTerminal } from "../../core/events";
import { emptySnapshot, fold, type Snapshot } from "../../core/fold";
import { followRun, startRun, type Update, wholeRun } from "../../core/reader";
import { anyRun, numbered, STARTED } from "./arbitraries";
import { Clock, type Fate, frames, LogServer, problem } from "./server";

const RUN = numbered([
  STARTED,
  { type: "text.delta", text: "One 🌊 " },
  { type: "text.delta", text: "two " },
  { type: "text.delta", text: "three." },
  { type: "text.finished", reason: "stop" },
  { type: "run.finished" },
]);
const NEVER = new AbortController().signal;

const fate: fc.Arbitrary<Fate> = fc.record(
  {
    pieces: fc.array(fc.nat(4000), { maxLength: 12 }),
    breaksAfter: fc.nat(2000),
    cleanly: fc.boolean(),
    refused: fc.boolean(),
    repeats: fc.nat(3),
  },
  { requiredKeys: ["pieces"] },
);

async function assembled(updates: AsyncGenerator<Update, void>, from = emptySnapshot("r1")) {
  const seen: AnyEvent[] = [];
  const kinds: Update["kind"][] = [];
  let snapshot: Snapshot = from;
  for await (const update of updates) {
    kinds.push(update.kind);
    if (update.kind === "snapshot") snapshot = update.snapshot;
    if (update.kind === "events") {
      seen.push(...update.events);
      snapshot = update.events.reduce(fold, snapshot);
    }
  }
  return { snapshot, seen, kinds };
}

describe("a run that is started and followed", () => {
  it("gives every event once and in order, whatever the chunks, cuts, failures and repetitions", async () => {
    await fc.assert(
      fc.asyncProperty(anyRun, fc.array(fate, { maxLength: 8 }), async (events, fates) => {
        const server = new LogServer(events, fates);
        const { seen, snapshot } = await assembled(
          startRun(new Api("", server.fetch), { run_id: "r1", question: "?" }, new Clock(7_600), NEVER),
        );
        expect(seen).toEqual(events);
        expect(snapshot).toEqual(server.snapshot());
      }),
      { numRuns: 300 },
    );
  });

  it("asks for what comes after the last event it has, not for everything again", async () => {
    const server = new LogServer(RUN, [{ pieces: [], breaksAfter: frames(RUN.slice(0, 3)).length + 1 }]);
    await assembled(startRun(new Api("", server.fetch), { run_id: "r1", question: "?" }, new Clock(7_600), NEVER));
    expect(server.requests).toEqual(["POST api/runs", "GET api/runs/r1/events?after=3"]);
  });

  it("repeats the start under the same id when not one event has come", async () => {
    const server = new LogServer(RUN, [{ pieces: [], refused: true }, { pieces: [], breaksAfter: 10 }]);
    const { seen } = await assembled(
      startRun(new Api("", server.fetch), { run_id: "r1", question: "?" }, new Clock(7_600), NEVER),
    );
    expect(server.requests).toEqual(["POST api/runs", "POST api/runs", "POST api/runs"]);
    expect(seen).toEqual(RUN);
  });

  it("takes a refusal for an answer before the run has begun", async () => {
    const server = new LogServer(RUN);
    server.instead.push(problem(503, "draining"));
    await expect(
      assembled(startRun(new Api("", server.fetch), { run_id: "r1", question: "?" }, new Clock(7_600), NEVER)),
    ).rejects.toThrow(new Refusal({ title: "No", status: 503, detail: "No: draining.", code: "draining" }));
  });
});

describe("a run whose answer is wanted whole", () => {
  const ask = (server: LogServer) =>
    assembled(wholeRun(new Api("", server.fetch), { run_id: "r1", question: "?" }, new Clock(7_600), NEVER));

  it("attaches to the same run again after a lost connection", async () => {
    const server = new LogServer(RUN);
    server.instead.push(new Response("  \n  "), new Response("", { status: 502 }), Response.json(server.snapshot()));
    const { snapshot, kinds } = await ask(server);
    expect(server.requests).toEqual(["POST api/runs", "POST api/runs", "POST api/runs"]);
    expect(kinds).toEqual(["resuming", "resuming", "snapshot"]);
    expect(snapshot).toEqual(server.snapshot());
  });

  it("shows what there is of a run that failed", async () => {
    const server = new LogServer(RUN);
    server.instead.push(
      Response.json(
        { title: "No", status: 502, detail: "Down.", code: "model-unavailable", message: { content: "Half" } },
        { status: 502, headers: { "content-type": "application/problem+json" } },
      ),
    );
    expect((await ask(server)).snapshot).toEqual(server.snapshot());
    expect(server.requests).toEqual(["POST api/runs", "GET api/runs/r1"]);
  });

  it("takes a refusal for an answer", async () => {
    const server = new LogServer(RUN);
    server.instead.push(problem(400, "invalid-request"));
    await expect(ask(server)).rejects.toThrow("No: invalid-request.");
  });
});

describe("a run that is followed from a cursor", () => {
  it("starts again from the snapshot when the cursor is ahead of the log", async () => {
    const server = new LogServer(RUN);
    const { snapshot, kinds } = await assembled(followRun(new Api("", server.fetch), "r1", 99, new Clock(7_600), NEVER));
    expect(kinds).toEqual(["snapshot"]);
    expect(snapshot).toEqual(server.snapshot());
  });

  it("uses the snapshot when the events are gone", async () => {
    const server = new LogServer(RUN);
    server.instead.push(problem(410, "gone"));
    const { snapshot } = await assembled(followRun(new Api("", server.fetch), "r1", 2, new Clock(7_600), NEVER));
    expect(snapshot).toEqual(server.snapshot());
  });

  it("uses the snapshot when an event is missing, and goes on from there", async () => {
    const server = new LogServer(RUN);
    const sofar = RUN.slice(0, 4);
    server.instead.push(
      new Response(frames([RUN[0], RUN[1], RUN[3]].filter((event) => event !== undefined))),
      Response.json(sofar.reduce(fold, emptySnapshot("r1"))),
    );
    const { snapshot, seen } = await assembled(followRun(new Api("", server.fetch), "r1", 0, new Clock(7_600), NEVER));
    expect(seen).toEqual([RUN[0], RUN[1], RUN[4], RUN[5]]);
    expect(snapshot).toEqual(server.snapshot());
  });

  it("uses the snapshot when a line is damaged", async () => {
    const server = new LogServer(RUN);
    server.instead.push(new Response("<html>gateway</html>\n"));
    const { snapshot } = await assembled(followRun(new Api("", server.fetch), "r1", 0, new Clock(7_600), NEVER));
    expect(snapshot).toEqual(server.snapshot());
  });

  it("reads the snapshot when the server says that nothing more will come", async () => {
    const server = new LogServer(RUN);
    const { snapshot } = await assembled(followRun(new Api("", server.fetch), "r1", 6, new Clock(7_600), NEVER));
    expect(snapshot.state).toBe("finished");
  });

  it("throws when there is no such run", async () => {
    const server = new LogServer(RUN);
    server.instead.push(problem(404, "not-found"));
    await expect(
      assembled(followRun(new Api("", server.fetch), "r1", 0, new Clock(7_600), NEVER)),
    ).rejects.toThrow("No: not-found.");
  });

  it("waits as long as a busy server asks", async () => {
    const server = new LogServer(RUN);
    server.instead.push(
      Response.json(
        { title: "Busy", status: 429, detail: "Busy.", code: "busy", retry_after: 3 },
        { status: 429, headers: { "content-type": "application/problem+json" } },
      ),
    );
    const clock = new Clock(7_600);
    await assembled(followRun(new Api("", server.fetch), "r1", 1, clock, NEVER));
    expect(clock.waits).toContain(3000);
  });

  it("backs off further after every failure, and starts over after progress", async () => {
    const dead: Fate = { pieces: [], refused: true };
    const oneMore: Fate = { pieces: [], breaksAfter: frames(RUN.slice(1, 2)).length + 1 };
    const server = new LogServer(RUN, [dead, dead, dead, oneMore]);
    const clock = new Clock(7_600);
    await assembled(followRun(new Api("", server.fetch), "r1", 1, clock, NEVER));
    const backoffs = clock.waits.filter((wait) => wait < 7_600);
    expect(backoffs).toEqual([125, 250, 500, 125]);
  });

  it("tries again at once when woken", async () => {
    const server = new LogServer(RUN, [{ pieces: [], refused: true }]);
    const clock = new Clock();
    const updates = followRun(new Api("", server.fetch), "r1", 0, clock, NEVER);
    expect((await updates.next()).value).toEqual({ kind: "resuming", attempt: 1 });
    const next = updates.next();
    clock.wake();
    expect((await next).value).toEqual({ kind: "connected", transport: "ndjson" });
    await updates.return();
    expect(clock.watchers).toBe(0);
  });

  it.each([
    ["takes a long silence for a dead connection", 46_000, false],
    ["takes a shorter one for dead after a sleep", 17_000, true],
  ])("%s", async (_, silence, wakes) => {
    const server = new LogServer(RUN);
    const clock = new Clock();
    const signals: AbortSignal[] = [];
    const fetch: typeof globalThis.fetch = (input, init) => {
      if (signals.length > 0) return server.fetch(input, init);
      if (init?.signal) signals.push(init.signal);
      return Promise.resolve(new Response(silent(frames(RUN.slice(0, 2)), init?.signal)));
    };
    const updates = followRun(new Api("", fetch), "r1", 0, clock, NEVER);
    await updates.next();
    await updates.next();
    const next = updates.next();
    await Promise.resolve();
    clock.advance(silence);
    if (wakes) clock.wake();
    expect((await next).value).toEqual({ kind: "resuming", attempt: 1 });
    expect(signals[0]?.aborted).toBe(true);
    await updates.return();
  });

  it("lets go of everything when it is aborted", async () => {
    const clock = new Clock();
    const leaving = new AbortController();
    const fetch: typeof globalThis.fetch = (_, init) =>
      Promise.resolve(new Response(silent(frames(RUN.slice(0, 2)), init?.signal)));
    const updates = followRun(new Api("", fetch), "r1", 0, clock, leaving.signal);
    await updates.next();
    await updates.next();
    const next = updates.next();
    leaving.abort(new Error("left"));
    await expect(next).rejects.toThrow("left");
    expect(clock.watchers).toBe(0);
  });
});

describe.each(["ndjson", "sse", "websocket"] as const)("a run that is read by %s", (transport) => {
  const read = (server: LogServer, after?: number, headers = {}) => {
    const api = new Api("", server.fetch, () => headers, server.socket);
    const transports = new Transports([transport]);
    return assembled(
      after === undefined
        ? startRun(api, { run_id: "r1", question: "?" }, new Clock(7_600), NEVER, transports)
        : followRun(api, "r1", after, new Clock(7_600), NEVER, transports),
    );
  };

  it("is the same run", async () => {
    await fc.assert(
      fc.asyncProperty(anyRun, fc.array(fate, { maxLength: 4 }), async (events, fates) => {
        const { seen } = await read(new LogServer(events, fates));
        expect(seen).toEqual(events);
      }),
      { numRuns: 100 },
    );
  });

  it("goes on after a cursor", async () => {
    expect((await read(new LogServer(RUN), 3)).seen).toEqual(RUN.slice(3));
  });
});

describe("a WebSocket", () => {
  const open = (socket: (address: string) => WebSocket, fetch: typeof globalThis.fetch = new LogServer(RUN).fetch) =>
    assembled(
      followRun(
        new Api("", fetch, () => ({ Authorization: "Bearer t0ken" }), socket),
        "r1",
        0,
        new Clock(7_600),
        NEVER,
        new Transports(["websocket"]),
      ),
    );

  it("says who asks before it asks", async () => {
    const server = new LogServer(RUN);
    await open(server.socket);
    expect(server.requests).toEqual([
      "WS api/ws",
      '{"op":"auth","token":"t0ken"}',
      '{"op":"follow","id":"run","run_id":"r1","after":0}',
    ]);
  });

  it("passes a refusal on", async () => {
    const refusing = (): WebSocket => {
      const socket = new EventTarget() as WebSocket;
      const error = { status: 404, code: "not-found", message: "There is no such run." };
      socket.send = () => {
        socket.dispatchEvent(new MessageEvent("message", { data: JSON.stringify({ id: "run", error }) }));
      };
      socket.close = () => undefined;
      queueMicrotask(() => socket.dispatchEvent(new Event("open")));
      return socket;
    };
    await expect(open(refusing)).rejects.toThrow("There is no such run.");
  });
});

describe("a proxy that holds events back", () => {
  /** A token every 100 ms. */
  const SLOW = numbered([
    STARTED,
    ...Array.from({ length: 60 }, () => ({ type: "text.delta", text: "word " }) as const),
    { type: "run.finished" },
  ]).map((event) => ({ ...event, at: event.seq * 100 }));

  /** Serves NDJSON in pieces of so many events; SSE and WebSocket as it should be. */
  function held(lump: number, also: readonly string[] = []) {
    const server = new LogServer(SLOW);
    const fetch: typeof globalThis.fetch = (input, init) => {
      const form = new Headers(init?.headers).get("accept") ?? "";
      if (form !== "application/x-ndjson" && !also.includes(form)) return server.fetch(input, init);
      server.requests.push(`held ${form}`);
      const pieces = Array.from({ length: Math.ceil(SLOW.length / lump) }, (_, i) => SLOW.slice(i * lump, (i + 1) * lump));
      const body = new ReadableStream<Uint8Array>({
        pull(controller) {
          const piece = pieces.shift();
          if (piece) controller.enqueue(frames(piece));
          else controller.close();
        },
      });
      return Promise.resolve(new Response(body));
    };
    return { server, api: new Api("", fetch, () => ({}), server.socket) };
  }

  it("is noticed by the second lump, and the rest is read another way", async () => {
    const { server, api } = held(20);
    const { seen, kinds } = await assembled(
      startRun(api, { run_id: "r1", question: "?" }, new Clock(7_600), NEVER, new Transports(["ndjson", "websocket"])),
    );
    expect(seen).toEqual(SLOW);
    expect(kinds.filter((kind) => kind !== "events")).toEqual(["connected", "fallback", "connected"]);
    expect(server.requests.slice(0, 2)).toEqual(["held application/x-ndjson", "WS api/ws"]);
  });

  it("is remembered for the next run when the whole answer came in one piece", async () => {
    const { server, api } = held(100);
    const transports = new Transports();
    const request = { run_id: "r1", question: "?" };
    await assembled(startRun(api, request, new Clock(7_600), NEVER, transports));
    expect(transports.current).toBe("sse");
    server.requests.length = 0;
    await assembled(startRun(api, request, new Clock(7_600), NEVER, transports));
    expect(server.requests).toEqual(["POST api/runs"]);
  });

  it("is said once when there is no other way", async () => {
    const { api } = held(20);
    const { seen, kinds } = await assembled(
      startRun(api, { run_id: "r1", question: "?" }, new Clock(7_600), NEVER, new Transports(["ndjson"])),
    );
    expect(seen).toEqual(SLOW);
    expect(kinds.filter((kind) => kind === "fallback")).toHaveLength(1);
  });

  it("is found out when it lets nothing at all through", async () => {
    const server = new LogServer(SLOW);
    const clock = new Clock(7_600);
    const fetch: typeof globalThis.fetch = (_, init) => Promise.resolve(new Response(silent(new Uint8Array(), init?.signal)));
    const updates = startRun(
      new Api("", fetch, () => ({}), server.socket),
      { run_id: "r1", question: "?" },
      clock,
      NEVER,
      new Transports(["ndjson", "websocket"]),
    );
    await updates.next();
    const next = assembled(updates);
    await new Promise((resolve) => setTimeout(resolve));
    clock.advance(8_000);
    const { seen, kinds } = await next;
    expect(seen).toEqual(SLOW);
    expect(kinds).toEqual(["connected", "events", "fallback"]);
  });

  it("is not suspected when the page comes back to a run that has been going on", async () => {
    const server = new LogServer(SLOW);
    const { kinds } = await assembled(followRun(new Api("", server.fetch), "r1", 0, new Clock(7_600), NEVER));
    expect(kinds).toEqual(["connected", "events"]);
  });

  it("goes back to what worked when the other way cannot be had", async () => {
    const { server, api } = held(20);
    const transports = new Transports(["ndjson", "websocket"]);
    const closed = (): WebSocket => {
      const socket = new EventTarget() as WebSocket;
      socket.close = () => undefined;
      queueMicrotask(() => socket.dispatchEvent(new Event("close")));
      return socket;
    };
    api.openSocket = closed;
    const { seen } = await assembled(startRun(api, { run_id: "r1", question: "?" }, new Clock(7_600), NEVER, transports));
    expect(seen).toEqual(SLOW);
    expect(transports.current).toBe("ndjson");
    expect(server.requests.length).toBeGreaterThan(1);
  });
});

/** Sends `bytes` and then nothing, until the request is aborted. */
function silent(bytes: Uint8Array, signal?: AbortSignal | null): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      if (bytes.length > 0) controller.enqueue(bytes);
      signal?.addEventListener("abort", () => controller.error(signal.reason));
    },
  });
}

it("knows the three endings", () => {
  expect(RUN.filter(isTerminal).map((event) => event.type)).toEqual(["run.finished"]);
});
