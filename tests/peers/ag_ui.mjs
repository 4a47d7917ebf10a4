// AG-UI's own client: runs an agent once and tells what it was sent and what it made of it.
//
//   node ag_ui.mjs URL '{"input": {…}, "messages": […], "abortAt": "TEXT_MESSAGE_CONTENT", "undeclared": true}'
//
// `abortAt`: abort the run at the first such event. `undeclared`: leave out the protocol's version, as old clients do.
import { HttpAgent } from "@ag-ui/client";

const [url, given] = process.argv.slice(2);
const { input = {}, messages, threadId = "thread-1", abortAt, undeclared = false } = JSON.parse(given ?? "{}");

const warnings = [];
console.warn = (...words) => warnings.push(words.join(" "));
console.error = console.warn;

class Agent extends HttpAgent {
  requestInit(asked) {
    if (undeclared) delete asked.protocolVersion;
    return super.requestInit(asked);
  }
}

const agent = new Agent({ url: `${url}/ag-ui`, threadId });
agent.messages = messages ?? [{ id: "q1", role: "user", content: "Why?" }];
const events = [];
const seen = {};
let rejected;
let resolved;
try {
  resolved = await agent.runAgent(
    { runId: "run-1", ...input },
    {
      onEvent: ({ event }) => {
        events.push(event);
        if (event.type === abortAt) agent.abortRun();
      },
      onRunErrorEvent: ({ event }) => {
        seen.error = event;
      },
      onRunFinishedEvent: ({ outcome }) => {
        seen.outcome = outcome;
      },
    },
  );
} catch (error) {
  rejected = { message: error.message, status: error.status, payload: error.payload };
}
console.log(JSON.stringify({ events, messages: agent.messages, seen, warnings, resolved, rejected }));
