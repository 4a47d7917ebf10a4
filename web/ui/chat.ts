import {
  type Api,
  type AssistantMessage,
  type Feedback,
  Refusal,
  type RunRequest,
  type ServerStatus,
  type StoredMessage,
  type UserMessage,
} from "../core/api";
import { codePointLength } from "../core/codepoints";
import { type AnyEvent, isTerminal } from "../core/events";
import { emptySnapshot, fold, type Snapshot } from "../core/fold";
import { followRun, startRun, type Surroundings, type Update, wholeRun } from "../core/reader";
import type { TransportName } from "../core/transports";
import { branch, runningAnswer } from "../core/tree";
import { Desk, type Options, requestOf } from "./options";
import { type Queued, Queues } from "./queue";
import { Store } from "./store";

/** The run that this page follows. */
export interface Following {
  runId: string;
  connection: "connecting" | "connected" | "resuming";
  /** Stop was pressed and its effect has not come back yet. */
  stopping: boolean;
  /** A proxy on the way holds words back; `null` when there is no way around it. */
  detour?: TransportName | null;
  /** When something last came of it, in milliseconds since the Unix epoch. */
  heardAt: number;
}

export interface ChatState {
  status: ServerStatus | null;
  conversationId: string | null;
  messages: readonly StoredMessage[];
  /** Which sibling is shown, by the parent's id, "" for the first messages. */
  chosen: ReadonlyMap<string, string>;
  following: Following | null;
  opening: boolean;
  /** What went wrong outside a run, for a person. */
  problem: string | null;
  /** A question that was refused or taken back, to be put where it is typed. */
  returned: string | null;
  /** Questions that wait for the answer before them. */
  queue: readonly Queued[];
  /** An answer did not end well: what waits is asked only when the person says so. */
  queuePaused: boolean;
  options: Options;
}

/** `past`: what came is history (of before a reload, or a lost connection), not news. */
export type WordListener = (snapshot: Snapshot, past: boolean) => void;

/** What the chat tells whoever embeds it, and asks of it. */
export interface Host {
  /** The shown conversation, or the run that will name it, as the address keeps it; null is the empty page. */
  remember: (place: string | null) => void;
  /** Whether answers come as they are written, or whole. */
  streams: () => boolean;
  /** The list of conversations is to be brought up to date. */
  conversationsChanged: () => void;
  answered: (snapshot: Snapshot) => void;
}

/** Milliseconds since the run began. */
export interface Times {
  firstWord?: number;
  whole?: number;
}

const INDEXING_POLL_MS = 1_000;
const RUN_PLACE = "run-";
/** A Stop that comes before its run: how often and how long it is tried. */
const STOP_TRIES = 7;
const FIRST_STOP_WAIT_MS = 150;

/**
 * One conversation and one followed run. It knows no DOM; `subscribe` tells of each change.
 *
 * A run's words do not go through `state`: they are painted by whoever listens to `onWords`, as often as they come. The
 * rest of a run is published once per frame, and only when it changed.
 */
export class Chat extends Store<ChatState> {
  private readonly wordListeners = new Set<WordListener>();
  private readonly painted = new Map<string, () => number>();
  private readonly queues = new Queues();
  private readonly times = new Map<string, Times>();
  private leaving = new AbortController();
  private latest: Snapshot | null = null;
  private cancelFrame: (() => void) | null = null;

  constructor(
    private readonly api: Api,
    private readonly surroundings: Surroundings,
    private readonly nextFrame: (callback: () => void) => () => void,
    private readonly host: Host,
    private readonly desk: Desk,
  ) {
    super({
      status: null,
      conversationId: null,
      messages: [],
      chosen: new Map(),
      following: null,
      opening: false,
      problem: null,
      returned: null,
      queue: [],
      queuePaused: false,
      options: desk.of(null).options ?? {},
    });
  }

  /** Calls back with the followed run whenever words, reasoning or citations came. Returns how to stop that. */
  onWords(listener: WordListener): () => void {
    this.wordListeners.add(listener);
    return () => this.wordListeners.delete(listener);
  }

