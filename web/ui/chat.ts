import {
  type Api,
  type AssistantMessage,
  type Feedback,
  Refusal,
  type RunRequest,
  type ServerStatus,
  type StoredMessage,
  Unreachable,
  type UserMessage,
} from "../core/api";
import { codePointLength } from "../core/codepoints";
import { emptySnapshot, fold, type Snapshot } from "../core/fold";
import { followRun, pause, startRun, type Surroundings, wholeRun } from "../core/reader";
import { branch, runningAnswer } from "../core/tree";
import { Follower, type Following, type Times, type WordListener } from "./follower";
import { answerOf, choicesOf, pendingAnswer, pendingQuestion, withFeedback, withRun } from "./messages";
import { Desk, type Options, requestOf } from "./options";
import type { Queued, Queues } from "./queue";
import { randomId } from "./random-id";
import { sentence } from "./sentence";
import { stopRun } from "./stop";
import { Store } from "./store";
import { isRunPlace, placeOf, runOf, takeUnsent } from "./unsent";

export interface ChatState {
  status: ServerStatus | null;
  conversationId: string | null;
  messages: readonly StoredMessage[];
  /** Which sibling is shown, by the parent's id, "" for the first messages. */
  chosen: ReadonlyMap<string, string>;
  following: Following | null;
  opening: boolean;
  /** The messages are those of the conversation. What is asked before they are waits for them. */
  loaded: boolean;
  /** What went wrong outside a run, for a person. */
  problem: string | null;
  /** A question that was refused or taken back, to be put where it is typed. */
  returned: string | null;
  /** Questions that wait for the answer before them, or for the conversation to be loaded. */
  queue: readonly Queued[];
  /** An answer did not end well: what waits is asked only when the person says so. */
  queuePaused: boolean;
  options: Options;
}

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

const INDEXING_POLL_MS = 1_000;

/**
 * One conversation and one followed run. It knows no DOM; `subscribe` tells of each change.
 *
 * A run's words do not go through `state`: they are painted by whoever listens to `onWords`, as often as they come.
 */
export class Chat extends Store<ChatState> {
  private readonly follower: Follower;
  private readonly painted = new Map<string, () => number>();
  private cancelStatus: () => void = () => undefined;
  private readonly closing = new AbortController();
  /** Ends the wait for another try to load the shown conversation. */
  private reloading = new AbortController();
  /** What was asked last, until the server is known to have it, and the messages before it. */
  private sending: { request: RunRequest; before: readonly StoredMessage[] } | null = null;
  /** It was left while its Stop was on its way. */
  private unheard: RunRequest | null = null;
  /** The run whose answer was asked for as a whole. */
  private whole: string | null = null;
  /** What is still being sent for conversations that are out of sight, and the ids of those runs. */
  private readonly deliveries = new Map<string, Promise<void>>();
  private readonly delivering = new Set<string>();
  /** What an earlier page had sent when the conversation was loaded: it is this one's to ask now. */
  private inherited: ReadonlySet<string> = new Set();
  /** The waiting question that was asked while its conversation was loading: it goes before all others. */
  private wanted: string | null = null;
  /** The ratings that are being stored: each waits for the one before, so that the last one given is the one that stays. */
  private ratings: Promise<void> = Promise.resolve();

  constructor(
    private readonly api: Api,
    private readonly surroundings: Surroundings,
    nextFrame: (callback: () => void) => () => void,
    private readonly host: Host,
    private readonly desk: Desk,
    private readonly queues: Queues,
  ) {
    super({
      status: null,
      conversationId: null,
      messages: [],
      chosen: new Map(),
      following: null,
      opening: false,
      loaded: true,
      problem: null,
      returned: null,
      queue: [],
      queuePaused: false,
      options: desk.of(null).options ?? {},
    });
    this.follower = new Follower(nextFrame, {
      following: (following) => this.set({ following }),
      publish: (snapshot) => this.publish(snapshot),
      shown: (runId) => answerOf(this.state.messages, runId)?.run,
    });
  }

