import type { Token } from "markdown-it";
import { parseBlocks, type References } from "./parser";

/** A part of the document that begins with a block, cut in its top-level blocks. */
export class Parsed {
  readonly blocks: readonly { tokens: Token[]; start: number; end: number; isDefinition: boolean }[];
  readonly starts: number[];
  readonly references: References;

  constructor(
    readonly text: string,
    readonly origin: number,
    private readonly known: References,
  ) {
    this.references = { ...known };
    const starts = (this.starts = lineStarts(text));
    this.blocks = topLevel(parseBlocks(text, this.references)).map((tokens) => {
      const [first, end] = tokens[0]?.map ?? [0, 0];
      const isDefinition = tokens[0]?.type === "reference_definition";
      return { tokens, start: starts[first] ?? text.length, end: starts[end] ?? text.length, isDefinition };
    });
  }

  /** How many of the blocks nothing that comes can change: the first line of the one behind is whole. */
  get finished(): number {
    const last = this.blocks.at(-1);
    return last && this.text.includes("\n", last.start) ? this.blocks.length - 1 : 0;
  }

  get hasDefinitions(): boolean {
    return Object.keys(this.references).length > Object.keys(this.known).length;
  }
}

/** Cuts tokens into those of each top-level block. */
function topLevel(tokens: readonly Token[]): Token[][] {
  const blocks: Token[][] = [];
  let depth = 0;
  for (const token of tokens) {
    if (depth === 0) blocks.push([]);
    blocks.at(-1)?.push(token);
    depth += token.nesting;
  }
  return blocks;
}

/** Where each line of `text` begins. */
function lineStarts(text: string): number[] {
  const starts = [0];
  for (const { index, 0: end } of text.matchAll(/\r\n?|\n/g)) starts.push(index + end.length);
  return starts;
}
