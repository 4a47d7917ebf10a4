import type { JSX } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import type { Snapshot } from "../core/fold";
import { Waited } from "./duration";
import { Painter } from "./painter";
import { useStore, useUi } from "./ui";

/** The answer's words. Their element belongs to the painter: nothing here draws into it. */
export function Words({ run, onWhole }: { run: Snapshot; onWhole: () => void }): JSX.Element {
  const ui = useUi();
  const { chat, settings, announcer } = ui;
  const { painting } = useStore(settings);
  const target = useRef<HTMLDivElement>(null);
  const painter = useRef<Painter>(undefined);

  useLayoutEffect(() => {
    if (!target.current) return;
    const made = new Painter(target.current, ui, {
      onBlock: (spoken) => announcer.block(run.run_id, spoken),
      onWhole: () => {
        announcer.whole(run.run_id);
        onWhole();
      },
    });
    painter.current = made;
    const uncount = chat.countPainted(run.run_id, () => made.painted);
    return () => {
      uncount();
      made.close();
    };
  }, [run.run_id, ui.language]);

  useLayoutEffect(() => {
    if (painter.current) painter.current.painting = painting;
  }, [run.run_id, ui.language, painting]);

  useLayoutEffect(() => {
    painter.current?.show(run.message, run.state !== "running");
    if (run.state !== "running") return;
    return chat.onWords((snapshot, past) => {
      if (snapshot.run_id === run.run_id) painter.current?.show(snapshot.message, false, past);
    });
  }, [run, ui.language]);

  return <div ref={target} class="prose words" part="words" />;
}

/** The model's thinking, in a fold that opens itself for nobody. */
export function Reasoning({ run }: { run: Snapshot }): JSX.Element {
  const ui = useUi();
  const { chat, t } = ui;
  const target = useRef<HTMLDivElement>(null);
  const thinking = run.state === "running" && run.message.content === "";

  useLayoutEffect(() => {
    if (!target.current) return;
    const nobody = { onBlock: () => undefined, onWhole: () => undefined };
    const painter = new Painter(target.current, ui, nobody);
    painter.painting = "realtime";
    const show = (snapshot: Snapshot): void =>
      painter.show(
        { content: snapshot.message.reasoning ?? "", citations: [], sources: [] },
        snapshot.state !== "running",
      );
    show(run);
    const stop = chat.onWords((snapshot) => {
      if (snapshot.run_id === run.run_id) show(snapshot);
    });
    return () => {
      stop();
      painter.close();
    };
  }, [run.run_id, run.state, ui.language]);

  return (
    <details class="fold" part="reasoning">
      <summary>
        {thinking && <span class="spinner" aria-hidden="true" />}
        <span class="fold-name">{thinking ? t("thinking") : t("reasoning")}</span>
        {thinking && <Waited since={run.created} />}
      </summary>
      <div ref={target} class="prose reasoning" />
    </details>
  );
}
