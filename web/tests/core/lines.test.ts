import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LineSplitter, SseSplitter } from "../../core/lines";
import { inPieces } from "./pieces";

function split(bytes: Uint8Array, cuts: number[]): { lines: string[]; unfinished: boolean } {
  const splitter = new LineSplitter();
  const lines = inPieces(bytes, cuts).flatMap((piece) => splitter.feed(piece));
  return { lines, unfinished: splitter.unfinished };
}

describe("LineSplitter", () => {
  it("gives the same lines however the bytes are cut, characters cut in two included", () => {
    const text = fc.array(fc.string({ unit: "grapheme" }).map((line) => line.replaceAll("\n", "")));
    fc.assert(
      fc.property(text, fc.array(fc.nat(400)), (lines, cuts) => {
        const bytes = new TextEncoder().encode(lines.map((line) => line + "\n").join(""));
        expect(split(bytes, cuts)).toEqual({ lines, unfinished: false });
      }),
    );
  });

  it("gives a character back whole when every byte comes alone", () => {
    const bytes = new TextEncoder().encode("naïve 🌊 水\n");
    expect(split(bytes, [...bytes.keys()]).lines).toEqual(["naïve 🌊 水"]);
  });

  it("keeps an unfinished line to itself and says so", () => {
    expect(split(new TextEncoder().encode('{"a":1}\n{"b'), [3])).toEqual({ lines: ['{"a":1}'], unfinished: true });
  });

  it("does not take U+2028 or a carriage return for a line end", () => {
    expect(split(new TextEncoder().encode("a\u2028b\rc\n"), []).lines).toEqual(["a\u2028b\rc"]);
  });

  it("copies a long line in small pieces once", () => {
    const splitter = new LineSplitter();
    const piece = new TextEncoder().encode("x".repeat(10));
    for (let i = 0; i < 200_000; i++) splitter.feed(piece);
    expect(splitter.feed(new TextEncoder().encode("\n"))[0]).toHaveLength(2_000_000);
  });
});

describe("SseSplitter", () => {
  it("gives the data of each event, however the bytes are cut", () => {
    const events = fc.array(fc.string({ unit: "grapheme", minLength: 1 }).map((data) => data.replaceAll(/[\r\n]/g, " ")));
    fc.assert(
      fc.property(events, fc.array(fc.nat(400)), (data, cuts) => {
        const written = data.map((one, i) => `: ping\nid: ${i}\ndata: ${one}\n\n`).join("");
        const splitter = new SseSplitter();
        const pieces = inPieces(new TextEncoder().encode(written), cuts);
        expect(pieces.flatMap((piece) => splitter.feed(piece))).toEqual(data);
      }),
    );
  });

  it("reads what the specification allows besides", () => {
    const splitter = new SseSplitter();
    const written = "\nevent: x\ndata:one\ndata: two\n\n:\n\nid: 3\n\ndata: three\r\n\r\ndata: cut";
    expect(splitter.feed(new TextEncoder().encode(written))).toEqual(["one\ntwo", "three"]);
  });
});