  /** Says how much of a run's answer is on screen, in code points; Stop cuts there. Returns how to take that back. */
  countPainted(runId: string, count: () => number): () => void {
    this.painted.set(runId, count);
    return () => this.painted.delete(runId);
  }

  /** The messages that are shown, first to last. */
  get path(): StoredMessage[] {
    return branch(this.state.messages, this.state.chosen);
  }

  /** What was typed and not asked in the shown conversation. */
  get draft(): string {
    return this.desk.of(this.state.conversationId).draft ?? "";
  }

  set draft(draft: string) {
    this.desk.put(this.state.conversationId, { draft });
  }

  async loadStatus(): Promise<void> {
    try {
      const status = await this.api.status();
      this.set({ status });
      if (status.documents.state !== "indexing") return;
    } catch (error) {
      if (error instanceof Refusal) {
        this.set({ problem: error.message });
        return;
      }
    }
    this.surroundings.after(INDEXING_POLL_MS, () => void this.loadStatus());
  }

  /** Shows what a place of the address names, or an empty page for null, and follows its answer if one is being made. */
  async open(place: string | null): Promise<void> {
    if (place !== null && place === this.state.conversationId) return;
    this.leave();
    const conversationId = place?.startsWith(RUN_PLACE) ? await this.conversationOf(place) : place;
    this.host.remember(conversationId);
    this.show(conversationId);
    if (conversationId !== null) await this.reload();
  }

  /** Brings the shown conversation up to date: another tab may have gone on with it. */
  async refresh(): Promise<void> {
    if (this.state.conversationId !== null && this.state.following === null && !this.state.opening) await this.reload();
  }

  /** Asks, or while an answer is being made lets the question wait for its end. */
  async ask(question: string, extra?: Pick<RunRequest, "answer" | "options">): Promise<void> {
    if (this.state.following !== null) {
      this.queues.add(this.state.conversationId, question);
      this.set({ queue: this.queues.of(this.state.conversationId) });
      return;
    }
    const parent = this.path.at(-1)?.message_id;
    await this.askAfter(parent, question, extra);
  }

  /** Asks an earlier question anew in other words; the old one stays beside it. */
  async edit(question: UserMessage, words: string): Promise<void> {
    if (this.state.following !== null || this.state.conversationId === null) return;
    await this.askAfter(question.parent_id, words);
  }

  /** Makes another answer to the question that `answer` was given to. */
  async regenerate(answer: AssistantMessage): Promise<void> {
    const question = answer.parent_id;
    if (this.state.following !== null || question === undefined) return;
    const runId = randomId();
    this.point(question, `answer-${runId}`);
    const request = { run_id: runId, ...this.place(question), ...requestOf(this.state.options) };
    await this.run(request, [pendingAnswer(runId, question)], null);
  }

  /** Goes on with an answer that ended too early, in a version that begins with its words. */
  async goOn(answer: AssistantMessage): Promise<void> {
    const question = answer.parent_id;
    if (this.state.following !== null || question === undefined) return;
    const runId = randomId();
    this.point(question, `answer-${runId}`);
    const request = { run_id: runId, continues: answer.run.run_id, ...requestOf(this.state.options) };
    await this.run(request, [pendingAnswer(runId, question)], null);
  }

  /** Stops the answer at what is on screen. What waits in the queue stays there. */
  async stop(): Promise<void> {
    const { following } = this.state;
    if (following === null || following.stopping) return;
    const { runId } = following;
    const seen = this.host.streams() ? (this.painted.get(runId)?.() ?? this.contentLength(runId)) : undefined;
    this.cancelFrame?.();
    this.cancelFrame = null;
    this.setFollowing({ stopping: true });
    try {
      this.publish(await this.stopped(runId, seen));
    } catch (error) {
      if (this.state.following?.runId !== runId) return;
      this.setFollowing({ stopping: false });
      this.set({ problem: sentence(error) });
    }
  }

