import type { AssistantMessage } from "../core/api";
import type { Snapshot } from "../core/fold";
import type { Chat } from "./chat";
import type { Settings } from "./settings";
import { stepLabel } from "./step-label";
import type { Tongue } from "./strings";

const STATUS_INTERVAL_MS = 5_000;
const WORD = /[\p{L}\p{N}]+(?:['’.-][\p{L}\p{N}]+)*/gu;
const SAID_KEPT = 5;
/** A whole answer up to this length is read out, a longer one is summed up. */
const READ_OUT_CHARACTERS = 600;

/**
 * Speaks for a screen reader what the eye sees happen. The streamed words are no live region; this is the only one.
 *
 * Its two regions stand in the element from the start, and nothing else draws there. As set, it speaks each finished
 * paragraph, the end, or neither; steps as short statuses, not more often than every 5 s; failures at once.
 */
export class Announcer {
  private readonly polite: HTMLElement;
  private readonly assertive: HTMLElement;
  private followed: string | null = null;
  private phase = "";
  private stepSaidAt = -STATUS_INTERVAL_MS;
  private wasResuming = false;
  private isWhole = false;
  private summary = "";
  private lastProblem: string | null = null;

  constructor(
    root: ShadowRoot,
    private readonly chat: Chat,
    private readonly settings: Settings,
    public tongue: Tongue,
  ) {
    this.polite = region("status", "polite");
    this.assertive = region("alert", "assertive");
    root.append(this.polite, this.assertive);
  }

  /** Begins to watch the chat. Returns how to end. */
  watch(): () => void {
    return this.chat.subscribe(() => this.look());
  }

  /** A short status. */
  say(text: string): void {
    const paragraph = document.createElement("p");
    paragraph.textContent = text;
    this.polite.append(paragraph);
    while (this.polite.childElementCount > SAID_KEPT) this.polite.firstElementChild?.remove();
  }

  /** A paragraph of an answer is finished. Only what is written before the listener is news. */
  block(runId: string, text: string): void {
    if (this.settings.state.announcing === "paragraphs" && runId === this.followed) this.say(text);
  }

  /** All words of an answer are on screen: now its end may be told. */
  whole(runId: string): void {
    if (runId !== this.followed) return;
    this.isWhole = true;
    if (this.summary !== "") this.say(this.summary);
    this.summary = "";
  }

  private look(): void {
    const { state, path } = this.chat;
    const { t } = this.tongue;
    if (state.problem !== this.lastProblem) {
      this.lastProblem = state.problem;
      if (state.problem !== null) speak(this.assertive, state.problem);
    }
    if (state.following && state.following.runId !== this.followed) {
      this.followed = state.following.runId;
      this.phase = "";
      this.isWhole = false;
      this.summary = "";
      this.assertive.replaceChildren();
    }
    const resuming = state.following?.connection === "resuming";
    if (resuming && !this.wasResuming) this.say(t("say_resuming"));
    this.wasResuming = resuming;
    const last = path.findLast((message): message is AssistantMessage => message.role === "assistant");
    if (last && last.run.run_id === this.followed) this.lookAt(last.run);
  }

  private lookAt(run: Snapshot): void {
    const { t } = this.tongue;
    const { message } = run;
    const phase = run.state !== "running" ? run.state : message.content !== "" ? "words" : `step ${message.steps.length}`;
    if (phase === this.phase) return;
    this.phase = phase;
    switch (phase) {
      case "words":
        if (this.settings.state.announcing !== "off") this.say(t("say_answering"));
        return;
      case "finished":
        if (this.settings.state.announcing === "off") return;
        this.summary = this.summaryOf(run);
        if (this.isWhole) this.whole(run.run_id);
        return;
      case "stopped":
        this.summary = t("say_stopped");
        // What is on screen of it is still to be spoken.
        if (this.isWhole || message.content === "") this.whole(run.run_id);
        return;
      case "failed":
        speak(this.assertive, `${t("failed")} ${message.error?.message ?? ""}`);
        return;
      default: {
        const step = message.steps.at(-1);
        const now = performance.now();
        if (step === undefined || now - this.stepSaidAt < STATUS_INTERVAL_MS) return;
        this.stepSaidAt = now;
        this.say(stepLabel(step, t));
      }
    }
  }

  private summaryOf({ message }: Snapshot): string {
    const { t } = this.tongue;
    if (this.settings.state.announcing === "end" && message.content.length <= READ_OUT_CHARACTERS) {
      return spoken(message.content);
    }
    const words = message.content.match(WORD)?.length ?? 0;
    return t("say_ready", { words: t("words", { n: words }), sources: t("sources_count", { n: message.sources.length }) });
  }
}

function region(role: string, live: "polite" | "assertive"): HTMLElement {
  const element = document.createElement("div");
  element.className = "hidden";
  element.setAttribute("role", role);
  element.setAttribute("aria-live", live);
  // What is added is spoken, not all of it again.
  element.setAttribute("aria-atomic", "false");
  return element;
}

/** A new node each time: the same words again are news again. */
function speak(region: HTMLElement, text: string): void {
  const paragraph = document.createElement("p");
  paragraph.textContent = text;
  region.replaceChildren(paragraph);
}

/** Markdown without the signs that nobody wants to hear. */
function spoken(markdown: string): string {
  return markdown.replace(/[*_`#>|~]+/g, "").replace(/\[([^\]]*)\]\([^)]*\)/g, "$1");
}
