import { describe, expect, it } from "vitest";
import { Desk, requestOf } from "../../ui/options";
import { Queues } from "../../ui/queue";
import { Settings } from "../../ui/settings";
import { memory } from "./host";

describe("what is kept for a conversation", () => {
  it("moves with the new one when it gets its name", () => {
    const desk = new Desk(memory());
    desk.put(null, { draft: "Half", options: { sources: 3 } });
    desk.name("c1");
    expect(desk.of("c1")).toEqual({ draft: "Half", options: { sources: 3 } });
    expect(desk.of(null)).toEqual({});
  });

  it("is forgotten, the oldest first, when there is much of it", () => {
    const desk = new Desk(memory());
    for (let i = 0; i < 150; i++) desk.put(`c${i}`, { draft: `${i}` });
    expect(desk.of("c149")).toEqual({ draft: "149" });
    expect(desk.of("c49")).toEqual({});
    expect(desk.of("c50")).toEqual({ draft: "50" });
  });

  it("survives whatever else is found in the storage", () => {
    const keep = memory();
    for (const strange of [null, 7, "x", []]) {
      keep.write("desk", strange);
      expect(new Desk(keep).of("c1")).toEqual({});
    }
  });
});

describe("options", () => {
  it("are brought within what the operator allows by now", () => {
    const bounds = { sources: [1, 8], temperature: [0, 1], efforts: ["low"] } as const;
    const asked = requestOf({ sources: 80, temperature: 1.5, effort: "high" }, structuredClone(bounds) as never);
    expect(asked).toEqual({ options: { sources: 8, temperature: 1 } });
    expect(requestOf({ sources: 3, effort: "low" }, structuredClone(bounds) as never)).toEqual({
      options: { sources: 3, reasoning_effort: "low" },
    });
  });

  it("are sent under the server's names, and only those that were chosen", () => {
    expect(requestOf({})).toEqual({});
    expect(requestOf({ answer: "chat", effort: "low", temperature: 0 })).toEqual({
      answer: "chat",
      options: { reasoning_effort: "low", temperature: 0 },
    });
  });
});

describe("a queue", () => {
  const one = { id: "q1", question: "One" };
  const other = { id: "q2", question: "Other" };

  it("is of its conversation, and goes with the new one when that gets its name", () => {
    const queues = new Queues(memory());
    queues.add(null, one);
    queues.add("c2", other);
    queues.name("c1");
    expect(queues.of("c1")).toEqual([one]);
    expect(queues.of(null)).toEqual([]);
    expect(queues.take("c1", "q1")).toEqual(one);
    expect(queues.take("c1", "q1")).toBeUndefined();
    expect(queues.of("c2")).toEqual([other]);
  });

  it("outlives the page where its conversation has a name", () => {
    const keep = memory();
    const queues = new Queues(keep);
    queues.add("c1", one);
    queues.add(null, other);
    expect(new Queues(keep).of("c1")).toEqual([one]);
    expect(new Queues(keep).of(null)).toEqual([]);
  });

  it("survives whatever else is found in the storage", () => {
    const keep = memory();
    for (const strange of [null, 7, "x", [], { c1: 7 }, { c1: [null, { id: 1 }] }]) {
      keep.write("queues", strange);
      expect(new Queues(keep).of("c1")).toEqual([]);
    }
  });
});

describe("settings", () => {
  it("begin with what the page suggests until a person chooses", () => {
    const keep = memory();
    const settings = new Settings(keep, { theme: "dark", painting: "whole" });
    expect(settings.state).toMatchObject({ theme: "dark", painting: "whole", announcing: "paragraphs" });
    settings.change({ theme: "light" });
    settings.suggest({ theme: "dark", painting: "realtime" });
    expect(settings.state).toMatchObject({ theme: "light", painting: "realtime" });
    expect(new Settings(keep).state).toMatchObject({ theme: "light", painting: "smooth" });
  });

  it("take nothing from the storage that they do not know", () => {
    const keep = memory();
    keep.write("settings", { theme: "pink", language: "xx", painting: "smooth", more: 1 });
    const { state } = new Settings(keep);
    expect(state).toEqual({ painting: "smooth", announcing: "paragraphs", theme: "auto", language: "auto" });
  });
});
