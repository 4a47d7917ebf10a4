import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { codePointLength } from "../../core/codepoints";
import { parseEvent } from "../../core/events";
import { emptySnapshot, fold, type Snapshot } from "../../core/fold";
import folds from "./folds.json";
import { anyRun } from "./arbitraries";

const START =
  '{"type":"run.started","seq":1,"at":0,"format":1,"run_id":"r1","conversation_id":"c1","message_id":"m2","model":"gpt","created":5,"parent_id":"m1"}';

function folded(...lines: string[]): Snapshot {
  return lines.reduce((snapshot, line) => {
    const event = parseEvent(line);
    return event ? fold(snapshot, event) : snapshot;
  }, emptySnapshot("r1"));
}

describe("fold", () => {
  it("makes of a stream the object that the server's snapshot is", () => {
    const snapshot = folded(
      START,
      '{"type":"step.started","seq":2,"at":1,"step_id":"s1","name":"search","label":"Searching…"}',
      '{"type":"step.finished","seq":3,"at":9,"step_id":"s1","label":"Found 2","elapsed_ms":8,"detail":{"hits":2}}',
      '{"type":"source","seq":4,"at":9,"n":2,"source_id":"p2","document_id":"d1","version":"1","title":"B","uri":"b.md","snippet":"b"}',
      '{"type":"source","seq":5,"at":9,"n":1,"source_id":"p1","document_id":"d1","version":"1","title":"A","uri":"a.pdf","snippet":"a","page_start":4}',
      '{"type":"reasoning.delta","seq":6,"at":10,"text":"Hm."}',
      '{"type":"text.delta","seq":7,"at":11,"text":"Waves 🌊"}',
      '{"type":"text.delta","seq":8,"at":12,"text":" rise."}',
      '{"type":"citation","seq":9,"at":12,"n":1,"start":0,"end":13}',
      "",
      '{"type":"data","seq":10,"at":13,"name":"x","key":"k","data":1}',
      '{"type":"data","seq":11,"at":13,"name":"x","key":"k","data":2}',
      '{"type":"text.finished","seq":12,"at":14,"reason":"stop"}',
      '{"type":"followups","seq":13,"at":15,"questions":["Why?"]}',
      '{"type":"usage","seq":14,"at":16,"input_tokens":3,"output_tokens":4,"estimated":false}',
      '{"type":"run.finished","seq":15,"at":16}',
    );
    expect(snapshot).toEqual({
      run_id: "r1",
      conversation_id: "c1",
      message_id: "m2",
      parent_id: "m1",
      model: "gpt",
      created: 5,
      state: "finished",
      seq: 15,
      message: {
        content: "Waves 🌊 rise.",
        reasoning: "Hm.",
        steps: [{ step_id: "s1", name: "search", label: "Found 2", state: "done", elapsed_ms: 8, detail: { hits: 2 } }],
        sources: [
          { n: 1, source_id: "p1", document_id: "d1", version: "1", title: "A", uri: "a.pdf", snippet: "a", page_start: 4 },
          { n: 2, source_id: "p2", document_id: "d1", version: "1", title: "B", uri: "b.md", snippet: "b" },
        ],
        citations: [{ n: 1, start: 0, end: 13 }],
        data: [{ name: "x", key: "k", data: 2 }],
        reason: "stop",
        followups: ["Why?"],
        usage: { input_tokens: 3, output_tokens: 4, estimated: false },
      },
    });
  });

  it.each(folds)("makes the same object as the server's own fold (case %#)", ({ frames, snapshot }) => {
    // JSON once more: the server leaves out what has no value.
    expect(JSON.parse(JSON.stringify(folded(...frames.split("\n"))))).toEqual(snapshot);
  });

  it("cuts a stopped answer at what was seen, in code points, and drops the citations beyond", () => {
    const { message, state } = folded(
      START,
      '{"type":"text.delta","seq":2,"at":1,"text":"🌊🌊 one. Two."}',
      '{"type":"citation","seq":3,"at":1,"n":1,"start":0,"end":7}',
      '{"type":"citation","seq":4,"at":1,"n":2,"start":8,"end":12}',
      '{"type":"run.stopped","seq":5,"at":2,"seen":8}',
    );
    expect(state).toBe("stopped");
    expect(message.content).toBe("🌊🌊 one. ");
    expect(message.citations).toEqual([{ n: 1, start: 0, end: 7 }]);
  });

  it("keeps the partial answer of a failed run and says why it failed", () => {
    const { message, state } = folded(
      START,
      '{"type":"text.delta","seq":2,"at":1,"text":"Half"}',
      '{"type":"run.failed","seq":3,"at":2,"code":"model-rate-limited","message":"Busy.","retryable":true,"retry_after":7}',
    );
    expect(state).toBe("failed");
    expect(message.content).toBe("Half");
    expect(message.error).toEqual({ code: "model-rate-limited", message: "Busy.", retryable: true, retry_after: 7 });
    expect(message.reason).toBeUndefined();
  });

  it("passes over types and fields that it does not know, and counts them", () => {
    const { seq, message } = folded(
      START,
      '{"type":"hologram","seq":2,"at":1,"depth":3}',
      '{"type":"text.delta","seq":3,"at":1,"text":"Hi","tone":"warm"}',
    );
    expect(seq).toBe(3);
    expect(message).toEqual({ content: "Hi", steps: [], sources: [], citations: [], followups: [] });
  });

  it("counts what is cut exactly, whatever the text", () => {
    fc.assert(
      fc.property(anyRun, (events) => {
        const { message, state } = events.reduce(fold, emptySnapshot("r1"));
        const all = events.map((event) => (event.type === "text.delta" ? event.text : "")).join("");
        const last = events.at(-1);
        const expected = last?.type === "run.stopped" ? Array.from(all).slice(0, last.seen).join("") : all;
        expect(message.content).toBe(expected);
        expect(codePointLength(message.content)).toBe(Array.from(expected).length);
        expect(state).not.toBe("running");
      }),
    );
  });

  it("continues a snapshot as if there had been no interruption", () => {
    fc.assert(
      fc.property(anyRun, fc.nat(50), (events, at) => {
        const before = events.slice(0, at).reduce(fold, emptySnapshot("r1"));
        const restored = JSON.parse(JSON.stringify(before)) as Snapshot;
        expect(events.slice(at).reduce(fold, restored)).toEqual(events.reduce(fold, emptySnapshot("r1")));
      }),
    );
  });
});
