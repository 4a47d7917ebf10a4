import type { ComponentChildren, JSX } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { ConversationSummary } from "../core/api";
import { exportConversation } from "./export";
import { firstIn } from "./focus";
import { Icon, IconButton } from "./icons";
import { isKey } from "./keys";
import { useStore, useUi } from "./ui";

interface Props {
  open: boolean;
  /** It lies hidden until it is opened. */
  inert: boolean;
  onClose: () => void;
  /** A conversation was chosen. */
  onChosen: () => void;
  onSettings: () => void;
}

/** The list beside the chat; where there is little room it lies over it while `open`. */
export function Conversations({ open, inert, onClose, onChosen, onSettings }: Props): JSX.Element {
  const { chat, history, t, announcer, focusQuestion } = useUi();
  const { conversationId, status } = chat.state;
  const { conversations, words, found, deleted } = useStore(history);
  const shown = found ?? conversations;
  const show = (id: string | null): void => {
    void chat.open(id);
    onChosen();
    focusQuestion();
  };
  useEffect(() => {
    if (found?.length === 0) announcer.say(t("nothing_found"));
  }, [found]);
  const restore = async (id: string): Promise<void> => {
    await history.restore();
    if (id === chat.state.conversationId) await chat.open(id);
  };
  const list = useRef<HTMLElement>(null);
  useLayoutEffect(() => {
    if (open) firstIn(list.current)?.focus();
  }, [open]);
  return (
    <div class="side-frame" inert={inert} {...(open && { role: "dialog", "aria-modal": true, "aria-label": t("conversations") })}>
      <nav ref={list} id="conversations" class={open ? "side side-open" : "side"} part="conversations" aria-label={t("conversations")}>
        <div class="side-head">
          <span class="brand">
            <Mark />
            Millstream
          </span>
          <IconButton icon="close" class="only-narrow" name={t("close_list")} onClick={onClose} />
        </div>
        <button type="button" class="wide-button" onClick={() => show(null)}>
          <Icon name="plus" />
          {t("new_conversation")}
        </button>
        <label class="search">
          <span class="hidden">{t("search_label")}</span>
          <Icon name="search" />
          <input
            type="search"
            value={words}
            maxLength={200}
            placeholder={t("search")}
            onInput={(event) => history.search(event.currentTarget.value)}
            onKeyDown={(event) => {
              if (!isKey(event, "Escape") || words === "") return;
              event.preventDefault();
              history.search("");
            }}
          />
        </label>
        {shown.length === 0 ? (
          <p class="quiet side-empty">{found ? t("nothing_found") : t("no_conversations")}</p>
        ) : (
          <ul class="conversations">
            {shown.map((one) => (
              <Entry
                key={one.conversation_id}
                one={one}
                current={one.conversation_id === conversationId}
                onOpen={() => show(one.conversation_id)}
              />
            ))}
          </ul>
        )}
        {deleted && (
          <p class="undo" role="status">
            <span>{t("deleted", { title: deleted.title })}</span>
            <button type="button" class="small" onClick={() => void restore(deleted.conversation_id)}>
              {t("undo")}
            </button>
          </p>
        )}
        <div class="side-foot">
          <button type="button" class="wide-button plain" onClick={onSettings}>
            <Icon name="gear" />
            {t("settings")}
          </button>
          {status && (
            <p class="quiet">
              {status.quoting ? t("no_model") : status.model} · {status.version}
            </p>
          )}
        </div>
      </nav>
      {open && <div class="veil" onClick={onClose} />}
    </div>
  );
}

interface EntryProps {
  one: ConversationSummary;
  current: boolean;
  onOpen: () => void;
}