  /** Calls back with the followed run whenever words, reasoning or citations came. Returns how to stop that. */
  onWords(listener: WordListener): () => void {
    return this.follower.onWords(listener);
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
    this.cancelStatus();
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
    if (this.closing.signal.aborted) return;
    this.cancelStatus();
    this.cancelStatus = this.surroundings.after(INDEXING_POLL_MS, () => void this.loadStatus());
  }

  /** Shows what a place of the address names, or an empty page for null, and follows its answer if one is being made. */
  async open(place: string | null): Promise<void> {
    if (place !== null && place === this.state.conversationId) {
      if (!this.state.loaded && !this.state.opening) await this.reload();
      return;
    }
    this.leave();
    this.wanted = null;
    let conversationId = place;
    if (isRunPlace(place)) {
      this.show(null, false);
      const { messages } = this.state;
      conversationId = await this.conversationOf(place);
      if (this.state.messages !== messages) return;
      const [unsent] = this.queues.of(place);
      if (unsent) this.queues.take(place, unsent.id);
      if (conversationId !== null) this.queues.name(conversationId);
      else if (unsent) {
        this.wanted = null;
        this.show(null);
        await this.askAfter(undefined, unsent.question, unsent.sent, unsent.id);
        return;
      }
    }
    this.host.remember(conversationId);
    this.show(conversationId);
    if (conversationId !== null) await this.reload();
    else await this.askWanted();
  }

  /** Brings the shown conversation up to date: another tab may have gone on with it. */
  async refresh(): Promise<void> {
    if (this.state.conversationId !== null && this.state.following === null && !this.state.opening) await this.reload();
  }

  /** Asks, or lets the question wait: for the end of an answer that is being made, for a conversation that is not loaded. */
  async ask(question: string, extra?: Pick<RunRequest, "answer" | "options">): Promise<void> {
    const { conversationId, following, loaded, opening } = this.state;
    if (following === null && loaded) {
      await this.askAfter(this.path.at(-1)?.message_id, question, extra);
      return;
    }
    const queued = { id: randomId(), question };
    this.queues.add(conversationId, queued);
    this.set({ queue: this.waiting(conversationId) });
    if (loaded) return;
    this.wanted ??= queued.id;
    if (!opening) await this.reload();
  }

  /** Asks an earlier question anew in other words; the old one stays beside it. */
  async edit(question: UserMessage, words: string): Promise<void> {
    if (this.state.following !== null || this.state.conversationId === null) return;
    await this.askAfter(question.parent_id, words);
  }

  /** Makes another answer to the question that `answer` was given to. */
  async regenerate(answer: AssistantMessage): Promise<void> {
    await this.answerAnew(answer, this.place(answer.parent_id));
  }

  /** Goes on with an answer that ended too early, in a version that begins with its words. */
  async goOn(answer: AssistantMessage): Promise<void> {
    await this.answerAnew(answer, { continues: answer.run.run_id });
  }

  /**
   * Stops the answer at what is on screen. What waits in the queue stays there. A question that the server cannot be
   * reached with is taken back; one whose answer is asked for as a whole may have come through, and is not.
   */
  async stop(): Promise<void> {
    const { conversationId, following } = this.state;
    if (following === null || following.stopping) return;
    const { runId } = following;
    // Of an answer that was asked for as a whole, nobody has read only a part.
    const seen = this.host.streams() && runId !== this.whole ? (this.painted.get(runId)?.() ?? this.contentLength(runId)) : undefined;
    this.follower.stopping(true);
    try {
      this.publish(await stopRun(this.api, this.surroundings, runId, seen));
    } catch (error) {
      if (this.state.following?.runId !== runId) {
        const { unheard } = this;
        if (unheard?.run_id === runId && unheard.question !== undefined) this.giveBack(conversationId, unheard.question);
        return;
      }
      if (error instanceof Unreachable && this.sending?.request.run_id === runId && runId !== this.whole) {
        const { request, before } = this.sending;
        this.follower.leave();
        this.takeBack(request, before, null);
        return;
      }
      this.follower.stopping(false);
      this.set({ problem: sentence(error) });
    }
  }

  /** Asks the question that waits under this id, now. */
  async askQueued(id: string): Promise<void> {
    if (this.state.following !== null) return;
    const queued = this.unqueue(id);
    if (queued) await this.askAfter(this.path.at(-1)?.message_id, queued.question, queued.sent, queued.id);
  }

