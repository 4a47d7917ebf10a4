import type { Api } from "../core/api";
import { sentence } from "./sentence";
import { Store } from "./store";

/** A file on its way into the documents. */
export interface Upload {
  id: string;
  name: string;
  state: "sending" | "reading" | "ready" | "failed";
  /** Of the sending, 0 to 1. */
  sent: number;
  reason?: string;
  /** What of it could not be read. */
  remark?: string;
}

/** At this many at a time the rest of the page stays quick. */
const AT_A_TIME = 3;

/** Files that were added to the documents from this page. */
export class Uploads extends Store<{ files: readonly Upload[] }> {
  private readonly waiting: (() => Promise<void>)[] = [];
  private readonly aborts = new Map<string, AbortController>();
  private running = 0;
  private made = 0;

  constructor(
    private readonly api: Api,
    private readonly changed: () => void,
  ) {
    super({ files: [] });
  }

  add(files: Iterable<File>): void {
    for (const file of files) {
      const id = `upload-${++this.made}`;
      this.set({ files: [...this.state.files, { id, name: file.name, state: "sending", sent: 0 }] });
      this.waiting.push(() => this.send(id, file));
    }
    this.next();
  }

  /** Takes it off the list; one that is being sent is given up. */
  dismiss(id: string): void {
    this.aborts.get(id)?.abort(new DOMException("Given up.", "AbortError"));
    this.set({ files: this.state.files.filter((file) => file.id !== id) });
  }

  private next(): void {
    while (this.running < AT_A_TIME) {
      const send = this.waiting.shift();
      if (!send) return;
      this.running++;
      void send().finally(() => {
        this.running--;
        this.next();
      });
    }
  }

  private async send(id: string, file: File): Promise<void> {
    if (!this.state.files.some((one) => one.id === id)) return;
    const abort = new AbortController();
    this.aborts.set(id, abort);
    try {
      const onProgress = (sent: number): void => this.put(id, { sent, state: sent < 1 ? "sending" : "reading" });
      const document = await this.api.upload(file, onProgress, abort.signal);
      const { remark } = document;
      if (document.state === "failed") this.put(id, { state: "failed", reason: document.reason ?? "" });
      else this.put(id, { state: document.state === "ready" ? "ready" : "reading", ...(remark && { remark }) });
      this.changed();
    } catch (error) {
      this.put(id, { state: "failed", reason: sentence(error) });
    } finally {
      this.aborts.delete(id);
    }
  }

  private put(id: string, change: Partial<Upload>): void {
    this.set({ files: this.state.files.map((file) => (file.id === id ? { ...file, ...change } : file)) });
  }
}
