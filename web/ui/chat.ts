import {
  type Api,
  type AssistantMessage,
  type ConversationSummary,
  Refusal,
  type RunRequest,
  type ServerStatus,
  type StoredMessage,
  type UserMessage,
} from "../core/api";
import { codePointLength } from "../core/codepoints";
import { emptySnapshot, fold, type Snapshot } from "../core/fold";
import { followRun, startRun, type Surroundings, type Update, wholeRun } from "../core/reader";
import { branch, runningAnswer } from "../core/tree";

/** The run that this page follows. */
export interface Following {
  runId: string;
  connection: "connecting" | "connected" | "resuming";
  /** Stop was pressed and its effect has not come back yet. */
  stopping: boolean;
}

export interface ChatState {
  status: ServerStatus | null;
  conversations: readonly ConversationSummary[];
  conversationId: string | null;
  messages: readonly StoredMessage[];
  /** Which sibling is shown, by the parent's id. */
  chosen: ReadonlyMap<string, string>;
  following: Following | null;
  opening: boolean;
  /** What went wrong outside a run, for a person. */
  problem: string | null;
  /** A question that the server refused, to be put back where it was typed. */
  returned: string | null;
  streaming: boolean;
}

/** What the chat keeps outside itself: the address names the conversation, the settings outlive the page. */
export interface Memory {
  remember: (conversationId: string | null) => void;
  streaming: boolean;
}

const INDEXING_POLL_MS = 1_000;

/**
 * What the page shows and does: one conversation, one followed run. It knows no DOM; `subscribe` tells of each change.
 *
 * A run's events are folded as they come and published once per frame, so what `state` holds is what is on screen.
 */
export class Chat {
  state: ChatState;
  private readonly listeners = new Set<() => void>();
  private leaving = new AbortController();
  private unpublished: Snapshot | null = null;
  private cancelFrame: (() => void) | null = null;
  private stopWhenStarted = false;

  constructor(
    private readonly api: Api,
    private readonly surroundings: Surroundings,
    private readonly nextFrame: (callback: () => void) => () => void,
    private readonly memory: Memory,
  ) {
    this.state = {
      status: null,
      conversations: [],
      conversationId: null,
      messages: [],
      chosen: new Map(),
      following: null,
      opening: false,
      problem: null,
      returned: null,
      streaming: memory.streaming,
    };
  }

  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** The messages that are shown, first to last. */
  get path(): StoredMessage[] {
    return branch(this.state.messages, this.state.chosen);
  }

  async loadStatus(): Promise<void> {
    try {
      const status = await this.api.status();
      this.set({ status });
      if (status.documents.state !== "indexing") return;
    } catch (error) {
      if (error instanceof Refusal) { this.set({ problem: error.message }); return; }
    }
    this.surroundings.after(INDEXING_POLL_MS, () => void this.loadStatus());
  }

  async loadConversations(): Promise<void> {
    await this.attempt(async () => this.set({ conversations: await this.api.conversations() }));
  }

  /** Shows a conversation, or an empty page for null, and follows its answer if one is being made. */
  async open(conversationId: string | null): Promise<void> {
    if (conversationId !== null && conversationId === this.state.conversationId) return;
    this.leave();
    this.memory.remember(conversationId);
    this.set({
      conversationId,
      messages: [],
      chosen: new Map(),
      problem: null,
      opening: conversationId !== null,
    });
    if (conversationId !== null) await this.reload();
  }

  /** Brings the shown conversation up to date: another tab may have gone on with it. */
  async refresh(): Promise<void> {
    if (this.state.conversationId !== null && this.state.following === null && !this.state.opening) await this.reload();
    await this.loadConversations();
  }

  async ask(question: string, extra: Pick<RunRequest, "answer" | "options"> = {}): Promise<void> {
    if (this.state.following !== null) return;
    const runId = randomId();
    const parent = this.path.at(-1)?.message_id;
    const asked: UserMessage = {
      message_id: `question-${runId}`,
      role: "user",
      content: question,
      created: Date.now(),
      ...(parent !== undefined && { parent_id: parent }),
    };
    await this.run(
      { question, run_id: runId, ...this.place(parent), ...extra },
      [asked, pendingAnswer(runId, asked.message_id)],
      question,
    );
  }

