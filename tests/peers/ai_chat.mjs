// Clients of the AI Chat Protocol: `node ai_chat.mjs WHAT URL` prints what they make of the answers.
import { AIChatProtocolClient } from "@microsoft/ai-chat-protocol";
import ndjson from "ndjson-readablestream";

const [what, url] = process.argv.slice(2);
const messages = [{ role: "user", content: "What does it cost?" }];
// The wait before a retry doubles over all requests of one client.
const fresh = () => new AIChatProtocolClient(`${url}/chat`, { retryOptions: { retryDelayInMs: 1 } });
const client = fresh();
const identified = { requestOptions: { headers: { "x-ms-client-request-id": "7f0c" } } };

/** What comes before the error, if there is one, and what was thrown. */
async function outcome(stream) {
  const lines = [];
  try {
    for await (const line of await stream) lines.push(line);
  } catch (thrown) {
    return { lines, thrown: thrown instanceof Error ? `${thrown.message} ${thrown.code ?? ""}` : thrown };
  }
  return { lines };
}

const thrownBy = (asked) => asked.then(() => null, (thrown) => thrown);
const words = (lines) => lines.map((line) => line.delta?.content ?? "").join("");

// The rules by which the front end of azure-search-openai-demo merges lines (pages/chat/Chat.tsx), in our words.
async function demo(body) {
  const response = await fetch(`${url}/chat/stream`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ messages, context: { overrides: {} }, session_state: { token: 7 }, ...body }),
  });
  if (!response.ok) return { thrown: (await response.json()).error };
  let answer = {};
  let text = "";
  const shown = []; // what is on screen with each piece of text
  try {
    for await (const line of ndjson(response.body)) {
      if (line.context?.data_points) {
        answer = { ...line, message: line.delta };
      } else if (line.delta?.content) {
        text += line.delta.content;
        shown.push({ role: answer.message.role, citations: answer.context.data_points.citations.length });
      } else if (line.context) {
        answer.context = { ...answer.context, ...line.context };
      } else if (line.error) {
        throw Error(line.error);
      }
    }
  } catch (error) {
    return { text, thrown: error.message };
  }
  // Answer/AnswerParser.tsx: what stands in brackets is a citation if the data points have it.
  const known = answer.context.data_points.citations;
  const parts = text.split(/\[([^\]]+)\]/g);
  const citations = parts.filter((part, index) => index % 2 === 1 && known.some((each) => each.endsWith(part)));
  return { answer: { ...answer, message: { ...answer.message, content: text } }, citations, shown };
}

const scenarios = {
  async both() {
    const whole = await client.getCompletion(messages, { sessionState: { visits: 1 } });
    const { lines } = await outcome(client.getStreamedCompletion(messages, { sessionState: whole.sessionState }));
    return { whole, lines, text: words(lines) };
  },
  stream: () => outcome(client.getStreamedCompletion(messages)),
  async refused() {
    const wrong = [{ role: "assistant", content: "Hello" }];
    return { whole: await thrownBy(client.getCompletion(wrong)), stream: await thrownBy(client.getStreamedCompletion(wrong)) };
  },
  async failed() {
    return { whole: await thrownBy(fresh().getCompletion(messages)), stream: await thrownBy(fresh().getStreamedCompletion(messages)) };
  },
  async bytes() {
    const response = await fetch(`${url}/chat/stream`, { method: "POST", body: JSON.stringify({ messages }) });
    const [one, other] = response.body.tee();
    const text = await new Response(one).text();
    const lines = [];
    for await (const line of ndjson(other)) lines.push(line);
    return { text, lines };
  },
  demo: () => demo({}),
  demoRefused: () => demo({ messages: [] }),
  async files() {
    const asked = [{
      role: "user",
      content: "How many days of paid leave do staff get?",
      files: [{ contentType: "text/markdown", data: new File(["# Leave\n\nStaff get twenty-seven days of paid leave."], "leave.md") }],
    }];
    const whole = await client.getCompletion(asked);
    const { lines } = await outcome(client.getStreamedCompletion(asked));
    return { whole, text: words(lines) };
  },
  async retried() {
    const whole = await thrownBy(fresh().getCompletion(messages, identified));
    const stream = await thrownBy(fresh().getStreamedCompletion(messages, identified));
    return { whole, stream };
  },
  async lost() {
    return (await client.getCompletion(messages)).message;
  },
  async lostIdentified() {
    return (await client.getCompletion(messages, identified)).message;
  },
};

console.log(JSON.stringify(await scenarios[what]()));
