import { createContext } from "preact";
import { useContext, useEffect, useReducer } from "preact/hooks";
import type { Api } from "../core/api";
import type { SourceFields } from "../core/events";
import type { Announcer } from "./announcer";
import type { Chat } from "./chat";
import type { History } from "./history";
import type { Settings } from "./settings";
import type { Store } from "./store";
import type { Tongue } from "./strings";
import type { Uploads } from "./uploads";

/** A source that is open beside the conversation, and where the reader came from. */
export interface Shown {
  source: SourceFields;
  /** The page of the source that the citation names. */
  page?: number | undefined;
  from: HTMLElement;
}

/** What every part of the element may need. */
export interface Ui extends Tongue {
  api: Api;
  chat: Chat;
  history: History;
  uploads: Uploads;
  settings: Settings;
  announcer: Announcer;
  /** Where ids and the focus are looked up. */
  root: ShadowRoot;
  showSource: (shown: Shown | null) => void;
  focusQuestion: () => void;
}

export const UiContext = createContext<Ui | null>(null);

export function useUi(): Ui {
  const ui = useContext(UiContext);
  if (!ui) throw new Error("This part stands outside the element.");
  return ui;
}

/** The store's state, now and whenever it changes. */
export function useStore<State>(store: Store<State>): State {
  const [, changed] = useReducer<number, undefined>((count) => count + 1, 0);
  useEffect(() => store.subscribe(() => changed(undefined)), [store]);
  return store.state;
}
