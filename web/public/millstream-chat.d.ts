/** A passage that an answer may rest on. Pages are 1-based. */
export interface MillstreamSource {
  n: number;
  document_id: string;
  title: string;
  uri: string;
  snippet: string;
  page_start?: number;
  page_end?: number;
}

/**
 * `<millstream-chat endpoint="https://chat.example/">`
 *
 * Attributes: `endpoint` (where Millstream is mounted; the page's own address when absent), `layout` (`chat`, or `page`
 * with the list of conversations and the address), `conversation` (the one to begin with), and where a person's own
 * settings begin: `theme` (`auto`, `light`, `dark`), `lang`, `words` (`smooth`, `realtime`, `whole`), `announce`
 * (`paragraphs`, `end`, `off`).
 */
export interface MillstreamChatElement extends HTMLElement {
  endpoint: string;
  /** Sent along with each request, as a token that says who asks. */
  headers: Readonly<Record<string, string>>;
  /** The shown conversation; null before the first answer began. */
  readonly conversationId: string | null;
  /** Asks; while an answer is being made, or the conversation loaded, it waits for that. Settles when answered or waiting. */
  ask(question: string): Promise<void>;
  /** Stops the answer that is being made at what is on screen. */
  stop(): Promise<void>;
  /** Shows a conversation, or an empty one for null. */
  open(conversationId: string | null): Promise<void>;
}

export interface MillstreamEvents {
  /** Another conversation is shown, or the new one has got its name. */
  "millstream-conversation": CustomEvent<{ conversationId: string | null }>;
  /** An answer ended. */
  "millstream-answer": CustomEvent<{
    runId: string;
    conversationId: string;
    state: "finished" | "stopped" | "failed";
    /** Markdown. */
    content: string;
    sources: readonly MillstreamSource[];
  }>;
  /** A source was opened. */
  "millstream-source": CustomEvent<MillstreamSource>;
}

declare global {
  interface HTMLElementTagNameMap {
    "millstream-chat": MillstreamChatElement;
  }
  // eslint-disable-next-line @typescript-eslint/no-empty-object-type -- only an interface can be merged
  interface HTMLElementEventMap extends MillstreamEvents {}
}
