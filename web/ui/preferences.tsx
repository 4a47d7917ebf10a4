import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { IconButton } from "./icons";
import { EFFORTS, nearest, type Effort, type Options } from "./options";
import type { SettingsState } from "./settings";
import { type Key, LANGUAGES } from "./strings";
import { useStore, useUi } from "./ui";

/** The built-in answers in the reader's language; an application's have a label of their own. */
const MODES: Readonly<Record<string, Key>> = { rag: "mode_rag", chat: "mode_chat", default: "as_configured" };

/** The dialog with a person's settings and those of the conversation. */
export function Preferences({ onClose }: { onClose: () => void }): JSX.Element {
  const { t } = useUi();
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    dialog.current?.showModal();
  }, []);
  return (
    <dialog
      ref={dialog}
      class="preferences"
      part="preferences"
      aria-labelledby="preferences"
      onClose={onClose}
      onClick={(event) => {
        if (event.target === event.currentTarget) event.currentTarget.close();
      }}
      // Esc closes the dialog and does not stop the answer as well.
      onKeyDown={(event) => event.stopPropagation()}
    >
      <div class="preferences-body">
        <div class="preferences-head">
          <h2 id="preferences">{t("settings")}</h2>
          <IconButton icon="close" name={t("close")} onClick={() => dialog.current?.close()} />
        </div>
        <Mine />
        <ThisConversation />
      </div>
    </dialog>
  );
}

function Mine(): JSX.Element {
  const { settings, t } = useUi();
  const state = useStore(settings);
  const choose = <Name extends keyof SettingsState>(name: Name, choices: Record<SettingsState[Name], string>): JSX.Element => (
    <select
      id={`setting-${name}`}
      value={state[name]}
      onChange={(event) => settings.change({ [name]: event.currentTarget.value })}
    >
      {Object.entries<string>(choices).map(([value, label]) => (
        <option key={value} value={value}>
          {label}
        </option>
      ))}
    </select>
  );
  return (
    <section>
      <h3>{t("settings_reading")}</h3>
      <Row name="painting" label={t("painting")} hint={t("painting_hint")}>
        {choose("painting", { smooth: t("painting_smooth"), realtime: t("painting_realtime"), whole: t("painting_whole") })}
      </Row>
      <Row name="announcing" label={t("announcing")} hint={t("announcing_hint")}>
        {choose("announcing", {
          paragraphs: t("announcing_paragraphs"),
          end: t("announcing_end"),
          off: t("announcing_off"),
        })}
      </Row>
      <Row name="theme" label={t("theme")}>
        {choose("theme", { auto: t("theme_auto"), light: t("theme_light"), dark: t("theme_dark") })}
      </Row>
      <Row name="language" label={t("language")}>
        {choose("language", { auto: t("language_auto"), ...LANGUAGES })}
      </Row>
    </section>
  );
}

/** What a conversation's next answers are made with, within what the server offers. */
function ThisConversation(): JSX.Element | null {
  const { chat, t } = useUi();
  const { status, options } = chat.state;
  if (!status) return null;
  const { answers, options: bounds } = status;
  const put = (change: { [Name in keyof Options]: Options[Name] | undefined }): void => {
    const entries = Object.entries({ ...options, ...change }).filter(([, value]) => value !== undefined);
    chat.setOptions(Object.fromEntries(entries));
  };
  return (
    <section>
      <h3>{t("settings_conversation")}</h3>
      <p class="quiet">{t("settings_conversation_hint")}</p>
      {answers.length > 1 && (
        <Row name="answer" label={t("answer_mode")}>
          <select
            id="setting-answer"
            value={options.answer ?? ""}
            onChange={(event) => put({ answer: event.currentTarget.value || undefined })}
          >
            {answers.map(({ name, label, default: isDefault }) => (
              <option key={name} value={isDefault ? "" : name}>
                {MODES[name] ? t(MODES[name]) : label}
              </option>
            ))}
          </select>
        </Row>
      )}
      <Row name="sources" label={t("option_sources")} hint={t("between", { least: bounds.sources[0], most: bounds.sources[1] })}>
        <Amount name="sources" value={options.sources} bounds={bounds.sources} step={1} onChange={(sources) => put({ sources })} />
      </Row>
      {!status.quoting && (
        <>
          <Row
            name="temperature"
            label={t("option_temperature")}
            hint={t("between", { least: bounds.temperature[0], most: bounds.temperature[1] })}
          >
            <Amount
              name="temperature"
              value={options.temperature}
              bounds={bounds.temperature}
              step="any"
              onChange={(temperature) => put({ temperature })}
            />
          </Row>
          {bounds.efforts.length > 0 && (
            <Row name="effort" label={t("option_effort")}>
              <select
                id="setting-effort"
                value={options.effort ?? ""}
                onChange={(event) => put({ effort: (event.currentTarget.value || undefined) as Effort | undefined })}
              >
                <option value="">{t("as_configured")}</option>
                {EFFORTS.filter((effort) => bounds.efforts.includes(effort)).map((effort) => (
                  <option key={effort} value={effort}>
                    {t(`effort_${effort}`)}
                  </option>
                ))}
              </select>
            </Row>
          )}
        </>
      )}
    </section>
  );
}

interface AmountProps {
  name: string;
  value: number | undefined;
  bounds: readonly [number, number];
  step: number | "any";
  onChange: (value: number | undefined) => void;
}

function Amount({ name, value, bounds: [least, most], step, onChange }: AmountProps): JSX.Element {
  const { t } = useUi();
  return (
    <input
      id={`setting-${name}`}
      type="number"
      min={least}
      max={most}
      step={step}
      defaultValue={value === undefined ? undefined : nearest(value, [least, most])}
      placeholder={t("as_configured")}
      onInput={(event) => {
        const { valueAsNumber, validity } = event.currentTarget;
        if (validity.valid) onChange(Number.isNaN(valueAsNumber) ? undefined : valueAsNumber);
      }}
      onChange={(event) => {
        const { valueAsNumber, validity } = event.currentTarget;
        if (!validity.rangeOverflow && !validity.rangeUnderflow) return;
        event.currentTarget.valueAsNumber = nearest(valueAsNumber, [least, most]);
        onChange(event.currentTarget.valueAsNumber);
      }}
    />
  );
}

interface RowProps {
  name: string;
  label: string;
  hint?: string;
  children: ComponentChildren;
}

function Row({ name, label, hint, children }: RowProps): JSX.Element {
  return (
    <div class="row">
      <label for={`setting-${name}`}>
        {label}
        {hint && <span class="quiet">{hint}</span>}
      </label>
      {children}
    </div>
  );
}
