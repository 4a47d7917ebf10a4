// Microsoft's client for the AI Chat Protocol: `node ai_chat.mjs URL` prints what it makes of both forms.
import { AIChatProtocolClient } from "@microsoft/ai-chat-protocol";

const client = new AIChatProtocolClient(`${process.argv[2]}/chat`);
const messages = [{ role: "user", content: "Why?" }];
const whole = await client.getCompletion(messages);
const lines = [];
for await (const line of await client.getStreamedCompletion(messages)) lines.push(line);
console.log(JSON.stringify({ whole, lines }));
