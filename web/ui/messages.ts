import type { AssistantMessage, Feedback, StoredMessage, UserMessage } from "../core/api";
import { emptySnapshot, type Snapshot } from "../core/fold";

/** A conversation's messages, and which sibling is shown, by the parent's id, "" for the first messages. */
export interface Tree {
  messages: readonly StoredMessage[];
  chosen: ReadonlyMap<string, string>;
}

/** A question on its way; the server gives it another name. */
export function pendingQuestion(runId: string, content: string, parentId: string | undefined): UserMessage {
  return {
    message_id: `question-${runId}`,
    role: "user",
    content,
    created: Date.now(),
    ...(parentId !== undefined && { parent_id: parentId }),
  };
}

/** The answer to it, of which nothing has come yet. */
export function pendingAnswer(runId: string, parentId: string): AssistantMessage {
  return {
    message_id: `answer-${runId}`,
    parent_id: parentId,
    role: "assistant",
    created: Date.now(),
    run: emptySnapshot(runId),
  };
}

/** The answer that a run makes. */
export function answerOf(messages: readonly StoredMessage[], runId: string): AssistantMessage | undefined {
  return messages.find(
    (message): message is AssistantMessage => message.role === "assistant" && message.run.run_id === runId,
  );
}

/** The tree with a run's new state in its answer `was`, under the names that the server gave. */
export function withRun({ messages, chosen }: Tree, was: AssistantMessage, snapshot: Snapshot): Tree {
  const messageId = snapshot.message_id || was.message_id;
  const parentId = snapshot.parent_id ?? was.parent_id;
  const renamed = (id: string | undefined): string | undefined =>
    id === was.message_id ? messageId : id === was.parent_id ? parentId : id;
  return {
    messages: messages.map((message): StoredMessage => {
      if (message === was) {
        return { ...was, message_id: messageId, ...(parentId !== undefined && { parent_id: parentId }), run: snapshot };
      }
      const id = renamed(message.message_id);
      return id === undefined || id === message.message_id ? message : { ...message, message_id: id };
    }),
    chosen: new Map([...chosen].map(([parent, id]) => [renamed(parent) ?? parent, renamed(id) ?? id] as const)),
  };
}

/** The messages with another rating of `answer`, or none. */
export function withFeedback(
  messages: readonly StoredMessage[],
  answer: AssistantMessage,
  feedback: Feedback | undefined,
): StoredMessage[] {
  return messages.map((message): StoredMessage => {
    if (message.message_id !== answer.message_id || message.role !== "assistant") return message;
    const { feedback: _was, ...rest } = message;
    return feedback ? { ...rest, feedback } : rest;
  });
}

/** The choices that lead to a message. */
export function choicesOf(messages: readonly StoredMessage[], messageId: string): Map<string, string> {
  const byId = new Map(messages.map((message) => [message.message_id, message]));
  const choices = new Map<string, string>();
  for (let at = byId.get(messageId); at && !choices.has(at.parent_id ?? ""); at = byId.get(at.parent_id ?? "")) {
    choices.set(at.parent_id ?? "", at.message_id);
  }
  return choices;
}
