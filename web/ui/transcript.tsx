import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { AssistantMessage, UserMessage } from "../core/api";
import { siblings } from "../core/tree";
import { Answer } from "./answer";
import { Icon, IconButton } from "./icons";
import { Question } from "./question";
import { useUi } from "./ui";
import { Welcome } from "./welcome";

/** Closer to the end than this, in CSS pixels, counts as being there. */
const AT_END_PX = 48;

export function Transcript(): JSX.Element {
  const { chat, t } = useUi();
  const { path } = chat;
  const { state } = chat;
  const scroller = useRef<HTMLElement>(null);
  const following = useRef(true);
  const top = useRef(0);
  const [away, setAway] = useState(false);
  const question = path.findLast((message) => message.role === "user")?.message_id;

  const look = (): void => {
    if (!scroller.current) return;
    const { scrollHeight, scrollTop, clientHeight } = scroller.current;
    // Who has not scrolled up has not left the end: it has moved, and is followed at the next turn.
    const isAtEnd = scrollHeight - scrollTop - clientHeight < AT_END_PX;
    following.current = isAtEnd || (following.current && scrollTop >= top.current);
    top.current = scrollTop;
    setAway(!following.current);
  };
  const toEnd = (): void => {
    const element = scroller.current;
    // What there is without a question is read from its beginning.
    if (element && chat.path.length > 0) element.scrollTop = element.scrollHeight;
    look();
  };

  // A question of one's own is always brought into sight; what follows only while the reader is at the end.
  const lastQuestion = useRef(question);
  useLayoutEffect(() => {
    if (state.following?.connection === "connecting" && lastQuestion.current !== question) following.current = true;
    lastQuestion.current = question;
    if (following.current) toEnd();
  }, [question, state.following?.connection]);

  // Whatever makes the transcript grow or its frame shrink, a reader at the end stays there.
  const column = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const sizes = new ResizeObserver(() => {
      if (following.current) toEnd();
      else look();
    });
    for (const element of [scroller.current, column.current]) if (element) sizes.observe(element);
    return () => sizes.disconnect();
  }, []);

  return (
    <div class="transcript-frame">
      <section
        ref={scroller}
        class="transcript"
        part="transcript"
        role="log"
        aria-live="off"
        aria-label={t("conversation")}
        tabIndex={0}
        onScroll={look}
      >
        <div ref={column} class="column">
          {state.opening && <Opening />}
          {path.length === 0 && state.loaded && <Welcome />}
          {path.map((message) =>
            message.role === "user" ? (
              <Question
                key={message.message_id}
                message={message}
                versions={siblings(state.messages, message) as UserMessage[]}
              />
            ) : (
              <Answer
                key={message.run.run_id}
                message={message}
                versions={siblings(state.messages, message) as AssistantMessage[]}
                last={message === path.at(-1)}
              />
            ),
          )}
        </div>
      </section>
      {away && path.length > 0 && (
        <button
          type="button"
          class="to-end"
          onClick={() => {
            following.current = true;
            toEnd();
          }}
        >
          <Icon name="down" />
          {t("jump_to_latest")}
        </button>
      )}
      {state.problem !== null && (
        <div class="problem" part="problem">
          <Icon name="warning" />
          <span>
            <bdi>{state.problem}</bdi>
          </span>
          <IconButton icon="close" name={t("dismiss")} onClick={() => chat.dismissProblem()} />
        </div>
      )}
    </div>
  );
}

function Opening(): JSX.Element {
  const { t } = useUi();
  return (
    <div class="opening">
      <p class="hidden">{t("opening")}</p>
      <span class="bone short" />
      <span class="bone" />
      <span class="bone" />
      <span class="bone half" />
    </div>
  );
}