function Entry({ one, current, onOpen }: EntryProps): JSX.Element {
  const { api, chat, history, t } = useUi();
  const [renaming, setRenaming] = useState(false);
  const [menu, setMenu] = useState(false);
  const id = one.conversation_id;
  const title = one.title || t("untitled");
  if (renaming) {
    return (
      <li>
        <Rename
          title={one.title}
          onDone={(to) => {
            setRenaming(false);
            if (to !== null && to !== one.title) void history.rename(id, to);
          }}
        />
      </li>
    );
  }
  const remove = async (): Promise<void> => {
    if (!(await history.remove(one))) return;
    if (current) await chat.open(null);
  };
  return (
    <li
      class={current ? "conversation current" : "conversation"}
      onKeyDown={(event) => {
        if (!isKey(event, "Escape") || !menu) return;
        event.preventDefault();
        setMenu(false);
      }}
    >
      <div class="conversation-line">
        <a
          href={`#${id}`}
          title={one.title}
          aria-current={current ? "page" : undefined}
          onClick={(event) => {
            if (event.ctrlKey || event.metaKey || event.shiftKey) return;
            event.preventDefault();
            onOpen();
          }}
        >
          <span class="conversation-title" dir="auto">
            {title}
          </span>
          {one.match?.message_id !== undefined && (
            <span class="match" dir="auto">
              {marked(one.match)}
            </span>
          )}
        </a>
        <IconButton
          icon="more"
          name={t("conversation_menu", { title })}
          expanded={menu}
          onClick={() => setMenu(!menu)}
        />
      </div>
      {menu && (
        <div class="menu" role="group" aria-label={t("conversation_menu", { title })}>
          <button
            type="button"
            onClick={() => {
              setMenu(false);
              setRenaming(true);
            }}
          >
            <Icon name="pencil" />
            {t("rename")}
          </button>
          <button type="button" onClick={() => void exportConversation(api, id, "markdown").catch(chat.reportError)}>
            <Icon name="save" />
            {t("export_markdown")}
          </button>
          <button type="button" onClick={() => void exportConversation(api, id, "json").catch(chat.reportError)}>
            <Icon name="save" />
            {t("export_json")}
          </button>
          <button type="button" class="danger" onClick={() => void remove()}>
            <Icon name="bin" />
            {t("delete")}
          </button>
        </div>
      )}
    </li>
  );
}

/** The words around a hit, the hits marked. Its offsets count code points. */
function marked({ text, hits }: NonNullable<ConversationSummary["match"]>): ComponentChildren {
  const points = Array.from(text);
  const parts: ComponentChildren[] = [];
  let at = 0;
  for (const [start, end] of hits) {
    parts.push(points.slice(at, start).join(""), <mark key={start}>{points.slice(start, end).join("")}</mark>);
    at = end;
  }
  return [...parts, points.slice(at).join("")];
}

function Rename({ title, onDone }: { title: string; onDone: (title: string | null) => void }): JSX.Element {
  const { t } = useUi();
  const field = useRef<HTMLInputElement>(null);
  useLayoutEffect(() => {
    field.current?.focus();
    field.current?.select();
  }, []);
  return (
    <form
      class="rename"
      onSubmit={(event) => {
        event.preventDefault();
        onDone(field.current?.value.trim() || null);
      }}
    >
      <input
        ref={field}
        dir="auto"
        aria-label={t("title")}
        defaultValue={title}
        maxLength={200}
        onKeyDown={(event) => {
          // The form would be sent by the Enter of an input method too.
          if (event.key === "Enter" && !isKey(event, "Enter")) event.preventDefault();
          if (!isKey(event, "Escape")) return;
          event.preventDefault();
          onDone(null);
        }}
      />
      <IconButton icon="check" name={t("save_title")} onClick={() => onDone(field.current?.value.trim() || null)} />
    </form>
  );
}

/** The mill wheel's stream, as on the icon. */
function Mark(): JSX.Element {
  return (
    <svg class="mark" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
      <rect width="32" height="32" rx="8" />
      <path d="M7 12c3-3 6-3 9 0s6 3 9 0M7 20c3-3 6-3 9 0s6 3 9 0" />
    </svg>
  );
}
