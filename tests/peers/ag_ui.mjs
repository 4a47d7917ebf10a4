// AG-UI's own client: asks one question after the other and tells what it was sent and what it made of it.
//
//   node ag_ui.mjs URL '{"questions": ["Why?"], "input": {…}, "abortAt": "TEXT_MESSAGE_CONTENT", "old": true}'
//
// `input`: more of what is sent. `abortAt`: abort the run at the first such event. `old`: the client of 0.0.40.
const [url, given = "{}"] = process.argv.slice(2);
const { questions = ["Why?"], input = {}, abortAt, old = false } = JSON.parse(given);
const { HttpAgent } = await import(old ? "ag-ui-client-old" : "@ag-ui/client");

const warnings = [];
console.warn = (...words) => warnings.push(words.map(String).join(" "));
console.error = console.warn;
// The client cancels a body that has broken off already, and leaves that failure to nobody.
process.on("unhandledRejection", (error) => warnings.push(`unhandled: ${error.message}`));

const agent = new HttpAgent({ url: `${url}/ag-ui`, threadId: "thread-1" });
const runs = [];
for (const [number, question] of questions.entries()) {
  agent.messages.push({ id: `q${number}`, role: "user", content: question });
  const run = { events: [] };
  runs.push(run);
  try {
    run.resolved = await agent.runAgent(
      { runId: `run-${number}`, ...input },
      {
        onEvent: ({ event }) => {
          run.events.push(event);
          if (event.type === abortAt) agent.abortRun();
        },
        onRunErrorEvent: ({ event }) => {
          run.error = event;
        },
        onRunFinishedEvent: ({ outcome, pendingToolCallIds }) => {
          run.outcome = outcome;
          run.pending = pendingToolCallIds;
        },
      },
    );
  } catch (error) {
    run.rejected = { message: error.message, status: error.status, payload: error.payload };
  }
}
console.log(JSON.stringify({ runs, messages: agent.messages, warnings }));
