// OpenAI's own client for JavaScript: asks one question of Responses and tells what it made of the answer.
//
//   node openai_responses.mjs URL '{"ask": "iterate", "body": {…}, "id": "resp_…", "after": 3, "leaveAfter": 4}'
//
// `ask`: `iterate` over the events, the `stream` helper, the `whole` answer, `retrieve`, `resume` the events, the helper
// that `replay`s them, `cancel`, or `remove`. `leaveAfter`: abort the request after so many events.
import OpenAI from "openai";

const [url, given] = process.argv.slice(2);
const { ask, body = {}, id, after, leaveAfter } = JSON.parse(given);
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 });
const request = { model: "gpt-4o", input: "Why?", ...body };
const told = { events: [] };

async function read(stream) {
  for await (const event of stream) {
    told.events.push(event);
    if (told.events.length === leaveAfter) stream.controller.abort();
  }
}

const ways = {
  async iterate() {
    await read(await client.responses.create({ ...request, stream: true }));
  },
  async stream() {
    const stream = client.responses.stream(request);
    await read(stream);
    told.final = await stream.finalResponse();
  },
  async whole() {
    told.final = await client.responses.create(request);
  },
  async retrieve() {
    told.final = await client.responses.retrieve(id);
  },
  async resume() {
    await read(await client.responses.retrieve(id, { stream: true, starting_after: after }));
  },
  async replay() {
    const stream = client.responses.stream({ response_id: id, starting_after: after });
    await read(stream);
    told.final = await stream.finalResponse();
  },
  async cancel() {
    told.final = await client.responses.cancel(id);
  },
  async remove() {
    await client.responses.delete(id);
  },
};

try {
  await ways[ask]();
} catch (error) {
  const { status, code, type, param, message } = error;
  told.error = { name: error.constructor.name, status, code, type, param, message };
  told.error.isApiError = error instanceof OpenAI.APIError;
}
told.text = told.final?.output_text;
console.log(JSON.stringify(told));
