import type { Emitter, LanguageFn } from "highlight.js";
import highlighter from "highlight.js/lib/core";

/** A piece of code and what it is (`keyword`, `string` …); null when nothing is to be said of it. */
export interface Span {
  text: string;
  scope: string | null;
}

type Load = () => Promise<{ default: LanguageFn }>;

const LANGUAGES: Record<string, Load> = {
  bash: () => import("highlight.js/lib/languages/bash"),
  c: () => import("highlight.js/lib/languages/c"),
  cpp: () => import("highlight.js/lib/languages/cpp"),
  csharp: () => import("highlight.js/lib/languages/csharp"),
  css: () => import("highlight.js/lib/languages/css"),
  diff: () => import("highlight.js/lib/languages/diff"),
  dockerfile: () => import("highlight.js/lib/languages/dockerfile"),
  go: () => import("highlight.js/lib/languages/go"),
  ini: () => import("highlight.js/lib/languages/ini"),
  java: () => import("highlight.js/lib/languages/java"),
  javascript: () => import("highlight.js/lib/languages/javascript"),
  json: () => import("highlight.js/lib/languages/json"),
  kotlin: () => import("highlight.js/lib/languages/kotlin"),
  php: () => import("highlight.js/lib/languages/php"),
  powershell: () => import("highlight.js/lib/languages/powershell"),
  python: () => import("highlight.js/lib/languages/python"),
  ruby: () => import("highlight.js/lib/languages/ruby"),
  rust: () => import("highlight.js/lib/languages/rust"),
  sql: () => import("highlight.js/lib/languages/sql"),
  swift: () => import("highlight.js/lib/languages/swift"),
  typescript: () => import("highlight.js/lib/languages/typescript"),
  xml: () => import("highlight.js/lib/languages/xml"),
  yaml: () => import("highlight.js/lib/languages/yaml"),
};
const ALIASES: Record<string, string> = {
  "c#": "csharp",
  "c++": "cpp",
  console: "bash",
  cs: "csharp",
  docker: "dockerfile",
  golang: "go",
  html: "xml",
  js: "javascript",
  jsx: "javascript",
  ps1: "powershell",
  py: "python",
  rb: "ruby",
  rs: "rust",
  sh: "bash",
  shell: "bash",
  svg: "xml",
  toml: "ini",
  ts: "typescript",
  tsx: "typescript",
  yml: "yaml",
  zsh: "bash",
};

/** Collects pieces where highlight.js would write HTML. */
class Spans implements Emitter {
  private readonly list: Span[] = [];
  private readonly scopes: string[] = [];

  addText(text: string): void {
    const scope = this.scopes.at(-1) ?? null;
    const last = this.list.at(-1);
    if (last?.scope === scope) last.text += text;
    else if (text !== "") this.list.push({ text, scope });
  }

  startScope(name: string): void {
    this.scopes.push(name.split(".")[0] ?? name);
  }

  endScope(): void {
    this.scopes.pop();
  }

  openNode(name: string): void {
    this.startScope(name);
  }

  closeNode(): void {
    this.endScope();
  }

  __addSublanguage(emitter: Emitter): void {
    for (const { text, scope } of spansIn(emitter)) {
      if (scope !== null) this.startScope(scope);
      this.addText(text);
      if (scope !== null) this.endScope();
    }
  }

  get all(): readonly Span[] {
    return this.list;
  }

  finalize(): void {
    this.scopes.length = 0;
  }

  toHTML(): string {
    return "";
  }
}

function spansIn(emitter: Emitter): readonly Span[] {
  return emitter instanceof Spans ? emitter.all : [];
}

highlighter.configure({ __emitter: Spans });

/** The pieces of `code`; null when the language is not known. Throws when it cannot be loaded. */
export async function spansOf(code: string, language: string): Promise<Span[] | null> {
  const name = ALIASES[language] ?? language;
  const load = Object.hasOwn(LANGUAGES, name) ? LANGUAGES[name] : undefined;
  if (!load) return null;
  if (!highlighter.getLanguage(name)) highlighter.registerLanguage(name, (await load()).default);
  return [...spansIn(highlighter.highlight(code, { language: name, ignoreIllegals: true })._emitter)];
}
