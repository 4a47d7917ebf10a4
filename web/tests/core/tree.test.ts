import { expect, it } from "vitest";
import type { StoredMessage } from "../../core/api";
import { emptySnapshot } from "../../core/fold";
import { branch, runningAnswer, siblings } from "../../core/tree";

const user = (id: string, parent?: string): StoredMessage => ({
  message_id: id,
  role: "user",
  content: id,
  created: 0,
  ...(parent !== undefined && { parent_id: parent }),
});
const assistant = (id: string, parent: string, state: "running" | "finished" = "finished"): StoredMessage => ({
  message_id: id,
  parent_id: parent,
  role: "assistant",
  created: 0,
  run: { ...emptySnapshot(`run-${id}`), state },
});

const MESSAGES = [user("u1"), assistant("a1", "u1"), assistant("a2", "u1"), user("u2", "a2"), assistant("a3", "u2", "running")];
const ids = (messages: readonly StoredMessage[]): string[] => messages.map((message) => message.message_id);

it("follows the newest sibling", () => {
  expect(ids(branch(MESSAGES))).toEqual(["u1", "a2", "u2", "a3"]);
});

it("follows the sibling that was chosen", () => {
  expect(ids(branch(MESSAGES, new Map([["u1", "a1"]])))).toEqual(["u1", "a1"]);
});

it("takes a message whose parent is unknown for a beginning", () => {
  expect(ids(branch([assistant("a9", "gone")]))).toEqual(["a9"]);
});

it("finds siblings", () => {
  expect(ids(siblings(MESSAGES, assistant("a1", "u1")))).toEqual(["a1", "a2"]);
});

it("finds the answer that is being made", () => {
  expect(runningAnswer(branch(MESSAGES))?.message_id).toBe("a3");
  expect(runningAnswer(branch(MESSAGES.slice(0, 3)))).toBeUndefined();
});
