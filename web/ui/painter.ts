import { codePointLength } from "../core/codepoints";
import type { SourceFields } from "../core/events";
import type { Message } from "../core/fold";
import type { Labels } from "../core/markdown/pieces";
import { goesOn, MarkdownView } from "../core/markdown/view";
import { Pacer, type Pacing } from "../core/pacer";
import { citationMark } from "./citation";
import { COPIED_MS, copyText } from "./clipboard";
import { IconPath, svgIcon } from "./icons";
import type { Painting } from "./settings";
import type { Translate } from "./strings";
import { beforePaint } from "./surroundings";
import type { Ui } from "./ui";

const PACING: Record<Painting, Pacing> = { smooth: "smooth", realtime: "realtime", whole: "off" };

interface Told {
  /** A block was finished before the reader's eyes; its words as they are to be read out. */
  onBlock: (spoken: string) => void;
  /** The whole answer is on screen. */
  onWhole: () => void;
}

type Shown = Pick<Message, "content" | "citations" | "sources">;

/** Paints one run's words into one element, which is its own: paced, as nodes, with their citations. */
export class Painter {
  private readonly pacer: Pacer;
  private readonly view: MarkdownView;
  private shown: Shown = { content: "", citations: [], sources: [] };
  private isFirst = true;
  private isReplayed = false;
  private isOver = false;
  private readonly motion = matchMedia("(prefers-reduced-motion: reduce)");

  constructor(
    target: HTMLElement,
    private readonly ui: Pick<Ui, "t" | "showSource" | "announcer" | "chat">,
    private readonly told: Told,
  ) {
    target.replaceChildren();
    this.view = new MarkdownView(target, {
      labels: labelsOf(ui.t),
      citation: ({ n, page }) => {
        const source = this.shown.sources.find((one: SourceFields) => one.n === n);
        return source ? citationMark(source, page, ui) : null;
      },
      onBlock: (block) => {
        if (block.matches(".code")) block.append(this.copyButton(block));
        if (!this.isReplayed) this.told.onBlock(spoken(block, ui.t));
      },
    });
    this.pacer = new Pacer({ now: () => performance.now(), nextFrame: beforePaint }, () => this.paint());
    this.look();
    this.motion.addEventListener("change", this.look);
    document.addEventListener("visibilitychange", this.look);
  }

  set painting(painting: Painting) {
    this.pacer.pacing = PACING[painting];
  }

  /** Code points of the answer that are on screen. */
  get painted(): number {
    return codePointLength(this.pacer.text.slice(0, this.pacer.revealed));
  }

  /** Shows a message as it is by now: what is new of its words is paced, what is `past` comes at once. */
  show(message: Shown, ended: boolean, past = false): void {
    const { text } = this.pacer;
    const { content } = message;
    this.shown = message;
    if (past || this.isFirst || !goesOn(content, text) || (ended && this.isOver)) {
      this.isReplayed = true;
      this.pacer.replay(content);
      this.isReplayed = false;
    } else {
      this.pacer.append(content.slice(text.length));
    }
    this.isReplayed = this.isFirst && ended;
    this.isFirst = false;
    if (ended) this.pacer.end();
    this.isReplayed = false;
    this.paint();
  }

  close(): void {
    this.pacer.stop();
    this.motion.removeEventListener("change", this.look);
    document.removeEventListener("visibilitychange", this.look);
  }

  private readonly look = (): void => {
    this.pacer.reducedMotion = this.motion.matches;
    this.pacer.hidden = document.hidden;
  };

  private paint(): void {
    const whole = this.pacer.finished;
    this.view.update(this.pacer.text.slice(0, this.pacer.revealed), whole, this.shown.citations);
    if (whole && !this.isOver) {
      this.isOver = true;
      this.told.onWhole();
    }
  }

  private copyButton(block: Element): HTMLButtonElement {
    const { t } = this.ui;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "icon-button copy-code";
    button.setAttribute("aria-label", t("copy_code"));
    button.title = t("copy_code");
    button.append(svgIcon(IconPath.copy));
    button.addEventListener("click", () => {
      void copyText(block.querySelector("code")?.textContent ?? "", this.ui).then((isCopied) => {
        if (!isCopied) return;
        button.replaceChildren(svgIcon(IconPath.check));
        setTimeout(() => button.replaceChildren(svgIcon(IconPath.copy)), COPIED_MS);
      });
    });
    return button;
  }
}

/** What the page itself says around Markdown. */
export function labelsOf(t: Translate): Labels {
  return {
    table: t("table"),
    task: (done) => t(done ? "task_done" : "task_open"),
    code: (language) => (language ? t("code_in", { language }) : t("code")),
    image: (name, place) => t(name ? "image_named" : "image", { name, place }),
  };
}

/** A block's words as they are read out: without its citations, code and tables only by their size. */
function spoken(block: Element, t: Translate): string {
  const code = block.querySelector("pre > code");
  if (block.matches(".code") && code) {
    const lines = code.textContent.trimEnd().split("\n").length;
    return `${block.querySelector("pre")?.getAttribute("aria-label") ?? ""}, ${t("lines", { n: lines })}`;
  }
  const table = block.querySelector("table");
  if (table) return `${t("table")}, ${t("rows", { n: table.rows.length })}`;
  const words: string[] = [];
  const texts = document.createTreeWalker(block, NodeFilter.SHOW_TEXT);
  for (let node = texts.nextNode(); node; node = texts.nextNode()) {
    if (!node.parentElement?.closest("button")) words.push(node.textContent ?? "");
  }
  return words.join("").replace(/\s+/g, " ").trim();
}
