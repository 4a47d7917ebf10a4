// What the AI SDK's own reader makes of streams: `node ai_sdk_any.mjs FILE PACKAGE`; the file is a JSON list of them.
import { readFileSync } from "node:fs";

const [file, name] = process.argv.slice(2);
const { DefaultChatTransport, readUIMessageStream } = await import(name);

async function read(body) {
  const transport = new DefaultChatTransport({ fetch: async () => new Response(body) });
  const stream = await transport.sendMessages({ chatId: "chat", messages: [], trigger: "submit-message" });
  let message;
  let error;
  try {
    const onError = (failure) => {
      error ??= failure.message;
    };
    for await (message of readUIMessageStream({ stream, onError, terminateOnError: true }));
  } catch (failure) {
    error ??= failure.message;
  }
  return { message, error };
}

const results = [];
for (const body of JSON.parse(readFileSync(file, "utf8"))) results.push(await read(body));
console.log(JSON.stringify(results));
