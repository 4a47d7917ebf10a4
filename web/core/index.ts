/** Everything a page needs to read a run and paint its words; no framework. */
export * from "./api";
export { Transports } from "./buffering";
export * from "./events";
export * from "./fold";
export { type MarkdownOptions, MarkdownView } from "./markdown/view";
export { type Frames, Pacer, type Pacing } from "./pacer";
export * from "./reader";
export * from "./tree";
