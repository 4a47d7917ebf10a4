import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { type AssistantMessage, textOf } from "../core/api";
import { siblings } from "../core/tree";
import { Answer } from "./answer";
import type { Chat } from "./chat";
import { Icon } from "./icons";
import { Welcome } from "./welcome";

/** Closer to the end than this, in CSS pixels, counts as being there. */
const AT_END_PX = 48;

export function Transcript({ chat }: { chat: Chat }): JSX.Element {
  const { state, path } = chat;
  const scroller = useRef<HTMLElement>(null);
  const following = useRef(true);
  const [away, setAway] = useState(false);
  const question = path.findLast((message) => message.role === "user")?.message_id;

  const toEnd = (): void => {
    const element = scroller.current;
    if (element) element.scrollTop = element.scrollHeight;
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
    });
    for (const element of [scroller.current, column.current]) if (element) sizes.observe(element);
    return () => sizes.disconnect();
  }, []);

  return (
    <div class="transcript-frame">
      <section
        ref={scroller}
        class="transcript"
        role="log"
        aria-live="off"
        aria-label="Conversation"
        tabIndex={0}
        onScroll={(event) => {
          const { scrollHeight, scrollTop, clientHeight } = event.currentTarget;
          following.current = scrollHeight - scrollTop - clientHeight < AT_END_PX;
          setAway(!following.current);
        }}
      >
        <div ref={column} class="column">
          {state.problem !== null && (
            <p class="problem" role="alert">
              <span>{state.problem}</span>
              <button type="button" class="icon-button" aria-label="Dismiss" onClick={() => chat.dismissProblem()}>
                <Icon name="close" />
              </button>
            </p>
          )}
          {state.opening && <p class="quiet">Opening the conversation…</p>}
          {path.length === 0 && !state.opening && <Welcome chat={chat} />}
          {path.map((message) =>
            message.role === "user" ? (
              <article key={message.message_id} class="turn question">
                <h2 class="hidden">You asked</h2>
                <p>{textOf(message.content)}</p>
              </article>
            ) : (
              <Answer
                key={message.run.run_id}
                chat={chat}
                message={message}
                versions={siblings(state.messages, message) as AssistantMessage[]}
                last={message === path.at(-1)}
              />
            ),
          )}
        </div>
      </section>
      {away && (
        <button
          type="button"
          class="to-end"
          onClick={() => {
            following.current = true;
            toEnd();
          }}
        >
          <Icon name="down" />
          Jump to latest
        </button>
      )}
    </div>
  );
}