  /** Takes a waiting question out of the queue. */
  unqueue(id: string): Queued | undefined {
    const { conversationId } = this.state;
    const queued = this.queues.take(conversationId, id);
    this.set({ queue: this.waiting(conversationId) });
    return queued;
  }

  /** Takes a waiting question back to where it was typed. */
  editQueued(id: string): void {
    const queued = this.unqueue(id);
    if (queued) this.giveBack(this.state.conversationId, queued.question);
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
      this.set({ messages: withFeedback(this.state.messages, answer, given) });
    };
    put(feedback ?? undefined);
    const stored = this.ratings.then(() => this.api.rate(answer.message_id, feedback));
    this.ratings = stored.catch(() => undefined);
    try {
      await stored;
    } catch (error) {
      put(answer.feedback);
      this.set({ problem: sentence(error) });
    }
  }

  /** When the first word and the end of an answer came, in milliseconds since the run began, if this page saw it. */
  timesOf(runId: string): Times | undefined {
    return this.follower.timesOf(runId);
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
    this.closing.abort(new DOMException("The page is gone.", "AbortError"));
    this.cancelStatus();
    this.reloading.abort();
    this.follower.leave();
  }

  /** Follows no longer. What the server may not have heard of yet is sent all the same. */
  private leave(): void {
    const { conversationId, following } = this.state;
    const { sending } = this;
    this.sending = null;
    this.reloading.abort();
    this.follower.leave();
    if (sending === null) return;
    if (following?.stopping) {
      this.received(sending.request);
      this.unheard = sending.request;
      return;
    }
    // What waits behind the first question of a new conversation is no business of the next new one.
    const waiting = conversationId === null ? this.queues.takeNameless() : [];
    const delivery = this.deliver(sending.request, conversationId, waiting);
    if (conversationId === null) return;
    this.deliveries.set(conversationId, delivery);
    void delivery.then(() => this.deliveries.delete(conversationId));
  }

  /** Sends a request for a conversation that is out of sight until the server has it; what it refuses is a draft again. */
  private async deliver(request: RunRequest, from: string | null, waiting: readonly Queued[]): Promise<void> {
    this.delivering.add(request.run_id);
    try {
      for await (const update of startRun(this.api, request, this.surroundings, this.closing.signal)) {
        if (update.kind !== "events" && update.kind !== "snapshot") continue;
        const begun =
          update.kind === "snapshot" ? update.snapshot : update.events.reduce(fold, emptySnapshot(request.run_id));
        this.received(request);
        this.queues.add(begun.conversation_id, ...waiting);
        break;
      }
      this.host.conversationsChanged();
    } catch (error) {
      if (this.closing.signal.aborted) return;
      this.received(request);
      this.giveBack(from, ...(request.question === undefined ? [] : [request.question]), ...waiting.map((one) => one.question));
      this.set({ problem: sentence(error) });
    } finally {
      this.delivering.delete(request.run_id);
    }
  }

  /**
   * Puts the first questions that earlier pages could not send back to where they were typed, but for that of the place
   * that is shown.
   */
  async recoverUnsent(shown: string | null): Promise<void> {
    for await (const question of takeUnsent(this.api, this.queues, shown)) this.giveBack(null, question);
  }

  /** Puts words back to where they were typed, before what is typed there by now. */
  private giveBack(conversationId: string | null, ...words: readonly string[]): void {
    if (words.length === 0) return;
    const text = words.join("\n\n");
    if (conversationId === this.state.conversationId) this.set({ returned: joined(this.state.returned, text) });
    else this.desk.put(conversationId, { draft: joined(text, this.desk.of(conversationId).draft) });
  }

  private point(parentId: string, messageId: string): void {
    this.set({ chosen: new Map(this.state.chosen).set(parentId, messageId) });
  }

  private show(conversationId: string | null, loaded = conversationId === null): void {
    this.set({
      conversationId,
      messages: [],
      chosen: new Map(),
      problem: null,
      opening: !loaded,
      loaded,
      queue: this.waiting(conversationId),
      queuePaused: true,
      options: this.desk.of(conversationId).options ?? {},
    });
  }

  /** The conversation of a run that had not named it yet when the page was left; null when there was no such run. */
  private async conversationOf(place: string): Promise<string | null> {
    try {
      return (await this.api.snapshot(runOf(place))).conversation_id || null;
    } catch {
      return null;
    }
  }

  /** What the conversation is to be answered with, as part of a request. */
  private get chosenOptions(): Pick<RunRequest, "answer" | "options"> {
    return requestOf(this.state.options, this.state.status?.options);
  }

  private async answerAnew(answer: AssistantMessage, from: Partial<RunRequest>): Promise<void> {
    const question = answer.parent_id;
    if (this.state.following !== null || question === undefined) return;
    const runId = randomId();
    this.point(question, `answer-${runId}`);
    await this.run({ run_id: runId, ...from, ...this.chosenOptions }, [pendingAnswer(runId, question)]);
  }

  private async askAfter(
    parent: string | undefined,
    question: string,
    extra = this.chosenOptions,
    runId = randomId(),
  ): Promise<void> {
    const asked = pendingQuestion(runId, question, parent);
    if (this.path.some((message) => message.parent_id === parent)) this.point(parent ?? "", asked.message_id);
    const request = { question, run_id: runId, ...this.place(parent), ...extra };
    // Until the server has it, a question that follows the last answer waits where a reload finds it.
    if (parent === this.path.at(-1)?.message_id) this.queues.addFirst(placeOf(request), { id: runId, question, sent: extra });
    await this.run(request, [asked, pendingAnswer(runId, asked.message_id)]);
  }

  private place(parent: string | undefined): Pick<RunRequest, "conversation_id" | "parent_id"> {
    const { conversationId } = this.state;
    return conversationId === null ? {} : { conversation_id: conversationId, parent_id: parent ?? null };
  }

  private async reload(attempt = 1): Promise<void> {
    const { conversationId: id, loaded: wasLoaded, messages: before, chosen: choices } = this.state;
    if (id === null) return;
    if (!wasLoaded && attempt === 1) this.set({ opening: true, problem: null });
    try {
      await this.deliveries.get(id);
      const { messages, chosen_id: chosen } = await this.api.conversation(id);
      if (this.state.messages !== before) return;
      for (const { id: runId } of this.queues.of(id)) if (answerOf(messages, runId)) this.queues.take(id, runId);
      const shown = chosen ?? (wasLoaded ? undefined : messages.at(-1)?.message_id);
      this.set({
        messages,
        opening: false,
        loaded: true,
        queue: this.waiting(id),
        ...(!wasLoaded && { problem: null }),
        ...(shown !== undefined && this.state.chosen === choices && { chosen: choicesOf(messages, shown) }),
      });
      if (!wasLoaded) {
        this.inherited = new Set(this.state.queue.flatMap(({ id: queued, sent }) => (sent ? [queued] : [])));
        this.wanted = [...this.inherited][0] ?? this.wanted;
      }
    } catch (error) {
      if (this.state.messages !== before) return;
      this.set({ opening: false, problem: sentence(error) });
      if (error instanceof Unreachable) {
        if (!wasLoaded) this.reloadLater(before, attempt);
      } else if (this.wanted !== null) {
        this.editQueued(this.wanted);
        this.wanted = null;
      }
      return;
    }
    const running = runningAnswer(this.path);
    if (!running) {
      if (!wasLoaded && !(await this.askWanted())) await this.askNext(this.path.at(-1));
      return;
    }
    this.wanted = null;
    const { run_id: runId, seq } = running.run;
    const signal = this.follower.begin(runId);
    const refusal = await this.follower.consume(followRun(this.api, runId, seq, this.surroundings, signal), running.run, signal);
    if (signal.aborted) return;
    if (refusal !== null) this.set({ problem: refusal });
    await this.ended(runId);
  }

  /** Loads again after a while, or when the network says that it is back, unless `before` has been replaced by then. */
  private reloadLater(before: readonly StoredMessage[], attempt: number): void {
    this.reloading.abort();
    this.reloading = new AbortController();
    const again = (): void => {
      if (this.state.messages === before && !this.state.opening) void this.reload(attempt + 1);
    };
    void pause(this.surroundings, this.reloading.signal, attempt).then(again, () => undefined);
  }

  private async run(request: RunRequest, added: StoredMessage[]): Promise<void> {
    const before = this.state.messages;
    this.set({ messages: [...before, ...added], problem: null });
    this.sending = { request, before };
    const signal = this.follower.begin(request.run_id);
    const streams = this.host.streams();
    this.whole = streams ? null : request.run_id;
    // Until the conversation has a name, its first run is what a reload finds it by.
    if (this.state.conversationId === null) this.host.remember(placeOf(request));
    const updates = streams
      ? startRun(this.api, request, this.surroundings, signal)
      : wholeRun(this.api, request, this.surroundings, signal);
    const refusal = await this.follower.consume(updates, emptySnapshot(request.run_id), signal);
    this.host.conversationsChanged();
    if (signal.aborted) return;
    if (refusal !== null) this.takeBack(request, before, refusal);
    else await this.ended(request.run_id);
  }

  /** The question is not asked: it stands again where it was typed. */
  private takeBack(request: RunRequest, before: readonly StoredMessage[], problem: string | null): void {
    this.received(request);
    this.set({ messages: before, problem, queuePaused: true });
    if (request.question !== undefined) this.giveBack(this.state.conversationId, request.question);
    this.host.remember(this.state.conversationId);
  }

  /** The server has said something to the request: it need not be kept any more. */
  private received(request: RunRequest): void {
    if (this.sending?.request === request) this.sending = null;
    this.queues.take(placeOf(request), request.run_id);
  }

  /** The questions that wait in a conversation, but for the one that is being sent. */
  private waiting(conversationId: string | null): readonly Queued[] {
    return this.queues.of(conversationId).filter(({ id }) => id !== this.sending?.request.run_id && !this.delivering.has(id));
  }

  private async ended(runId: string): Promise<void> {
    const answer = answerOf(this.state.messages, runId);
    if (answer) this.host.answered(answer.run);
    await this.askNext(answer);
  }

  /** After an answer that ended well the question that waits longest is asked; after any other, when the person says so. */
  private async askNext(last: StoredMessage | undefined): Promise<void> {
    this.set({ queuePaused: last?.role === "assistant" && last.run.state !== "finished" });
    // What another tab has sent meanwhile is its to ask.
    const first = this.state.queue.find(({ id, sent }) => !sent || this.inherited.has(id));
    if (first && !this.state.queuePaused) await this.askQueued(first.id);
  }

  /** Asks what was asked while the conversation was loading. Returns whether there was something. */
  private async askWanted(): Promise<boolean> {
    const { wanted } = this;
    this.wanted = null;
    if (wanted === null || !this.state.queue.some(({ id }) => id === wanted)) return false;
    await this.askQueued(wanted);
    return true;
  }

  /** Puts a run's state in its message, under the names that the server gave. Returns whether that is news. */
  private publish(snapshot: Snapshot): boolean {
    if (this.sending?.request.run_id === snapshot.run_id) this.received(this.sending.request);
    const was = answerOf(this.state.messages, snapshot.run_id);
    // The end always counts: after the server's death it stands at an earlier place than what was seen.
    if (!was || (snapshot.state === "running" && snapshot.seq < was.run.seq)) return false;
    const conversationId = this.state.conversationId ?? (snapshot.conversation_id || null);
    const isNew = this.state.conversationId === null && conversationId !== null;
    if (isNew) {
      this.queues.name(conversationId);
      this.desk.name(conversationId);
    }
    this.set({ ...withRun(this.state, was, snapshot), conversationId, queue: this.waiting(conversationId) });
    if (isNew) {
      this.host.remember(conversationId);
      this.host.conversationsChanged();
    }
    return true;
  }

  private contentLength(runId: string): number {
    return codePointLength(answerOf(this.state.messages, runId)?.run.message.content ?? "");
  }
}

/** One under the other, what there is of them. */
function joined(...texts: readonly (string | null | undefined)[]): string {
  return texts.filter((text) => text).join("\n\n");
}
