"""OpenAI Chat Completions: chunks of `chat.completion.chunk` over server-sent events, or one `chat.completion`.

Format: the API reference of OpenAI, "Chat". No `id:`, `retry:` or empty `data:` is ever sent:
openai-python 3.54 fails on them.
"""

from typing import Any

from millstream.events import (
    Citation,
    FinishReason,
    ReasoningDelta,
    RunFailed,
    RunFinished,
    RunStarted,
    RunStopped,
    Source,
    TextDelta,
    TextFinished,
    Usage,
    encode_json,
)
from millstream.wire.encoder import Encoder, MarkedText


class OpenAIChatEncoder(Encoder):
    """`include_usage` is the request's `stream_options.include_usage`."""

    def __init__(self, *, include_usage: bool = False) -> None:
        super().__init__()
        self._include_usage = include_usage
        self._marked = MarkedText(lambda n: f"[{n}]")
        self._head: dict[str, Any] = {}
        self._sources: dict[int, Source] = {}
        self._reason: FinishReason = "stop"
        self._usage: dict[str, Any] | None = None
        self._message: dict[str, Any] = {"role": "assistant", "content": ""}

    def run_started(self, event: RunStarted) -> bytes:
        self._head = {
            "id": f"chatcmpl-{event.run_id}",
            "object": "chat.completion.chunk",
            "created": event.created // 1000,
            "model": event.model,
        }
        return self._chunk({"role": "assistant", "content": ""})

    def source(self, event: Source) -> bytes:
        self._sources[event.n] = event
        return b""

    def reasoning_delta(self, event: ReasoningDelta) -> bytes:
        return self._chunk({"reasoning_content": event.text})

    def text_delta(self, event: TextDelta) -> bytes:
        return self._chunk({"content": self._marked.text(event.text)})

    def citation(self, event: Citation) -> bytes:
        start, end = self._marked.span(event)
        source = self._sources[event.n]
        url = {"url": source.uri, "title": source.title, "start_index": start, "end_index": end}
        delta: dict[str, Any] = {"annotations": [{"type": "url_citation", "url_citation": url}]}
        mark = self._marked.citation(event)
        return self._chunk({"content": mark, **delta} if mark else delta)

    def text_finished(self, event: TextFinished) -> bytes:
        self._reason = event.reason
        return b""

    def usage(self, event: Usage) -> bytes:
        self._usage = {
            "prompt_tokens": event.input_tokens,
            "completion_tokens": event.output_tokens,
            "total_tokens": event.input_tokens + event.output_tokens,
            "prompt_tokens_details": {"cached_tokens": event.cached_tokens or 0},
            "completion_tokens_details": {"reasoning_tokens": event.reasoning_tokens or 0},
        }
        return b""

    def run_finished(self, event: RunFinished) -> bytes:
        return self._end(self._reason)

    def run_stopped(self, event: RunStopped) -> bytes:
        return self._end("stop")

    def run_failed(self, event: RunFailed) -> bytes:
        error = {"message": event.message, "type": "server_error", "param": None, "code": event.code}
        return b"data: " + encode_json({"error": error}) + b"\n\n"

    def whole(self) -> dict[str, Any]:
        choice = {"index": 0, "message": self._message, "finish_reason": self._reason, "logprobs": None}
        return {**self._head, "object": "chat.completion", "choices": [choice], "usage": self._usage}

    def _chunk(self, delta: dict[str, Any], finish_reason: FinishReason | None = None) -> bytes:
        for name, value in delta.items():
            if name != "role":
                self._message[name] = self._message.get(name, type(value)()) + value
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        usage = {"usage": None} if self._include_usage else {}
        return b"data: " + encode_json({**self._head, "choices": [choice], **usage}) + b"\n\n"

    def _end(self, reason: FinishReason) -> bytes:
        frames = self._chunk({}, reason)
        if self._include_usage:
            frames += b"data: " + encode_json({**self._head, "choices": [], "usage": self._usage}) + b"\n\n"
        return frames + b"data: [DONE]\n\n"
