import { type Api, Refusal, type StoredDocument } from "../core/api";
import type { Surroundings } from "../core/reader";
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

/** A file that takes long to read is looked at again after so long, at first and at last. */
const FIRST_LOOK_MS = 2_000;
const LONGEST_LOOK_MS = 30_000;

/** Files that were added to the documents from this page. */
export class Uploads extends Store<{ files: readonly Upload[] }> {
  private readonly waiting: (() => Promise<void>)[] = [];
  private readonly aborts = new Map<string, AbortController>();
  private running = 0;
  private made = 0;
  private closed = false;

  constructor(
    private readonly api: Api,
    private readonly surroundings: Surroundings,
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

  /** Asks no more how far the reading is; what is being sent is sent. */
  close(): void {
    this.closed = true;
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
      this.show(id, await this.api.upload(file, onProgress, abort.signal), FIRST_LOOK_MS);
    } catch (error) {
      this.put(id, { state: "failed", reason: sentence(error) });
    } finally {
      this.aborts.delete(id);
    }
  }

  /** What has become of the file, and if it is still being read, what becomes of it. */
  private show(id: string, document: StoredDocument, delay: number): void {
    const { document_id: documentId, state, reason, remark } = document;
    if (state === "failed") this.put(id, { state, reason: reason ?? "" });
    else if (state === "ready") this.put(id, { state, ...(remark && { remark }) });
    else {
      this.put(id, { state: "reading" });
      this.surroundings.after(delay, () => void this.look(id, documentId, delay));
    }
    this.changed();
  }

  private async look(id: string, documentId: string, delay: number): Promise<void> {
    if (this.closed || !this.state.files.some((one) => one.id === id)) return;
    const next = Math.min(LONGEST_LOOK_MS, delay * 2);
    try {
      this.show(id, await this.api.documentState(documentId), next);
    } catch (error) {
      if (error instanceof Refusal) this.put(id, { state: "failed", reason: sentence(error) });
      else this.surroundings.after(next, () => void this.look(id, documentId, next));
    }
  }

  private put(id: string, change: Partial<Upload>): void {
    this.set({ files: this.state.files.map((file) => (file.id === id ? { ...file, ...change } : file)) });
  }
}
