// The AI SDK's chat, of the version that is named, against /api/chat: `node ai_sdk.mjs URL PACKAGE SCENARIO [BODY]`.
const [url, name, scenario, extra = "{}"] = process.argv.slice(2);
const { AbstractChat, DefaultChatTransport } = await import(name);

class State {
  status = "ready";
  error = undefined;
  changed = () => {};
  constructor(messages) {
    this.messages = messages;
  }
  pushMessage = (message) => {
    this.messages = [...this.messages, message];
    this.changed();
  };
  popMessage = () => {
    this.messages = this.messages.slice(0, -1);
  };
  replaceMessage = (index, message) => {
    this.messages = this.messages.map((each, at) => (at === index ? structuredClone(message) : each));
    this.changed();
  };
  snapshot = (value) => structuredClone(value);
}

class Chat extends AbstractChat {
  constructor(init) {
    super({ ...init, state: new State(init.messages ?? []) });
  }
  get text() {
    return this.lastMessage?.role === "assistant" ? textOf(this.lastMessage) : "";
  }
  /** Resolves when the answer has come that far. */
  until(text) {
    return new Promise((resolve) => {
      const look = () => this.text.startsWith(text) && resolve();
      this.state.changed = look;
      look();
    });
  }
}

const textOf = (message) =>
  message.parts
    .filter((part) => part.type === "text")
    .map((part) => part.text)
    .join("");

/** A body as a browser reads it: a connection that is lost is a "network error", to Node it is "terminated". */
function asInBrowsers(body) {
  const reader = body.getReader();
  return new ReadableStream({
    async pull(controller) {
      try {
        const { done, value } = await reader.read();
        if (done) controller.close();
        else controller.enqueue(value);
      } catch (error) {
        controller.error(error.name === "AbortError" ? error : new TypeError("network error"));
      }
    },
    cancel: (reason) => reader.cancel(reason),
  });
}

let answered = () => {};
const responses = [];
const ends = [];
const heard = [];

function chatOf(id, messages = []) {
  return new Chat({
    id,
    messages,
    transport: new DefaultChatTransport({
      api: `${url}/api/chat`,
      body: JSON.parse(extra),
      fetch: async (...request) => {
        const response = await fetch(...request);
        const seen = { status: response.status, headers: Object.fromEntries(response.headers), body: "" };
        responses.push(seen);
        answered();
        if (!response.body) return response;
        const [theirs, ours] = response.body.tee();
        const decoder = new TextDecoder();
        const read = async () => {
          for await (const bytes of ours) seen.body += decoder.decode(bytes, { stream: true });
        };
        read().catch(() => {});
        return new Response(asInBrowsers(theirs), response);
      },
    }),
    onData: (part) => heard.push(structuredClone(part)), // the SDK changes it later
    onFinish: ({ isAbort, isDisconnect, isError, finishReason }) =>
      ends.push({ isAbort, isDisconnect, isError, finishReason }),
    onError: () => {},
  });
}

const told = (chat) => ({
  status: chat.status,
  error: chat.error?.message,
  text: chat.text,
  messages: chat.messages,
  ends,
  heard,
  responses,
});

const stopAtServer = (id) => fetch(`${url}/api/chat/${encodeURIComponent(id)}/stop`, { method: "POST" });
// The first releases do not escape it.
const strange = name.endsWith("00") ? "chat" : "a/b c?";
/** Lets the test know that we have come so far: it sees another question. */
const go = () => chatOf("go").sendMessage({ text: "go" });

const scenarios = {
  async ask() {
    const chat = chatOf("chat");
    await chat.sendMessage({ text: "Why?" });
    return told(chat);
  },
  /** Somebody else stops it, while the SDK listens. */
  async stoppedByServer() {
    const chat = chatOf("chat");
    const asked = chat.sendMessage({ text: "Why?" });
    await chat.until("Hello");
    const { status } = await stopAtServer("chat");
    await asked;
    return { ...told(chat), stopStatus: status };
  },
  async stop() {
    const chat = chatOf("chat");
    const asked = chat.sendMessage({ text: "Why?" });
    await chat.until("Hello");
    await chat.stop();
    await asked;
    const before = told(chat);
    await stopAtServer("chat");
    const again = chatOf("chat", chat.messages);
    await again.resumeStream();
    return { ...before, statusOfResume: responses.at(-1).status, after: again.status };
  },
  /** The page is loaded again while the answer is made: the SDK has the question alone. */
  async resume() {
    const chat = chatOf(strange);
    const asked = chat.sendMessage({ text: "Why?" });
    await chat.until("Hello");
    const id = chat.lastMessage.id;
    await chat.stop();
    await asked;
    const again = chatOf(strange, chat.messages.slice(0, 1));
    const resumed = again.resumeStream();
    await again.until("Hello");
    await go();
    await resumed;
    return { ...told(again), id };
  },
  /** …or it kept what had come. */
  async resumeWithWhatCame() {
    const chat = chatOf("chat");
    const asked = chat.sendMessage({ text: "Why?" });
    await chat.until("Hello");
    await chat.stop();
    await asked;
    const again = chatOf("chat", chat.messages);
    const resumed = again.resumeStream();
    await go();
    await resumed;
    return told(again);
  },
  /** The connection is lost, and the same chat comes back. */
  async reconnect() {
    const chat = chatOf("chat");
    await chat.sendMessage({ text: "Why?" });
    const lost = { status: chat.status, text: chat.text, end: ends.at(-1) };
    const there = new Promise((resolve) => {
      answered = resolve;
    });
    const resumed = chat.resumeStream();
    await there;
    await go();
    await resumed;
    return { ...told(chat), lost };
  },
  async nothingToResume() {
    const chat = chatOf("never asked");
    await chat.resumeStream();
    return told(chat);
  },
  async regenerate() {
    const chat = chatOf("chat");
    await chat.sendMessage({ text: "Why?" });
    const first = chat.text;
    await chat.regenerate();
    return { ...told(chat), first };
  },
  async followUp() {
    const chat = chatOf("chat");
    await chat.sendMessage({ text: "Why?" });
    await chat.sendMessage({ text: "And then?" });
    return told(chat);
  },
  async file() {
    const chat = chatOf("chat");
    const files = [{ type: "file", mediaType: "image/png", url: "data:image/png;base64,AA==" }];
    await chat.sendMessage({ text: "Why?", files });
    return told(chat);
  },
};

console.log(JSON.stringify(await scenarios[scenario]()));
