// MCP's own client for JavaScript: lists the tools, calls some, and tells what came of it.
//
//   node mcp.mjs URL '[{"name": "ask", "arguments": {…}, "abortAt": "Hello"}, …]'
//
// `abortAt`: cancel the call as soon as progress tells this. A result is checked against the tool's schema.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const [url, given = "[]"] = process.argv.slice(2);

const client = new Client({ name: "test", version: "1" });
const transport = new StreamableHTTPClientTransport(new URL(url));
const errors = [];
client.onerror = (error) => errors.push(error.message);
let rejected;
const calls = [];
let tools = [];
try {
  await client.connect(transport);
  ({ tools } = await client.listTools());
  for (const { abortAt, ...asked } of JSON.parse(given)) {
    const progress = [];
    const controller = new AbortController();
    const onprogress = (told) => {
      progress.push(told);
      if (told.message === abortAt) controller.abort("enough");
    };
    try {
      const result = await client.callTool(asked, undefined, { onprogress, signal: controller.signal });
      calls.push({ result, progress });
    } catch (error) {
      calls.push({ error: error.message, code: error.code, progress });
    }
  }
  await transport.terminateSession();
  await client.close();
} catch (error) {
  rejected = { message: error.message, code: error.code };
}
const server = client.getServerVersion();
console.log(JSON.stringify({ server, tools: tools.map((tool) => tool.name), calls, errors, rejected }));
