"""Vercel AI SDK: its UI message stream, version 1, over server-sent events.

Format: the `uiMessageChunkSchema` of the npm package `ai`. Its first releases 5.0.0 and 6.0.0 refuse every key that
they do not know, and every release refuses an unknown type, null for what is optional, and a delta whose block was not
begun. What is sent by default passes in all of 5, 6 and 7.

A client in JavaScript counts UTF-16 units, and a message may have several text parts: so a place of the answer is given
as `part` (the number of the text part, from 0 on), `start` and `end` in it, for `String.slice`.
"""

from bisect import bisect_left
from typing import Any

from millstream.events import (
    Citation,
    Data,
    FinishReason,
    Followups,
    ReasoningDelta,
    RunFailed,
    RunFinished,
    RunStarted,
    RunStopped,
    Source,
    StepFinished,
    StepStarted,
    TextDelta,
    TextFinished,
    ToolFinished,
    ToolStarted,
    Usage,
    encode_json,
)
from millstream.wire.encoder import Encoder, MarkedText
from millstream.wire.links import source_url

_DONE = b"data: [DONE]\n\n"
_REASONS: dict[FinishReason, str] = {"stop": "stop", "length": "length", "content_filter": "content-filter"}
# Names of data parts that are ours; an application's data of such a name comes as `data-app-NAME`.
_OURS = frozenset({"step", "citation", "unsupported", "followups"})


