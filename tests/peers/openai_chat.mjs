// OpenAI's own client for JavaScript: asks one question and tells what it made of the answer.
//
//   node openai_chat.mjs URL '{"ask": "iterate", "azure": true, "body": {…}, "leaveAfter": 1}'
//
// `ask`: `iterate` over the chunks, the `stream` helper, the `whole` answer, or the `models`. `leaveAfter`: abort the
// request after so many chunks.
import OpenAI, { AzureOpenAI } from "openai";

const [url, given] = process.argv.slice(2);
const { ask, azure = false, body = {}, leaveAfter } = JSON.parse(given);
const client = azure
  ? new AzureOpenAI({ endpoint: url, apiKey: "none", apiVersion: "2024-10-21", maxRetries: 0 })
  : new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 });
const request = { model: "gpt-4o", messages: [{ role: "user", content: "Why?" }], ...body };
const told = { chunks: [] };

const ways = {
  async iterate() {
    const stream = await client.chat.completions.create({ ...request, stream: true });
    for await (const chunk of stream) {
      told.chunks.push(chunk);
      if (told.chunks.length === leaveAfter) stream.controller.abort();
    }
  },
  async stream() {
    const stream = client.chat.completions.stream(request);
    told.contents = [];
    stream.on("content", (delta) => told.contents.push(delta));
    for await (const chunk of stream) told.chunks.push(chunk);
    told.final = await stream.finalChatCompletion();
  },
  async whole() {
    told.final = await client.chat.completions.create(request);
  },
  async models() {
    told.models = [];
    for await (const model of client.models.list()) told.models.push(model);
    told.model = await client.models.retrieve(told.models[0].id);
  },
};

try {
  await ways[ask]();
} catch (error) {
  const { status, code, type, param, message } = error;
  told.error = { name: error.constructor.name, status, code, type, param, message };
  told.error.isApiError = error instanceof OpenAI.APIError;
  told.error.innererror = error.error?.innererror;
}
console.log(JSON.stringify(told));
