import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { AssistantMessage } from "../core/api";
import type { RunError } from "../core/fold";
import type { Chat } from "./chat";

/** What there is to say below the words: why they ended early, or that they are being waited for. */
export function Ending({ chat, message }: { chat: Chat; message: AssistantMessage }): JSX.Element | null {
  const { state, message: made, run_id: runId } = message.run;
  const { following } = chat.state;
  switch (state) {
    case "running":
      return <Connection resuming={following?.runId === runId && following.connection === "resuming"} />;
    case "stopped":
      return <p class="note">You stopped this answer.</p>;
    case "failed":
      return made.error ? <Failure chat={chat} message={message} error={made.error} /> : null;
    case "finished":
      if (made.reason === "length") return <p class="note">The answer reached its longest permitted length and is cut.</p>;
      if (made.reason === "content_filter") {
        return <p class="note">The model's content filter ended this answer.</p>;
      }
      if (made.reason === undefined) return <p class="note">This answer is incomplete.</p>;
      return null;
  }
}

function Connection({ resuming }: { resuming: boolean }): JSX.Element | null {
  const online = useOnline();
  if (!online) return <p class="note">You are offline. The answer goes on and will be here when the network is back.</p>;
  return resuming ? <p class="note">The connection was lost. Resuming…</p> : null;
}

function Failure({ chat, message, error }: { chat: Chat; message: AssistantMessage; error: RunError }): JSX.Element {
  const wait = useCountdown(error.retry_after ?? 0);
  const partial = message.run.message.content !== "";
  return (
    <div class="failure">
      <p>
        <strong>{error.code === "interrupted" ? "Interrupted." : "The answer failed."}</strong> {error.message}
        {partial && " What was written so far is kept above; it is incomplete."}
      </p>
      {partial && (
        <button
          type="button"
          disabled={chat.state.following !== null || wait > 0}
          onClick={() => void chat.goOn(message)}
        >
          Continue
        </button>
      )}
      <button
        type="button"
        disabled={chat.state.following !== null || wait > 0}
        onClick={() => void chat.regenerate(message)}
      >
        {wait > 0 ? `Try again in ${wait} s` : "Try again"}
      </button>
    </div>
  );
}

function useOnline(): boolean {
  const [online, setOnline] = useState(navigator.onLine);
  useEffect(() => {
    const update = (): void => setOnline(navigator.onLine);
    addEventListener("online", update);
    addEventListener("offline", update);
    return () => {
      removeEventListener("online", update);
      removeEventListener("offline", update);
    };
  }, []);
  return online;
}

/** Whole seconds left of `seconds`, counted from when it is first shown. */
function useCountdown(seconds: number): number {
  const [left, setLeft] = useState(Math.ceil(seconds));
  useEffect(() => {
    if (left <= 0) return;
    const timer = setTimeout(() => setLeft(left - 1), 1000);
    return () => clearTimeout(timer);
  }, [left]);
  return left;
}
