import type { JSX } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { indicesOfCodePoints } from "../core/codepoints";
import type { Unsupported as Flag } from "../core/events";
import { Icon } from "./icons";
import { Painter } from "./painter";
import { useUi } from "./ui";

/** What of the answer does not stand in the sources: one quiet line that opens to the statements. */
export function Unsupported({ content, flags }: { content: string; flags: readonly Flag[] }): JSX.Element {
  const { t, language } = useUi();
  const list = new Intl.ListFormat(language, { type: "unit" });
  return (
    <details class="fold unsupported" part="unsupported">
      <summary>
        <Icon name="info" />
        <span class="fold-name">{t("unsupported", { n: flags.length })}</span>
      </summary>
      <ul>
        {flags.map(({ start, end, missing }) => (
          <li key={start}>
            <Statement text={content.slice(...(indicesOfCodePoints(content, [start, end]) as [number, number]))} />
            {missing && <p>{t("unsupported_missing", { missing: list.format(missing.map((one) => `\u2068${one}\u2069`)) })}</p>}
          </li>
        ))}
      </ul>
    </details>
  );
}

/** A piece of the answer, painted as the answer is. */
function Statement({ text }: { text: string }): JSX.Element {
  const ui = useUi();
  const target = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    if (!target.current) return;
    const painter = new Painter(target.current, ui, { onBlock: () => undefined, onWhole: () => undefined });
    painter.show({ content: text, citations: [], sources: [] }, true);
    return () => painter.close();
  }, [text, ui.language]);
  return <div ref={target} class="prose statement" />;
}
