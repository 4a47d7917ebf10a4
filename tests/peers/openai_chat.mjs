// The OpenAI SDK for JavaScript against Chat Completions.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: `${process.argv[2]}/v1`, apiKey: "none" });
const stream = await client.chat.completions.create({
  model: "default",
  messages: [{ role: "user", content: "Why?" }],
  stream: true,
});
let text = "";
for await (const chunk of stream) text += chunk.choices[0].delta.content ?? "";
console.log(JSON.stringify({ text }));
