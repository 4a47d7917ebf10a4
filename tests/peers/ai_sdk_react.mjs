// The component of docs/clients/ai-sdk.md in React, in a DOM: `node ai_sdk_react.mjs URL`.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { JSDOM } from "jsdom";

const [url] = process.argv.slice(2);
const page = readFileSync(new URL("../../docs/clients/ai-sdk.md", import.meta.url), "utf8");
const [, source] = /^```jsx\n(.*?)^```/ms.exec(page);
const typescript = createRequire(new URL("../../web/package.json", import.meta.url))("typescript");
const { ESNext, ReactJSX } = { ...typescript.ModuleKind, ...typescript.JsxEmit };
const code = typescript.transpile(source, { jsx: ReactJSX, module: ESNext, target: typescript.ScriptTarget.ESNext });

const { window } = new JSDOM("<!doctype html><div id=root></div>", { url: `${url}/`, pretendToBeVisual: true });
Object.assign(globalThis, { window, document: window.document });

// Beside the packages, so that its imports are found.
const folder = new URL(`node_modules/.ai_sdk_react-${process.pid}/`, import.meta.url);
mkdirSync(folder);
writeFileSync(new URL("chat.mjs", folder), code);
const { Chat } = await import(new URL("chat.mjs", folder));
rmSync(folder, { recursive: true });
const { createElement } = await import("react");
const { createRoot } = await import("react-dom/client");

const element = document.getElementById("root");
const show = () => {
  const root = createRoot(element);
  root.render(createElement(Chat, { id: "a chat", api: `${url}/api/chat` }));
  return root;
};
/** Resolves when the page is as the condition says. */
const until = (condition) =>
  new Promise((resolve) => {
    const look = () => {
      if (!condition()) return;
      observer.disconnect();
      resolve();
    };
    const observer = new window.MutationObserver(look);
    observer.observe(element, { subtree: true, childList: true, characterData: true, attributes: true });
    look();
  });
const shows = (text) => until(() => element.textContent.includes(text));
const is = (status) => until(() => element.querySelector("output")?.textContent === status);
const click = (label) => [...element.querySelectorAll("button")].find((button) => button.textContent === label).click();
async function ask(question) {
  const input = element.querySelector("input");
  Object.getOwnPropertyDescriptor(window.HTMLInputElement.prototype, "value").set.call(input, question);
  input.dispatchEvent(new window.Event("input", { bubbles: true }));
  input.form.dispatchEvent(new window.Event("submit", { bubbles: true, cancelable: true }));
}
const articles = () => [...element.querySelectorAll("article")].map((article) => article.textContent);

let root = show();
await is("ready"); // there was nothing to come back to
await ask("Why?");
await shows("Hello");
const whileStreaming = element.querySelector("output").textContent;
click("Stop");
await is("ready");
const stopped = articles();

click("Again");
await shows("And two?");
await is("ready");
const again = articles();
const links = [...element.querySelectorAll("a")].map((link) => [link.textContent, link.href, link.title]);

click("And two?");
await shows("Two cost");
root.unmount(); // the page is loaded again
root = show();
await shows("Two cost");
await fetch(`${url}/api/chat`, {
  method: "POST",
  body: JSON.stringify({ messages: [{ role: "user", parts: [{ type: "text", text: "go" }] }] }),
});
await shows("6 €");
await is("ready");
const resumed = articles();

await ask("fail");
await until(() => element.querySelector("[role=alert]"));
const failure = [element.querySelector("output").textContent, element.querySelector("[role=alert]").textContent];
console.log(JSON.stringify({ whileStreaming, stopped, again, links, resumed, failure }));
process.exit(0);