  /** Asks the question that waits under this id, now. */
  async askQueued(id: string): Promise<void> {
    if (this.state.following !== null) return;
    const queued = this.unqueue(id);
    if (queued) await this.ask(queued.question);
  }

  /** Takes a waiting question out of the queue. */
  unqueue(id: string): Queued | undefined {
    const queued = this.queues.take(this.state.conversationId, id);
    this.set({ queue: this.queues.of(this.state.conversationId) });
    return queued;
  }

  /** Takes a waiting question back to where it was typed. */
  editQueued(id: string): void {
    const queued = this.unqueue(id);
    if (queued) this.set({ returned: queued.question });
  }

  /** Shows another of a message's siblings, and lets the server remember it. */
  choose(parentId: string, messageId: string): void {
    this.point(parentId, messageId);
    const { conversationId, following } = this.state;
    const leaf = this.path.at(-1)?.message_id;
    // A choice that is not remembered costs nobody anything.
    if (conversationId !== null && following === null && leaf !== undefined) {
      this.api.chooseBranch(conversationId, leaf).catch(() => undefined);
    }
  }

  /** Stores what the reader thinks of an answer; null takes it back. */
  async rate(answer: AssistantMessage, feedback: Feedback | null): Promise<void> {
    const put = (given: Feedback | undefined): void => {
      const messages = this.state.messages.map((message): StoredMessage => {
        if (message.message_id !== answer.message_id || message.role !== "assistant") return message;
        const { feedback: _was, ...rest } = message;
        return given ? { ...rest, feedback: given } : rest;
      });
      this.set({ messages });
    };
    put(feedback ?? undefined);
    try {
      await this.api.rate(answer.message_id, feedback);
    } catch (error) {
      put(answer.feedback);
      this.set({ problem: sentence(error) });
    }
  }

  /** When the first word and the end of an answer came, in milliseconds since the run began, if this page saw it. */
  timesOf(runId: string): Times | undefined {
    return this.times.get(runId);
  }

  setOptions(options: Options): void {
    this.desk.put(this.state.conversationId, { options });
    this.set({ options });
  }

  report(problem: string): void {
    this.set({ problem });
  }

  readonly reportError = (error: unknown): void => this.report(sentence(error));

  dismissProblem(): void {
    this.set({ problem: null });
  }

  takeReturned(): void {
    this.set({ returned: null });
  }

  /** Ends all reading; the run goes on. */
  close(): void {
    this.leave();
  }

  private point(parentId: string, messageId: string): void {
    this.set({ chosen: new Map(this.state.chosen).set(parentId, messageId) });
  }

  private show(conversationId: string | null): void {
    this.set({
      conversationId,
      messages: [],
      chosen: new Map(),
      problem: null,
      opening: conversationId !== null,
      queue: this.queues.of(conversationId),
      queuePaused: true,
      options: this.desk.of(conversationId).options ?? {},
    });
  }

  /** The conversation of a run that had not named it yet when the page was left; null when there was no such run. */
  private async conversationOf(place: string): Promise<string | null> {
    this.set({ opening: true });
    try {
      return (await this.api.snapshot(place.slice(RUN_PLACE.length))).conversation_id || null;
    } catch {
      return null;
    }
  }

  private async askAfter(
    parent: string | undefined,
    question: string,
    extra: Pick<RunRequest, "answer" | "options"> = requestOf(this.state.options),
  ): Promise<void> {
    const runId = randomId();
    const asked: UserMessage = {
      message_id: `question-${runId}`,
      role: "user",
      content: question,
      created: Date.now(),
      ...(parent !== undefined && { parent_id: parent }),
    };
    if (this.path.some((message) => message.parent_id === parent)) this.point(parent ?? "", asked.message_id);
    const request = { question, run_id: runId, ...this.place(parent), ...extra };
    await this.run(request, [asked, pendingAnswer(runId, asked.message_id)], question);
  }

  private place(parent: string | undefined): Pick<RunRequest, "conversation_id" | "parent_id"> {
    const { conversationId } = this.state;
    return conversationId === null ? {} : { conversation_id: conversationId, parent_id: parent ?? null };
  }

