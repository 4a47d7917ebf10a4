import { MarkdownView } from "../../../web/core/markdown/view";
import { Pacer } from "../../../web/core/pacer";
import { run } from "./harness";

const frames = {
  now: () => performance.now(),
  nextFrame(callback: () => void) {
    const frame = requestAnimationFrame(callback);
    return () => cancelAnimationFrame(frame);
  },
};

run((target) => {
  const labels = { table: "Table", code: () => "Code", task: () => "Task", image: (name: string) => name };
  const view = new MarkdownView(target, { labels });
  const pacer: Pacer = new Pacer(frames, (revealed) => view.update(pacer.text.slice(0, revealed), pacer.finished));
  return {
    prefill: (text) => pacer.replay(text),
    delta: (text) => pacer.append(text),
    end: () => pacer.end(),
  };
});
