import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { Composer } from "./composer";
import { Conversations } from "./conversations";
import { goRound, keepFocus } from "./focus";
import { Icon, IconButton } from "./icons";
import { isKey } from "./keys";
import { Panel } from "./panel";
import { Preferences } from "./preferences";
import { Transcript } from "./transcript";
import { type Shown, type Ui, UiContext, useStore } from "./ui";

/** Up to this width, in CSS pixels, the list and the source lie over the chat instead of beside it. */
const NARROW_PX = 800;
const MEDIUM_PX = 1180;

const PAGE_TAGS = ["header", "h1", "main"] as const;
const CHAT_TAGS = ["div", "h2", "section"] as const;

interface Props {
  parts: Omit<Ui, "showSource" | "focusQuestion">;
  /** The whole application with its list of conversations, or the chat alone. */
  layout: "page" | "chat";
  onSource: (shown: Shown) => void;
}

export function App({ parts, layout, onSource }: Props): JSX.Element {
  const { chat, history, root, uploads, t } = parts;
  const { conversationId, following } = useStore(chat);
  const { conversations } = useStore(history);
  const [shown, setShown] = useState<Shown | null>(null);
  const [listOpen, setListOpen] = useState(false);
  const [preferences, setPreferences] = useState(false);
  const [dropping, setDropping] = useState(false);
  const frame = useRef<HTMLDivElement>(null);
  const opener = useRef<HTMLDivElement>(null);
  const size = useSize(frame);
  const title = conversations.find((one) => one.conversation_id === conversationId)?.title;

  const ui = useMemo<Ui>(
    () => ({
      ...parts,
      showSource(next) {
        setShown(next);
        if (next) onSource(next);
      },
      focusQuestion: () => root.getElementById("question")?.focus(),
    }),
    [parts, root, onSource],
  );

  const unseen = useUnseenEnd(following !== null);
  useEffect(() => {
    if (layout === "page") document.title = `${unseen ? "● " : ""}${title ? `${title} · ` : ""}Millstream`;
  }, [layout, title, unseen]);
  useEffect(() => setShown(null), [conversationId]);

  useEffect(() => keepFocus(root), [root]);
  // What has opened a part that covers the chat can have the focus only after that is gone.
  const back = useRef<HTMLElement | null>(null);
  useLayoutEffect(() => {
    back.current?.focus();
    back.current = null;
  }, [listOpen, shown]);
  const closeList = (): void => {
    back.current = opener.current?.querySelector("button") ?? null;
    setListOpen(false);
  };
  const closeSource = (): void => {
    back.current = shown?.from ?? null;
    setShown(null);
  };
  // In somebody else's page the title and the main part are theirs.
  const [Bar, Title, Main] = layout === "page" ? PAGE_TAGS : CHAT_TAGS;
  const isNarrow = size === "narrow";
  const covered = isNarrow && (listOpen || shown !== null);

  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.defaultPrevented) return;
    const modal = frame.current?.querySelector("[aria-modal]");
    if (modal && isKey(event, "Tab")) goRound(event, modal);
    if (!isKey(event, "Escape")) return;
    if (isNarrow && listOpen) closeList();
    else if (isNarrow && shown) closeSource();
    else void chat.stop();
    event.preventDefault();
  };
  // On the whole page the keys work even when nothing has the focus.
  useEffect(() => {
    if (layout !== "page") return;
    const onBody = (event: KeyboardEvent): void => {
      if (event.target === document.body) onKeyDown(event);
    };
    document.addEventListener("keydown", onBody);
    return () => document.removeEventListener("keydown", onBody);
  });

  return (
    <UiContext.Provider value={ui}>
      <div
        ref={frame}
        class={`app ${size}${layout === "page" ? " page" : ""}${shown ? " with-panel" : ""}`}
        lang={ui.language}
        dir={ui.direction}
        onKeyDown={onKeyDown}
        onDragOver={(event) => {
          if (!event.dataTransfer?.types.includes("Files")) return;
          event.preventDefault();
          setDropping(true);
        }}
        onDragLeave={(event) => {
          if (event.relatedTarget === null || !frame.current?.contains(event.relatedTarget as Node)) setDropping(false);
        }}
        onDrop={(event) => {
          if (!event.dataTransfer?.files.length) return;
          event.preventDefault();
          setDropping(false);
          uploads.add(event.dataTransfer.files);
        }}
      >
        {layout === "page" && (
          <nav class="skip" inert={covered} aria-label={t("skip")}>
            <button type="button" onClick={ui.focusQuestion}>
              {t("skip_to_question")}
            </button>
          </nav>
        )}
        {layout === "page" && (
          <Conversations
            open={listOpen && isNarrow}
            inert={!listOpen && isNarrow}
            onClose={closeList}
            onChosen={() => setListOpen(false)}
            onSettings={() => setPreferences(true)}
          />
        )}
        <div class="chat" inert={covered}>
          <Bar class="bar" part="bar">
            {layout === "page" && (
              <div class="only-narrow" ref={opener}>
                <IconButton
                  icon="menu"
                  name={t("conversations")}
                  expanded={listOpen}
                  controls="conversations"
                  onClick={() => setListOpen(!listOpen)}
                />
              </div>
            )}
            <Title dir="auto">{title ?? t("new_conversation")}</Title>
            <div class={layout === "page" ? "only-narrow" : undefined}>
              <IconButton
                icon="plus"
                name={t("new_conversation")}
                onClick={() => {
                  void chat.open(null);
                  ui.focusQuestion();
                }}
              />
            </div>
          </Bar>
          <Main class="main" aria-label={layout === "page" ? undefined : t("conversation")}>
            <Transcript />
            <div class="composer-frame">
              <Composer onOptions={() => setPreferences(true)} />
            </div>
          </Main>
        </div>
        {shown && <Panel shown={shown} covers={isNarrow} onClose={closeSource} />}
        {preferences && <Preferences onClose={() => setPreferences(false)} />}
        {dropping && (
          <div class="drop" aria-hidden="true">
            <p>
              <Icon name="clip" />
              {t("drop_here")}
            </p>
          </div>
        )}
      </div>
    </UiContext.Provider>
  );
}

/** Whether an answer has ended while nobody looked at the page. */
function useUnseenEnd(answering: boolean): boolean {
  const [unseen, setUnseen] = useState(false);
  const was = useRef(answering);
  useEffect(() => {
    if (was.current && !answering && document.hidden) setUnseen(true);
    was.current = answering;
  }, [answering]);
  useEffect(() => {
    const look = (): void => {
      if (!document.hidden) setUnseen(false);
    };
    document.addEventListener("visibilitychange", look);
    return () => document.removeEventListener("visibilitychange", look);
  }, []);
  return unseen;
}

/** How much room there is; the element's own width counts, not the window's. */
function useSize(frame: { current: HTMLElement | null }): "narrow" | "medium" | "wide" {
  const [width, setWidth] = useState(Infinity);
  useLayoutEffect(() => {
    if (!frame.current) return;
    setWidth(frame.current.clientWidth);
    const sizes = new ResizeObserver(() => setWidth(frame.current?.clientWidth ?? Infinity));
    sizes.observe(frame.current);
    return () => sizes.disconnect();
  }, [frame]);
  return width <= NARROW_PX ? "narrow" : width <= MEDIUM_PX ? "medium" : "wide";
}
