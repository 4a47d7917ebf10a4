import type { RunRequest, ServerStatus } from "../core/api";
import type { Keep } from "./keep";

export type Effort = "minimal" | "low" | "medium" | "high";

/** How a conversation's questions are to be answered; what is absent is the server's default. */
export interface Options {
  /** The name of a registered answer. */
  answer?: string;
  sources?: number;
  temperature?: number;
  effort?: Effort;
}

export const EFFORTS: readonly Effort[] = ["minimal", "low", "medium", "high"];

/** The part of a request that these options make. What was kept may be beyond what the operator allows by now. */
export function requestOf(
  { answer, sources, temperature, effort }: Options,
  bounds?: ServerStatus["options"],
): Pick<RunRequest, "answer" | "options"> {
  const options = {
    ...(sources !== undefined && { sources: nearest(sources, bounds?.sources) }),
    ...(temperature !== undefined && { temperature: nearest(temperature, bounds?.temperature) }),
    ...(effort !== undefined && bounds?.efforts.includes(effort) !== false && { reasoning_effort: effort }),
  };
  return { ...(answer !== undefined && { answer }), ...(Object.keys(options).length > 0 && { options }) };
}

/** `value`, or the bound that it is beyond. */
export function nearest(value: number, bounds: readonly [number, number] = [-Infinity, Infinity]): number {
  return Math.min(bounds[1], Math.max(bounds[0], value));
}

/** What is kept for a conversation while it is out of sight. */
export interface Kept {
  draft?: string;
  options?: Options;
}

const CONVERSATIONS_KEPT = 100;

/** Drafts and options by conversation, the last hundred of them; "" is the one that has no name yet. */
export class Desk {
  constructor(private readonly keep: Keep) {}

  of(conversationId: string | null): Kept {
    return this.all()[conversationId ?? ""] ?? {};
  }

  put(conversationId: string | null, change: Kept): void {
    const id = conversationId ?? "";
    const { [id]: was, ...others } = this.all();
    const now = { ...was, ...change };
    if (!now.draft) delete now.draft;
    const empty = now.draft === undefined && Object.keys(now.options ?? {}).length === 0;
    const entries = Object.entries(others).slice(1 - CONVERSATIONS_KEPT);
    this.keep.write("desk", Object.fromEntries(empty ? entries : [...entries, [id, now]]));
  }

  /** The new conversation has got its name: it takes along what was kept for it. */
  name(conversationId: string): void {
    const nameless = this.of(null);
    this.put(null, { draft: "", options: {} });
    this.put(conversationId, { ...this.of(conversationId), ...nameless });
  }

  private all(): Partial<Record<string, Kept>> {
    const value = this.keep.read("desk");
    return typeof value === "object" && value !== null ? value : {};
  }
}
