/** A state that tells its listeners of each change. It knows no DOM. */
export class Store<State> {
  private readonly listeners = new Set<() => void>();

  constructor(public state: State) {}

  /** Returns how to stop listening. */
  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  protected set(change: Partial<State>): void {
    this.state = { ...this.state, ...change };
    for (const listener of this.listeners) listener();
  }
}
