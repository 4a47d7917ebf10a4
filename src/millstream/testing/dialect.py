"""How a server puts an answer on the wire: OpenAI's own form, Azure's, and those of the many compatible servers."""

from dataclasses import dataclass
from itertools import count
from typing import Any, Literal

import msgspec

from millstream.models.script import CountTokens

_HARMLESS = {name: {"filtered": False, "severity": "safe"} for name in ("hate", "self_harm", "sexual", "violence")}
_FINGERPRINT = "fp_44709d6fcb"
_CREATED = 1_700_000_000
_ids = count(1)


@dataclass(frozen=True)
class Dialect:
    """`azure` adds what Azure adds to the chunks. The others are the liberties that compatible servers take.

    `newline` ends the lines of a stream; `write_bytes` cuts it into writes of that size, wherever the cut falls (None:
    one write per chunk). `heartbeat_s` sends comments while the script waits. `done` false leaves `[DONE]` out,
    `finish` false the finish reason; `ignores_stream` answers with one JSON object whatever was asked.
    """

    azure: bool = False
    reasoning: Literal["reasoning_content", "reasoning", "think"] = "reasoning_content"
    newline: Literal["\n", "\r\n", "\r"] = "\n"
    write_bytes: int | None = None
    heartbeat_s: float | None = None
    done: bool = True
    finish: bool = True
    usage_with_finish: bool = False
    ignores_stream: bool = False


class ChunkWriter:
    """The chunks of one streamed answer, in a server's dialect, as bytes."""

    def __init__(self, dialect: Dialect, model: str, *, include_usage: bool) -> None:
        self._dialect = dialect
        self._include_usage = include_usage
        self._head = {
            "id": f"chatcmpl-{next(_ids)}",
            "object": "chat.completion.chunk",
            "created": _CREATED,
            "model": model,
            "system_fingerprint": _FINGERPRINT,
        }
        self._thinking = False

    def opening(self) -> list[bytes]:
        chunks = []
        if self._dialect.azure:
            chunks.append(
                self._frame(
                    {
                        "id": "",
                        "object": "",
                        "created": 0,
                        "model": "",
                        "choices": [],
                        "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": _HARMLESS}],
                    }
                )
            )
        return [*chunks, self._choice({"role": "assistant", "content": "", "refusal": None})]

    def text(self, piece: str) -> bytes:
        if self._thinking:
            self._thinking = False
            piece = f"</think>\n\n{piece}"
        return self._choice({"content": piece})

    def reasoning(self, piece: str) -> bytes:
        if self._dialect.reasoning != "think":
            return self._choice({self._dialect.reasoning: piece})
        if not self._thinking:
            self._thinking = True
            piece = f"<think>\n{piece}"
        return self._choice({"content": piece})

    def finish(self, reason: str, usage: CountTokens | None) -> list[bytes]:
        if self._dialect.azure and reason == "content_filter":
            return [self._blocked()]
        chunks = []
        if self._dialect.finish:
            extra = {"usage": usage_json(usage)} if self._dialect.usage_with_finish and usage else {}
            chunks.append(self._choice({}, finish_reason=reason, **extra))
        if self._dialect.azure:
            # The asynchronous filter's late verdict: a choice without delta, after the finish reason.
            choice = {
                "index": 0,
                "finish_reason": None,
                "content_filter_results": _HARMLESS,
                "content_filter_offsets": {"check_offset": 0, "start_offset": 0, "end_offset": 0},
            }
            chunks.append(self._frame({**self._head, "id": "", "choices": [choice]}))
        return chunks

    def _blocked(self) -> bytes:
        """Azure's verdict that the answer so far must not be shown: no delta at all."""
        choice = {"index": 0, "finish_reason": "content_filter", "content_filter_results": _HARMLESS}
        return self._frame({**self._head, "choices": [choice]})

    def usage(self, usage: CountTokens) -> list[bytes]:
        if not self._include_usage or self._dialect.usage_with_finish:
            return []
        return [self._frame({**self._head, "choices": [], "usage": usage_json(usage)})]

    def malformed(self) -> bytes:
        return self._event(b'{"id":"chatcmpl-broken","choices":[{"delta":{"content":"oh')

    def error(self, error: dict[str, Any]) -> bytes:
        return self._frame({"error": error})

    def ending(self) -> list[bytes]:
        return [self._event(b"[DONE]")] if self._dialect.done else []

    def heartbeat(self) -> bytes:
        return b": waiting" + self._dialect.newline.encode() * 2

    def _choice(self, delta: dict[str, Any], *, finish_reason: str | None = None, **extra: object) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        if self._dialect.azure:
            choice["content_filter_results"] = _HARMLESS if delta.get("content") else {}
        chunk = {**self._head, "choices": [choice]}
        if self._include_usage:
            chunk["usage"] = None
        return self._frame({**chunk, **extra})

    def _frame(self, chunk: dict[str, Any]) -> bytes:
        return self._event(msgspec.json.encode(chunk))

    def _event(self, data: bytes) -> bytes:
        return b"data: " + data + self._dialect.newline.encode() * 2


def completion_json(
    dialect: Dialect, model: str, *, text: str, reasoning: str, reason: str, usage: CountTokens | None
) -> bytes:
    """The same answer when it is not streamed."""
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
    if reasoning and dialect.reasoning == "think":
        message["content"] = f"<think>\n{reasoning}</think>\n\n{text}"
    elif reasoning:
        message[dialect.reasoning] = reasoning
    answer: dict[str, Any] = {
        "id": f"chatcmpl-{next(_ids)}",
        "object": "chat.completion",
        "created": _CREATED,
        "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": reason}],
        "system_fingerprint": _FINGERPRINT,
    }
    if usage is not None:
        answer["usage"] = usage_json(usage)
    return msgspec.json.encode(answer)


def usage_json(usage: CountTokens) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens or 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens or 0, "audio_tokens": 0},
    }