  private async reload(): Promise<void> {
    const id = this.state.conversationId;
    if (id === null) return;
    try {
      const { messages, chosen_id: chosen } = await this.api.conversation(id);
      if (this.state.conversationId !== id || this.state.following !== null) return;
      this.set({ messages, opening: false, ...(chosen !== undefined && { chosen: choicesOf(messages, chosen) }) });
    } catch (error) {
      if (this.state.conversationId !== id) return;
      this.set({ opening: false, problem: sentence(error) });
      return;
    }
    const running = runningAnswer(this.path);
    if (!running) return;
    const { run_id: runId, seq } = running.run;
    const signal = this.begin(runId);
    const refusal = await this.consume(followRun(this.api, runId, seq, this.surroundings, signal), running.run, signal);
    if (signal.aborted) return;
    if (refusal !== null) this.set({ problem: refusal });
    await this.askNext(runId);
  }

  private async run(request: RunRequest, added: StoredMessage[], question: string | null): Promise<void> {
    const before = this.state.messages;
    this.set({ messages: [...before, ...added], problem: null });
    const signal = this.begin(request.run_id);
    const streams = this.host.streams();
    // Until the conversation has a name, its first run is what a reload finds it by.
    if (this.state.conversationId === null && !streams) this.host.remember(RUN_PLACE + request.run_id);
    const updates = streams
      ? startRun(this.api, request, this.surroundings, signal)
      : wholeRun(this.api, request, this.surroundings, signal);
    const refusal = await this.consume(updates, emptySnapshot(request.run_id), signal);
    this.host.conversationsChanged();
    if (signal.aborted) return;
    if (refusal !== null) {
      this.set({ messages: before, returned: question, problem: refusal, queuePaused: true });
      this.host.remember(this.state.conversationId);
      return;
    }
    await this.askNext(request.run_id);
  }

  /** After an answer that ended well the question that waits longest is asked; after any other, when the person says so. */
  private async askNext(runId: string): Promise<void> {
    const ended = this.answerOf(runId);
    this.set({ queuePaused: ended?.run.state !== "finished" });
    if (ended) this.host.answered(ended.run);
    const [first] = this.state.queue;
    if (first && !this.state.queuePaused) await this.askQueued(first.id);
  }

  private begin(runId: string): AbortSignal {
    this.leaving = new AbortController();
    this.latest = null;
    this.set({ following: { runId, connection: "connecting", stopping: false, heardAt: Date.now() } });
    return this.leaving.signal;
  }

