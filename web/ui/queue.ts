/** A question that waits until the answer before it is done. */
export interface Queued {
  id: string;
  question: string;
}

/** Waiting questions, conversation by conversation; "" is the one that has no name yet. Nothing is changed in place. */
export class Queues {
  private readonly waiting = new Map<string, readonly Queued[]>();
  private made = 0;

  of(conversationId: string | null): readonly Queued[] {
    return this.waiting.get(conversationId ?? "") ?? [];
  }

  add(conversationId: string | null, question: string): void {
    this.waiting.set(conversationId ?? "", [...this.of(conversationId), { id: `queued-${++this.made}`, question }]);
  }

  /** Takes it out; undefined when it is no longer there. */
  take(conversationId: string | null, id: string): Queued | undefined {
    const all = this.of(conversationId);
    this.waiting.set(
      conversationId ?? "",
      all.filter((one) => one.id !== id),
    );
    return all.find((one) => one.id === id);
  }

  /** The new conversation has got its name. */
  name(conversationId: string): void {
    const nameless = this.of(null);
    if (nameless.length > 0) this.waiting.set(conversationId, [...this.of(conversationId), ...nameless]);
    this.waiting.delete("");
  }
}
