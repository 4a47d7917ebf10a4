import { type ComponentChildren, Fragment, type VNode } from "preact";

/** Nodes as text that a test can read: `<p>so<button>1</button></p>`; attributes other than `shown` are left out. */
export function written(children: ComponentChildren, shown: readonly string[] = []): string {
  if (children === null || children === undefined || typeof children === "boolean") return "";
  if (Array.isArray(children)) return children.map((child: ComponentChildren) => written(child, shown)).join("");
  if (typeof children !== "object") return String(children);
  const { type, props } = children as VNode<Record<string, unknown>>;
  const inside = written(props.children, shown);
  if (type === Fragment) return inside;
  if (typeof type === "function") throw new TypeError(`${type.name} is a component, not an element`);
  const attributes = shown.flatMap((name) => (typeof props[name] === "string" ? [` ${name}="${props[name]}"`] : []));
  return `<${type}${attributes.join("")}>${inside}</${type}>`;
}

/** The names of all elements in it. */
export function tagsOf(children: ComponentChildren): string[] {
  if (children === null || children === undefined || typeof children !== "object") return [];
  if (Array.isArray(children)) return children.flatMap((child: ComponentChildren) => tagsOf(child));
  const { type, props } = children as VNode<Record<string, unknown>>;
  const inside = tagsOf(props.children);
  return typeof type === "string" ? [type, ...inside] : inside;
}