  /** Folds what comes until the run has ended. Returns why the server refused it, else null. */
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
            this.setFollowing({ connection: "connected", heardAt: Date.now() });
            continue;
          case "resuming":
            this.setFollowing({ connection: "resuming" });
            continue;
          case "fallback":
            this.setFollowing({ detour: update.to });
            continue;
          case "snapshot":
            snapshot = update.snapshot;
            break;
          case "events":
            snapshot = update.events.reduce(fold, snapshot);
            this.time(snapshot.run_id, update.events);
        }
        this.take(snapshot, update.kind === "snapshot" || update.past);
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

  private time(runId: string, events: readonly AnyEvent[]): void {
    if (!this.times.has(runId) && events[0]?.seq !== 1) return;
    const times = this.times.get(runId) ?? {};
    const firstWord = times.firstWord ?? events.find((event) => event.type === "text.delta")?.at;
    const whole = events.find(isTerminal)?.at;
    this.times.set(runId, {
      ...(firstWord !== undefined && { firstWord }),
      ...(whole !== undefined && { whole }),
    });
  }

  private take(snapshot: Snapshot, past: boolean): void {
    const { following, conversationId } = this.state;
    this.latest = snapshot;
    if (following) following.heardAt = Date.now();
    if (snapshot.state !== "running" || conversationId === null) {
      // The end, and the first event, which names the conversation: the address must, before anything can be lost.
      this.flush();
      return;
    }
    // After Stop nothing is added that would be cut again.
    if (following?.stopping) return;
    for (const listener of this.wordListeners) listener(snapshot, past);
    const published = this.answerOf(snapshot.run_id)?.run;
    if (!published || !sameButForWords(published, snapshot)) this.cancelFrame ??= this.nextFrame(() => this.flush());
  }

  private flush(): void {
    this.cancelFrame?.();
    this.cancelFrame = null;
    if (this.latest) this.publish(this.latest);
  }

  /** Puts a run's state in its message, under the names that the server gave. */
  private publish(snapshot: Snapshot): void {
    const was = this.answerOf(snapshot.run_id);
    // The end always counts: after the server's death it stands at an earlier place than what was seen.
    if (!was || (snapshot.state === "running" && snapshot.seq < was.run.seq)) return;
    const messageId = snapshot.message_id || was.message_id;
    const parentId = snapshot.parent_id ?? was.parent_id;
    const renamed = (id: string | undefined): string | undefined =>
      id === was.message_id ? messageId : id === was.parent_id ? parentId : id;
    const messages = this.state.messages.map((message): StoredMessage => {
      if (message === was) {
        return { ...was, message_id: messageId, ...(parentId !== undefined && { parent_id: parentId }), run: snapshot };
      }
      const id = renamed(message.message_id);
      return id === undefined || id === message.message_id ? message : { ...message, message_id: id };
    });
    const chosen = new Map(
      [...this.state.chosen].map(([parent, id]) => [renamed(parent) ?? parent, renamed(id) ?? id] as const),
    );
    const conversationId = this.state.conversationId ?? (snapshot.conversation_id || null);
    const isNew = this.state.conversationId === null && conversationId !== null;
    if (isNew) {
      this.queues.name(conversationId);
      this.desk.name(conversationId);
    }
    this.set({ messages, chosen, conversationId, queue: this.queues.of(conversationId) });
    if (snapshot.state === "running") for (const listener of this.wordListeners) listener(snapshot, false);
    if (isNew) {
      this.host.remember(conversationId);
      this.host.conversationsChanged();
    }
  }

  /** The snapshot of the stopped run. A Stop may come before its run: then it is tried until there is something to stop. */
  private async stopped(runId: string, seen: number | undefined): Promise<Snapshot> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.api.stop(runId, seen);
      } catch (error) {
        const isEarly = error instanceof Refusal && error.problem.status === 404;
        if (!isEarly || tries === STOP_TRIES) throw error;
      }
      await new Promise<void>((resolve) => this.surroundings.after(FIRST_STOP_WAIT_MS * 2 ** (tries - 1), resolve));
    }
  }

  private contentLength(runId: string): number {
    return codePointLength(this.answerOf(runId)?.run.message.content ?? "");
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
    this.latest = null;
    this.set({ following: null });
  }

  private setFollowing(change: Partial<Following>): void {
    const { following } = this.state;
    if (following) this.set({ following: { ...following, ...change } });
  }
}

/** Whether two states of a run look the same apart from the words, which are painted by themselves. */
function sameButForWords(one: Snapshot, other: Snapshot): boolean {
  const [a, b] = [one.message, other.message];
  return (
    one.state === other.state &&
    one.message_id === other.message_id &&
    a.steps === b.steps &&
    a.sources === b.sources &&
    a.followups === b.followups &&
    a.tools === b.tools &&
    a.usage === b.usage &&
    a.data === b.data &&
    a.reason === b.reason &&
    a.error === b.error &&
    (a.content === "") === (b.content === "") &&
    (a.reasoning === undefined) === (b.reasoning === undefined)
  );
}

/** The choices that lead to a message. */
function choicesOf(messages: readonly StoredMessage[], messageId: string): Map<string, string> {
  const byId = new Map(messages.map((message) => [message.message_id, message]));
  const choices = new Map<string, string>();
  for (let at = byId.get(messageId); at && !choices.has(at.parent_id ?? ""); at = byId.get(at.parent_id ?? "")) {
    choices.set(at.parent_id ?? "", at.message_id);
  }
  return choices;
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

export function sentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
