const NEWLINE = 0x0a;

/**
 * Bytes in any pieces in, whole lines out, in linear time.
 *
 * It cuts at the byte 0x0A, which is never part of a longer UTF-8 sequence, and decodes whole lines only: a character
 * cut in two by the network is joined before it is read. The pieces of an unfinished line are kept as they came, so a
 * long line in many pieces is copied once.
 */
export class LineSplitter {
  private readonly decoder = new TextDecoder();
  private pieces: Uint8Array[] = [];
  private length = 0;

  /** The lines that `bytes` completes, without their line ends. */
  feed(bytes: Uint8Array): string[] {
    const lines: string[] = [];
    let from = 0;
    for (;;) {
      const end = bytes.indexOf(NEWLINE, from);
      if (end === -1) break;
      this.keep(bytes.subarray(from, end));
      lines.push(this.take());
      from = end + 1;
    }
    if (from < bytes.length) this.keep(bytes.subarray(from));
    return lines;
  }

  /** Whether bytes of an unfinished line wait: at the end of a stream that means it was cut. */
  get unfinished(): boolean {
    return this.length > 0;
  }

  private keep(piece: Uint8Array): void {
    if (piece.length === 0) return;
    this.pieces.push(piece);
    this.length += piece.length;
  }

  private take(): string {
    const [only] = this.pieces;
    let line = only;
    if (this.pieces.length !== 1) {
      line = new Uint8Array(this.length);
      let at = 0;
      for (const piece of this.pieces) {
        line.set(piece, at);
        at += piece.length;
      }
    }
    this.pieces = [];
    this.length = 0;
    return this.decoder.decode(line);
  }
}

/** WHATWG server-sent events in, their `data` out. A comment or an event without data gives nothing. */
export class SseSplitter {
  private readonly lines = new LineSplitter();
  private data: string[] = [];

  /** The data of the events that `bytes` completes. */
  feed(bytes: Uint8Array): string[] {
    const complete: string[] = [];
    for (const ended of this.lines.feed(bytes)) {
      const line = ended.endsWith("\r") ? ended.slice(0, -1) : ended;
      if (line === "" && this.data.length > 0) complete.push(this.data.splice(0).join("\n"));
      else if (line.startsWith("data:")) this.data.push(line.slice(line[5] === " " ? 6 : 5));
    }
    return complete;
  }
}
