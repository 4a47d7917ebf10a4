import ReactMarkdown from "react-markdown";
import remarkGfm from "remark-gfm";
import { runReact } from "./react";

runReact(
  (text) => <ReactMarkdown remarkPlugins={[remarkGfm]}>{text}</ReactMarkdown>,
  (publish) => publish,
);