class AiSdkEncoder(Encoder):
    """`version` 5 is what all versions accept; 7 adds finish reasons, citations of a text part, and why it was aborted.

    `base` is where the server is reached. Every source is a `source-url`, those from files too, with the address of the
    page that shows the passage: existing front ends show no other kind.

    `resumable` stays false though a client can come back: a body that ends without an end looks complete to the SDK,
    so a reader who is cut off must be told.
    """

    def __init__(self, base: str = "", version: int = 5) -> None:
        super().__init__()
        self._base = base
        self._version = version
        self._run_id = ""
        self._block: str | None = None  # the open block: "text" or "reasoning"
        self._blocks = {"text": 0, "reasoning": 0}
        self._delta_head = b""
        self._marked = MarkedText(lambda n: f"[{n}]")
        self._places = _Places()
        self._sources: dict[int, dict[str, Any]] = {}
        self._steps: dict[str, dict[str, Any]] = {}  # begun and not finished, as they were sent
        self._tools: set[str] = set()  # begun and not finished
        self._cited = 0
        self._citations: list[dict[str, Any]] = []  # of the open text part, as version 7 has them
        self._reason: str | None = None

    def run_started(self, event: RunStarted) -> bytes:
        self._run_id = event.run_id
        metadata = {"runId": event.run_id, "model": event.model, "createdAt": event.created}
        start = {"type": "start", "messageId": event.message_id, "messageMetadata": metadata}
        return _frame(start) + _frame({"type": "start-step"})

    # Steps, sources, tools, and what the application adds

    def step_started(self, event: StepStarted) -> bytes:
        step = {"name": event.name, "label": event.label, "state": "active"}
        self._steps[event.step_id] = step
        return _data("step", event.step_id, step)

    def step_finished(self, event: StepFinished) -> bytes:
        step = self._steps.pop(event.step_id, None)
        if step is None:
            return b""
        detail = {} if event.detail is None else {"detail": event.detail}
        done = {**step, "label": event.label, "state": "done", "elapsedMs": event.elapsed_ms, **detail}
        return _data("step", event.step_id, done)

    def source(self, event: Source) -> bytes:
        about = {
            "url": source_url(event, self._base, self._run_id),
            "title": event.title,
            "providerMetadata": _about(event),
        }
        self._sources[event.n] = {"type": "source", "sourceType": "url", "id": event.source_id, **about}
        return _frame({"type": "source-url", "sourceId": event.source_id, **about})

    def tool_started(self, event: ToolStarted) -> bytes:
        self._tools.add(event.tool_id)
        call = {"toolCallId": event.tool_id, "toolName": event.name, "input": event.arguments}
        return self._end_block() + _frame({"type": "tool-input-available", **call, **_OF_SERVER})

    def tool_finished(self, event: ToolFinished) -> bytes:
        if event.tool_id not in self._tools:
            return b""
        self._tools.remove(event.tool_id)
        call = {"toolCallId": event.tool_id}
        if event.error is not None:
            return _frame({"type": "tool-output-error", **call, "errorText": event.error, **_OF_SERVER})
        return _frame({"type": "tool-output-available", **call, "output": event.output, **_OF_SERVER})

    def data(self, event: Data) -> bytes:
        name = f"app-{event.name}" if event.name in _OURS else event.name
        return _data(name, event.name if event.key is None else event.key, event.data)

    def followups(self, event: Followups) -> bytes:
        return _data("followups", "followups", {"questions": event.questions})

    def usage(self, event: Usage) -> bytes:
        usage: dict[str, Any] = {
            "inputTokens": event.input_tokens,
            "outputTokens": event.output_tokens,
            "totalTokens": event.input_tokens + event.output_tokens,
        }
        if event.reasoning_tokens is not None:
            usage["reasoningTokens"] = event.reasoning_tokens
        if event.cached_tokens is not None:
            usage["cachedInputTokens"] = event.cached_tokens
        return _metadata({"usage": {**usage, "estimated": event.estimated}})

    # Words

    def reasoning_delta(self, event: ReasoningDelta) -> bytes:
        if not event.text:
            return b""
        begin = b"" if self._block == "reasoning" else self._begin_block("reasoning")
        return begin + self._delta_head + encode_json(event.text) + b"}\n\n"

    def text_delta(self, event: TextDelta) -> bytes:
        if not event.text:
            return b""
        begin = b"" if self._block == "text" else self._begin_block("text")
        return begin + self._text(self._marked.text(event.text))

    def citation(self, event: Citation) -> bytes:
        mark = self._marked.citation(event) if self._block == "text" else ""
        part, start, end = self._places.span(*self._marked.span(event))
        cited = {"n": event.n, **self._source_id(event.n), "part": part, "start": start, "end": end}
        if event.page is not None:
            cited["page"] = event.page
        if mark:
            cited["mark"] = self._places.end
        frames = self._text(mark) if mark else b""
        self._cited += 1
        if self._version >= 7 and event.n in self._sources and self._block == "text" and part == self._places.last:
            source = self._sources[event.n]
            snippet = source["providerMetadata"]["millstream"]["snippet"]
            self._citations.append({"source": source, "startIndex": start, "endIndex": end, "citedText": snippet})
        return frames + _data("citation", f"citation-{self._cited}", cited)

    def text_finished(self, event: TextFinished) -> bytes:
        self._reason = _REASONS[event.reason]
        frames = self._end_block()
        for number, flag in enumerate(event.unsupported or (), 1):
            part, start, end = self._places.span(*self._marked.span(Citation(n=0, start=flag.start, end=flag.end)))
            place = {"part": part, "start": start, "end": end}
            missing = {"missing": flag.missing} if flag.missing else {}
            frames += _data("unsupported", f"unsupported-{number}", {**place, **missing})
        return frames

    def _text(self, text: str) -> bytes:
        self._places.add(text)
        return self._delta_head + encode_json(text) + b"}\n\n"

    def _source_id(self, n: int) -> dict[str, str]:
        source = self._sources.get(n)
        return {} if source is None else {"sourceId": source["id"]}

    def _begin_block(self, kind: str) -> bytes:
        frames = self._end_block()
        self._block = kind
        self._blocks[kind] += 1
        name = f"{kind}-{self._blocks[kind]}"
        if kind == "text":
            self._places.begin_part()
        self._delta_head = b'data: {"type":"%b-delta","id":"%b","delta":' % (kind.encode(), name.encode())
        return frames + _frame({"type": f"{kind}-start", "id": name})

    def _end_block(self) -> bytes:
        kind, self._block = self._block, None
        if kind is None:
            return b""
        end: dict[str, Any] = {"type": f"{kind}-end", "id": f"{kind}-{self._blocks[kind]}"}
        if self._citations:
            end["citations"], self._citations = self._citations, []
        return _frame(end)

    # The three ends

    def run_finished(self, event: RunFinished) -> bytes:
        reason = self._reason or "stop"
        finish: dict[str, Any] = {"type": "finish", "messageMetadata": {"finishReason": reason}}
        if self._version >= 7:
            finish["finishReason"] = reason
        return self._end_all("The answer ended before the tool did.") + _frame(finish) + _DONE

    def run_stopped(self, event: RunStopped) -> bytes:
        abort: dict[str, Any] = {"type": "abort"}
        if self._version >= 7:
            abort["reason"] = "stopped"
        frames = self._end_all("The answer was stopped before the tool ended.")
        metadata: dict[str, Any] = {"aborted": True}
        part, _, end = self._places.span(0, cut := self._marked.cut(event.seen))
        if cut < self._places.length:  # what was sent stays; a front end may cut it where its reader was
            metadata["seen"] = {"part": part, "end": end}
        return frames + _metadata(metadata) + _frame(abort) + _DONE

    def run_failed(self, event: RunFailed) -> bytes:
        error: dict[str, Any] = {"code": event.code, "retryable": event.retryable}
        if event.retry_after is not None:
            error["retryAfter"] = event.retry_after
        frames = self._end_all("The answer failed before the tool ended.") + _metadata({"error": error})
        return frames + _frame({"type": "error", "errorText": event.message}) + _DONE

    def _end_all(self, unfinished: str) -> bytes:
        frames = self._end_block()
        for step_id, step in self._steps.items():
            frames += _data("step", step_id, {**step, "state": "unfinished"})
        for tool_id in sorted(self._tools):
            frames += self.tool_finished(ToolFinished(tool_id=tool_id, error=unfinished))
        return frames + _frame({"type": "finish-step"})


