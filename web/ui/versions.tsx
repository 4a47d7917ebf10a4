import type { JSX } from "preact";
import type { StoredMessage } from "../core/api";
import { IconButton } from "./icons";
import { useUi } from "./ui";

interface Props {
  message: StoredMessage;
  versions: readonly StoredMessage[];
  kind: "question" | "answer";
}

/** Leads through the siblings of a message. */
export function Versions({ message, versions, kind }: Props): JSX.Element {
  const { chat, t } = useUi();
  const at = versions.findIndex((version) => version.message_id === message.message_id);
  const show = (step: number): void => {
    const other = versions[at + step];
    if (other) chat.choose(other.parent_id ?? "", other.message_id);
  };
  return (
    <span class="versions" role="group" aria-label={t(kind === "answer" ? "answer_versions" : "question_versions")}>
      <IconButton icon="back" name={t("earlier_version")} disabled={at <= 0} onClick={() => show(-1)} />
      <span>{t("version_of", { at: at + 1, count: versions.length })}</span>
      <IconButton
        icon="forward"
        name={t("later_version")}
        disabled={at === versions.length - 1}
        onClick={() => show(1)}
      />
    </span>
  );
}
