import { Streamdown } from "streamdown";
import { runReact, throttled } from "./react";

runReact((text) => <Streamdown>{text}</Streamdown>, throttled(50));