  /** Makes another answer to the question that `answer` was given to. */
  async regenerate(answer: AssistantMessage): Promise<void> {
    const question = answer.parent_id;
    if (this.state.following !== null || question === undefined) return;
    const runId = randomId();
    this.choose(question, `answer-${runId}`);
    await this.run({ run_id: runId, ...this.place(question) }, [pendingAnswer(runId, question)], null);
  }

  /** Goes on with an answer that ended too early, in a version that begins with its words. */
  async goOn(answer: AssistantMessage): Promise<void> {
    const question = answer.parent_id;
    if (this.state.following !== null || question === undefined) return;
    const runId = randomId();
    this.choose(question, `answer-${runId}`);
    await this.run({ run_id: runId, continues: answer.run.run_id }, [pendingAnswer(runId, question)], null);
  }

  /** Stops the answer at what is on screen. */
  async stop(): Promise<void> {
    const { following, streaming } = this.state;
    if (following === null || following.stopping) return;
    const painted = this.answerOf(following.runId);
    this.cancelFrame?.();
    this.cancelFrame = null;
    this.setFollowing({ stopping: true });
    if (!painted || painted.run.seq === 0) {
      // There may be nothing to stop yet: as soon as there is, it is stopped.
      this.stopWhenStarted = true;
      if (streaming) return;
    }
    const seen = streaming ? codePointLength(painted?.run.message.content ?? "") : undefined;
    try {
      this.publish(await this.api.stop(following.runId, seen));
    } catch (error) {
      if (this.state.following?.runId !== following.runId) return;
      this.setFollowing({ stopping: false });
      this.set({ problem: `The answer could not be stopped: ${sentence(error)}` });
    }
  }

  async rename(conversationId: string, title: string): Promise<void> {
    await this.attempt(async () => {
      await this.api.rename(conversationId, title);
      await this.loadConversations();
    });
  }

  async remove(conversationId: string): Promise<void> {
    await this.attempt(async () => {
      await this.api.remove(conversationId);
      if (conversationId === this.state.conversationId) await this.open(null);
      await this.loadConversations();
    });
  }

  /** Shows another of a message's siblings. */
  choose(parentId: string, messageId: string): void {
    this.set({ chosen: new Map(this.state.chosen).set(parentId, messageId) });
  }

  setStreaming(streaming: boolean): void {
    this.memory.streaming = streaming;
    this.set({ streaming });
  }

  dismissProblem(): void {
    this.set({ problem: null });
  }

  takeReturned(): void {
    this.set({ returned: null });
  }

  private place(parent: string | undefined): Pick<RunRequest, "conversation_id" | "parent_id"> {
    const { conversationId } = this.state;
    if (conversationId === null || parent === undefined) return {};
    return { conversation_id: conversationId, parent_id: parent };
  }

  private async reload(): Promise<void> {
    const id = this.state.conversationId;
    if (id === null) return;
    try {
      const { messages } = await this.api.conversation(id);
      if (this.state.conversationId !== id || this.state.following !== null) return;
      this.set({ messages, opening: false });
    } catch (error) {
      if (this.state.conversationId !== id) return;
      this.set({ opening: false, problem: `The conversation could not be opened: ${sentence(error)}` });
      return;
    }
    const running = runningAnswer(this.path);
    if (!running) return;
    const { run_id: runId, seq } = running.run;
    const signal = this.begin(runId);
    const refusal = await this.consume(followRun(this.api, runId, seq, this.surroundings, signal), running.run, signal);
    if (refusal !== null) this.set({ problem: refusal });
  }

  private async run(request: RunRequest, added: StoredMessage[], question: string | null): Promise<void> {
    const before = this.state.messages;
    this.set({ messages: [...before, ...added], problem: null });
    const signal = this.begin(request.run_id);
    const updates = this.state.streaming
      ? startRun(this.api, request, this.surroundings, signal)
      : wholeRun(this.api, request, this.surroundings, signal);
    const refusal = await this.consume(updates, emptySnapshot(request.run_id), signal);
    if (refusal !== null) this.set({ messages: before, returned: question, problem: refusal });
    await this.loadConversations();
  }

  private begin(runId: string): AbortSignal {
    this.stopWhenStarted = false;
    this.leaving = new AbortController();
    this.set({ following: { runId, connection: "connecting", stopping: false } });
    return this.leaving.signal;
  }

