import type { Api, ConversationSummary } from "../core/api";
import type { Surroundings } from "../core/reader";
import { sentence } from "./sentence";
import { Store } from "./store";

export interface HistoryState {
  conversations: readonly ConversationSummary[];
  /** What is searched for, and what was found for it; null while nothing is. */
  words: string;
  found: readonly ConversationSummary[] | null;
  /** The last deleted conversation, as long as it can be brought back from here. */
  deleted: ConversationSummary | null;
}

const UNDO_MS = 15_000;
const TYPING_MS = 200;

/** The list of conversations. */
export class History extends Store<HistoryState> {
  private cancelSearch: () => void = () => undefined;
  private cancelUndo: () => void = () => undefined;

  constructor(
    private readonly api: Api,
    private readonly surroundings: Surroundings,
    private readonly report: (problem: string) => void,
  ) {
    super({ conversations: [], words: "", found: null, deleted: null });
  }

  async load(): Promise<void> {
    await this.attempt(async () => this.set({ conversations: await this.api.conversations() }));
  }

  /** Finds conversations by what was said in them, once the typing pauses. */
  search(words: string): void {
    this.cancelSearch();
    this.set({ words });
    if (words.trim() === "") {
      this.set({ found: null });
      return;
    }
    const abort = new AbortController();
    const cancelTimer = this.surroundings.after(TYPING_MS, () => void this.find(words.trim(), abort.signal));
    this.cancelSearch = () => {
      cancelTimer();
      abort.abort();
    };
  }

  async rename(id: string, title: string): Promise<void> {
    await this.attempt(async () => {
      await this.api.rename(id, title);
      await this.reload();
    });
  }

  /** Deletes a conversation; for a while it can be brought back. */
  async remove(conversation: ConversationSummary): Promise<boolean> {
    return this.attempt(async () => {
      await this.api.remove(conversation.conversation_id);
      const isOther = (one: ConversationSummary): boolean => one.conversation_id !== conversation.conversation_id;
      const { conversations, found } = this.state;
      this.set({
        conversations: conversations.filter(isOther),
        found: found?.filter(isOther) ?? null,
        deleted: conversation,
      });
      this.cancelUndo();
      this.cancelUndo = this.surroundings.after(UNDO_MS, () => this.set({ deleted: null }));
    });
  }

  async restore(): Promise<void> {
    const { deleted } = this.state;
    if (!deleted) return;
    this.cancelUndo();
    this.set({ deleted: null });
    await this.attempt(async () => {
      await this.api.restore(deleted.conversation_id);
      await this.reload();
    });
  }

  /** The list, and what was found in it. */
  private async reload(): Promise<void> {
    await this.load();
    const words = this.state.words.trim();
    if (words === "") return;
    this.cancelSearch();
    const abort = new AbortController();
    this.cancelSearch = () => abort.abort();
    await this.find(words, abort.signal);
  }

  private async find(words: string, signal: AbortSignal): Promise<void> {
    try {
      const found = await this.api.conversations(words, signal);
      if (!signal.aborted) this.set({ found });
    } catch (error) {
      if (!signal.aborted) this.report(sentence(error));
    }
  }

  private async attempt(action: () => Promise<void>): Promise<boolean> {
    try {
      await action();
      return true;
    } catch (error) {
      this.report(sentence(error));
      return false;
    }
  }
}
