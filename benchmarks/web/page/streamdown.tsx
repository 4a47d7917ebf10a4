import { Streamdown } from "streamdown";
import { runReact } from "./react";

runReact(
  (text) => <Streamdown>{text}</Streamdown>,
  (publish) => publish,
);