  /** Folds and publishes what comes until the run has ended. Returns why the server refused it, else null. */
  private async consume(
    updates: AsyncGenerator<Update, void>,
    from: Snapshot,
    signal: AbortSignal,
  ): Promise<string | null> {
    let snapshot = from;
    try {
      for await (const update of updates) {
        switch (update.kind) {
          case "connected":
            this.setFollowing({ connection: "connected" });
            continue;
          case "resuming":
            this.setFollowing({ connection: "resuming" });
            continue;
          case "snapshot":
            snapshot = update.snapshot;
            break;
          case "events":
            snapshot = update.events.reduce(fold, snapshot);
        }
        this.schedule(snapshot);
      }
      this.flush();
      return null;
    } catch (error) {
      if (signal.aborted) return null;
      return sentence(error);
    } finally {
      if (!signal.aborted) this.set({ following: null });
    }
  }

  private schedule(snapshot: Snapshot): void {
    this.unpublished = snapshot;
    const { following, streaming } = this.state;
    if (snapshot.state !== "running") { this.flush(); return; }
    if (this.stopWhenStarted && snapshot.seq > 0) {
      this.stopWhenStarted = false;
      void this.stopBeforeTheFirstWord(snapshot.run_id);
    }
    // The first event names the conversation, which the address must do before anything can be lost.
    if (this.state.conversationId === null) { this.flush(); return; }
    // Without streaming only the whole answer is shown; after Stop nothing is added that would be cut again.
    if (!streaming || following?.stopping) return;
    this.cancelFrame ??= this.nextFrame(() => this.flush());
  }

  private async stopBeforeTheFirstWord(runId: string): Promise<void> {
    await this.attempt(async () => this.publish(await this.api.stop(runId, 0)));
  }

  private flush(): void {
    this.cancelFrame?.();
    this.cancelFrame = null;
    const snapshot = this.unpublished;
    this.unpublished = null;
    if (snapshot) this.publish(snapshot);
  }

  /** Puts a run's state in its message, under the names that the server gave. */
  private publish(snapshot: Snapshot): void {
    const was = this.answerOf(snapshot.run_id);
    // The end always counts: after the server's death it stands at an earlier place than what was seen.
    if (!was || (snapshot.state === "running" && snapshot.seq < was.run.seq)) return;
    const messageId = snapshot.message_id || was.message_id;
    const parentId = snapshot.parent_id ?? was.parent_id;
    const messages = this.state.messages.map((message): StoredMessage => {
      if (message === was) {
        return { ...was, message_id: messageId, ...(parentId !== undefined && { parent_id: parentId }), run: snapshot };
      }
      const isQuestion = message.message_id === was.parent_id && parentId !== undefined;
      return isQuestion ? { ...message, message_id: parentId } : message;
    });
    const chosen = new Map(
      [...this.state.chosen].map(([parent, id]): [string, string] => [parent, id === was.message_id ? messageId : id]),
    );
    const conversationId = snapshot.conversation_id || this.state.conversationId;
    const isNew = this.state.conversationId === null && conversationId !== null;
    this.set({ messages, chosen, conversationId });
    if (isNew) {
      this.memory.remember(conversationId);
      void this.loadConversations();
    }
  }

  private answerOf(runId: string): AssistantMessage | undefined {
    return this.state.messages.find(
      (message): message is AssistantMessage => message.role === "assistant" && message.run.run_id === runId,
    );
  }

  /** Stops following; the run goes on. */
  private leave(): void {
    this.leaving.abort(new DOMException("The page shows something else.", "AbortError"));
    this.cancelFrame?.();
    this.cancelFrame = null;
    this.unpublished = null;
    this.set({ following: null });
  }

  private async attempt(action: () => Promise<void>): Promise<void> {
    try {
      await action();
    } catch (error) {
      this.set({ problem: sentence(error) });
    }
  }

  private setFollowing(change: Partial<Following>): void {
    const { following } = this.state;
    if (following) this.set({ following: { ...following, ...change } });
  }

  private set(change: Partial<ChatState>): void {
    this.state = { ...this.state, ...change };
    for (const listener of this.listeners) listener();
  }
}

function pendingAnswer(runId: string, parentId: string): AssistantMessage {
  return {
    message_id: `answer-${runId}`,
    parent_id: parentId,
    role: "assistant",
    created: Date.now(),
    run: emptySnapshot(runId),
  };
}

/** 128 random bits; `crypto.randomUUID` is missing where the page is not served by https or loopback. */
function randomId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function sentence(error: unknown): string {
  return error instanceof Error ? error.message : "Something went wrong.";
}
