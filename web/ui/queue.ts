import type { RunRequest } from "../core/api";
import type { Keep } from "./keep";

/** A question that waits to be asked. Its id becomes that of its run, so that two tabs ask it once. */
export interface Queued {
  id: string;
  question: string;
  /** A page has sent it, as part of a request with this, and has not heard yet that the server has it. */
  sent?: Pick<RunRequest, "answer" | "options">;
}

const CONVERSATIONS_KEPT = 100;

/**
 * Waiting questions, conversation by conversation; null is the one that has no name yet. They outlive the page, but for
 * those of the nameless one, which is each tab's own. Nothing is changed in place.
 */
export class Queues {
  private nameless: readonly Queued[] = [];

  constructor(private readonly keep: Keep) {}

  of(conversationId: string | null): readonly Queued[] {
    if (conversationId === null) return this.nameless;
    const waiting = this.all()[conversationId];
    return Array.isArray(waiting) ? waiting.filter(isQueued) : [];
  }

  add(conversationId: string | null, ...queued: readonly Queued[]): void {
    if (queued.length > 0) this.put(conversationId, [...this.of(conversationId), ...queued]);
  }

  /** Puts it before all that waits there. */
  addFirst(conversationId: string, queued: Queued): void {
    this.put(conversationId, [queued, ...this.of(conversationId)]);
  }

  /** The conversations in which questions wait, but for the one without a name. */
  get places(): string[] {
    return Object.keys(this.all());
  }

  /** Takes it out; undefined when it is no longer there. */
  take(conversationId: string | null, id: string): Queued | undefined {
    const all = this.of(conversationId);
    this.put(
      conversationId,
      all.filter((one) => one.id !== id),
    );
    return all.find((one) => one.id === id);
  }

  /** Takes out all that waits in the conversation without a name. */
  takeNameless(): readonly Queued[] {
    const { nameless } = this;
    this.nameless = [];
    return nameless;
  }

  /** The new conversation has got its name. */
  name(conversationId: string): void {
    this.add(conversationId, ...this.takeNameless());
  }

  private put(conversationId: string | null, waiting: readonly Queued[]): void {
    if (conversationId === null) {
      this.nameless = waiting;
      return;
    }
    const { [conversationId]: _, ...others } = this.all();
    const entries = Object.entries(others).slice(1 - CONVERSATIONS_KEPT);
    this.keep.write("queues", Object.fromEntries(waiting.length > 0 ? [...entries, [conversationId, waiting]] : entries));
  }

  private all(): Partial<Record<string, unknown>> {
    const value = this.keep.read("queues");
    return typeof value === "object" && value !== null ? value : {};
  }
}

/** What storage holds may be of anyone's making. */
function isQueued(value: unknown): value is Queued {
  const { id, question } = (value ?? {}) as Partial<Record<keyof Queued, unknown>>;
  return typeof id === "string" && typeof question === "string";
}
