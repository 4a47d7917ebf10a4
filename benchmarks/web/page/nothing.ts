import { run } from "./harness";

run(() => ({ prefill: () => undefined, delta: () => undefined, end: () => undefined }));