class _Places:
    """Counts the text that was sent, marks included: in code points, in UTF-16 units, and by text parts."""

    def __init__(self) -> None:
        self.length = 0  # in code points
        self._wide: list[int] = []  # where a code point takes two units, ascending
        self._parts: list[int] = []  # where each text part begins

    def begin_part(self) -> None:
        self._parts.append(self.length)

    def add(self, text: str) -> None:
        if not text.isascii() and max(text) > "\uffff":
            self._wide += (self.length + at for at, character in enumerate(text) if character > "\uffff")
        self.length += len(text)

    @property
    def last(self) -> int:
        """The newest text part's number."""
        return len(self._parts) - 1

    @property
    def end(self) -> int:
        """Where the newest text part ends, in units."""
        return self._units(self.length) - self._units(self._parts[-1])

    def span(self, start: int, end: int) -> tuple[int, int, int]:
        """[start, end) in code points as (text part, start, end), in units; what lies in an earlier part is cut off."""
        end = min(end, self.length)
        part = max(0, bisect_left(self._parts, end) - 1)
        begin = self._parts[part] if self._parts else 0
        start = min(max(start, begin), end)
        return part, self._units(start) - self._units(begin), self._units(end) - self._units(begin)

    def _units(self, place: int) -> int:
        return place + bisect_left(self._wide, place)


# The tools run at the server: without this the SDK would call `onToolCall` and wait for their output.
_OF_SERVER = {"providerExecuted": True, "dynamic": True}


def _about(event: Source) -> dict[str, Any]:
    """What the protocol has no place for, as `providerMetadata`."""
    ours = {
        "n": event.n, "documentId": event.document_id, "version": event.version, "uri": event.uri,
        "snippet": event.snippet, "score": event.score, "pageStart": event.page_start, "pageEnd": event.page_end,
        "start": event.start, "end": event.end,
    }  # fmt: skip
    return {"millstream": {name: value for name, value in ours.items() if value is not None}}


def _metadata(metadata: dict[str, Any]) -> bytes:
    return _frame({"type": "message-metadata", "messageMetadata": metadata})


def _data(name: str, key: str, data: Any) -> bytes:
    return _frame({"type": f"data-{name}", "id": key, "data": data})


def _frame(part: dict[str, Any]) -> bytes:
    body = encode_json(part)
    if b'"__proto__"' in body or b'"constructor"' in body:
        body = encode_json(_without_prototypes(part))
    return b"data: " + body + b"\n\n"


def _without_prototypes(value: Any) -> Any:
    """The same JSON without the keys for which the SDK gives up the whole stream (prototype pollution)."""
    match value:
        case dict():
            return {
                key: _without_prototypes(item)
                for key, item in value.items()
                if key != "__proto__" and not (key == "constructor" and isinstance(item, dict) and "prototype" in item)
            }
        case list() | tuple():
            return [_without_prototypes(item) for item in value]
        case _:
            return value
