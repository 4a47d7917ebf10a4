import { useSyncExternalStore } from "react";
import { createRoot } from "react-dom/client";
import ReactMarkdown from "react-markdown";
import remarkGfm from "remark-gfm";
import { run } from "./harness";

// As azure-search-openai-demo paints: one delta after the other, 33 ms apart, each with the whole text parsed anew.
run((target) => {
  let text = "";
  let listener = (): void => undefined;
  let queue = Promise.resolve();
  const publish = (): void => listener();
  const subscribe = (given: () => void): (() => void) => {
    listener = given;
    return () => undefined;
  };
  function Answer() {
    return <ReactMarkdown remarkPlugins={[remarkGfm]}>{useSyncExternalStore(subscribe, () => text)}</ReactMarkdown>;
  }
  createRoot(target).render(<Answer />);
  return {
    prefill(given) {
      text = given;
      publish();
    },
    delta(given) {
      queue = queue
        .then(() => new Promise((resolve) => setTimeout(resolve, 33)))
        .then(() => {
          text += given;
          publish();
        });
    },
    end: () => undefined,
  };
});
