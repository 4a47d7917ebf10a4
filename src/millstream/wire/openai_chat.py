"""OpenAI Chat Completions: chunks of `chat.completion.chunk` over server-sent events, or one `chat.completion`.

Formats: the API reference of OpenAI, "Chat"; Azure OpenAI's, and "On Your Data" there for `context`, `end_turn` and
`[doc1]`. No `id:`, `retry:` or empty `data:` is ever sent: openai-python 3.54 fails on them.

All annotations come in one chunk, when the words are complete: of several, the `stream()` of openai-node 7.57 keeps the
last and that of openai-python 3.54 fails. What OpenAI has no place for stands beside `choices` in an ordinary chunk,
because that `stream()` of JavaScript fails on a frame without them; and only where a client asked for it.
"""

from collections.abc import Collection
from typing import Any, Literal, get_args

from millstream.errors import status_of
from millstream.events import (
    Citation,
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
    Usage,
    encode_json,
)
from millstream.wire.encoder import Encoder, MarkedText
from millstream.wire.links import source_url
from millstream.wire.openai_error import openai_error

# What a client may ask for beyond OpenAI's: steps as `x_status`, suggested questions as `x_followups`, and both as the
# `event` that Open WebUI shows.
Extra = Literal["status", "followups", "events"]
EXTRAS: tuple[Extra, ...] = get_args(Extra)

# `on_your_data` is Azure's with a request that names data sources.
Dialect = Literal["openai", "azure", "on_your_data"]

# Azure's categories of harm. A prompt that was refused by its filter gets no answer, so that none of them was.
_NOT_FILTERED = {name: {"filtered": False} for name in ("hate", "self_harm", "sexual", "violence")}
_PROMPT_FILTERED = [{"prompt_index": 0, "content_filter_results": _NOT_FILTERED}]

# Where the delta stands in a chunk that is encoded once, for all that follow.
_PLACE = "\x00"


class OpenAIChatEncoder(Encoder):
    """`base_url` is where the sources without an address of their own are read: `https://docs.example`.

    `include_usage` is the request's `stream_options.include_usage`. With `keep`, the answer is kept for `whole()`.
    """

    def __init__(
        self,
        *,
        base_url: str = "",
        dialect: Dialect = "openai",
        include_usage: bool = False,
        extras: Collection[Extra] = (),
        keep: bool = False,
    ) -> None:
        super().__init__()
        self._base_url = base_url
        self._azure = dialect != "openai"
        self._object = "extensions.chat.completion" if dialect == "on_your_data" else "chat.completion"
        self._include_usage = include_usage
        self._no_usage = {"usage": None} if include_usage else {}
        self._extras = extras
        self._keep = keep
        self._marked = MarkedText((lambda n: f"[doc{n}]") if self._azure else (lambda n: f"[{n}]"))
        self._run_id = ""
        self._head: dict[str, Any] = {}
        self._before, self._after = b"", b""
        self._begun = False
        self._sources: dict[int, Source] = {}
        self._told = 0  # how many of the sources the client has, as Azure's context
        self._query: str | None = None
        self._annotations: list[dict[str, Any]] = []
        self._ends: list[int] = []  # of the annotations, in the answer
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._followups: list[str] = []
        self._reason: FinishReason | None = None
        self._usage = _usage_of(Usage(input_tokens=0, output_tokens=0, estimated=False))  # when no model was asked
        self._seen: int | None = None

    def run_started(self, event: RunStarted) -> bytes:
        self._run_id = event.run_id
        self._head = {
            "id": f"chatcmpl-{event.run_id}",
            "object": f"{self._object}.chunk",
            "created": event.created // 1000,
            "model": event.model,
        }
        self._before, _, self._after = self._chunk(_PLACE).rpartition(encode_json(_PLACE))
        return b""

    def step_started(self, event: StepStarted) -> bytes:
        status = {"step_id": event.step_id, "name": event.name, "label": event.label, "state": "running"}
        return self._status(status, event.label, done=False)

    def step_finished(self, event: StepFinished) -> bytes:
        detail = event.detail
        if self._azure and detail is not None and isinstance(query := detail.get("query"), str):
            self._query = query
        status = {"step_id": event.step_id, "label": event.label, "state": "done", "elapsed_ms": event.elapsed_ms}
        return self._status(status if detail is None else {**status, "detail": detail}, event.label, done=True)

    def source(self, event: Source) -> bytes:
        self._sources.setdefault(event.n, event)
        return b""

    def reasoning_delta(self, event: ReasoningDelta) -> bytes:
        if self._keep:
            self._reasoning.append(event.text)
        return self._delta(b'{"reasoning_content":' + encode_json(event.text) + b"}")

    def text_delta(self, event: TextDelta) -> bytes:
        return self._content(self._marked.text(event.text))

    def citation(self, event: Citation) -> bytes:
        source = self._sources.get(event.n)
        if source is None or self._reason is not None:
            return b""
        start, end = self._marked.span(event)
        url = source_url(source, self._base_url, self._run_id)
        cited = {"url": url, "title": source.title, "start_index": start, "end_index": end}
        self._annotations.append({"type": "url_citation", "url_citation": cited})
        self._ends.append(event.end)
        mark = self._marked.citation(event)
        return self._content(mark) if mark else b""

    def text_finished(self, event: TextFinished) -> bytes:
        if self._reason is not None:
            return b""
        frames = self._annotate()
        self._reason = event.reason
        return frames

    def followups(self, event: Followups) -> bytes:
        self._followups = event.questions
        extra: dict[str, Any] = {}
        if "followups" in self._extras:
            extra["x_followups"] = event.questions
        if "events" in self._extras:
            extra["event"] = {"type": "chat:message:follow_ups", "data": {"follow_ups": event.questions}}
        return self._extra(extra)

    def usage(self, event: Usage) -> bytes:
        self._usage = _usage_of(event)
        return b""

    def run_finished(self, event: RunFinished) -> bytes:
        return self._end()

    def run_stopped(self, event: RunStopped) -> bytes:
        self._seen = event.seen
        return self._end()

    def run_failed(self, event: RunFailed) -> bytes:
        status = event.status or status_of(event.code)
        return _frame(openai_error(event.message, event.code, status, retryable=event.retryable))

    def whole(self) -> dict[str, Any]:
        """The `chat.completion`. It needs `keep`."""
        content = "".join(self._text)
        if self._seen is not None:
            content = content[: self._marked.cut(self._seen)]
        message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None}
        if self._reasoning:
            message["reasoning_content"] = "".join(self._reasoning)
        message["annotations"] = self._shown_annotations()
        answer: dict[str, Any] = {**self._head, "object": self._object}
        if self._azure:
            message |= self._context()
            answer["prompt_filter_results"] = _PROMPT_FILTERED
        choice = {"index": 0, "message": message, "finish_reason": self._reason or "stop", "logprobs": None}
        if self._azure:
            choice |= {"content_filter_results": {}, "end_turn": True}
        answer |= {"choices": [choice], "usage": self._usage}
        if self._followups and "followups" in self._extras:
            answer["x_followups"] = self._followups
        return answer | self._aborted()

    def _status(self, status: dict[str, Any], label: str, *, done: bool) -> bytes:
        extra: dict[str, Any] = {}
        if "status" in self._extras:
            extra["x_status"] = status
        if "events" in self._extras:
            extra["event"] = {"type": "status", "data": {"description": label, "done": done}}
        return self._extra(extra)

    def _extra(self, extra: dict[str, Any]) -> bytes:
        """A chunk that adds nothing to the answer and carries `extra`; no chunk without one."""
        return self._begin() + self._chunk({}, **extra) if extra else b""

    def _content(self, text: str) -> bytes:
        if self._keep:
            self._text.append(text)
        return self._delta(b'{"content":' + encode_json(text) + b"}")

    def _delta(self, delta: bytes) -> bytes:
        """The chunk with an encoded delta: nothing but the delta is encoded for it."""
        if self._begun and (not self._azure or self._told == len(self._sources)):
            return self._before + delta + self._after
        return self._begin() + self._before + delta + self._after

    def _begin(self) -> bytes:
        """The first delta, which has the role; at Azure it has the context too, and any later delta new sources."""
        begun, self._begun = self._begun, True
        if not self._azure:
            return b"" if begun else self._chunk({"role": "assistant", "content": ""})
        told, self._told = self._told, len(self._sources)
        if not begun:
            verdict = {"prompt_filter_results": _PROMPT_FILTERED}
            first = _frame({**self._head, "choices": [], **self._no_usage, **verdict})
            return first + self._chunk({"role": "assistant", **self._context()})
        return self._chunk(self._context(told)) if self._told > told else b""

    def _context(self, after: int = 0) -> dict[str, Any]:
        """Azure's `context` with the sources from the one at `after` on, and with the first ones the query for them."""
        citations = [
            {
                "index": index,  # by which openai-python puts the lists of several deltas together
                "content": source.snippet,
                "title": source.title,
                "url": source_url(source, self._base_url, self._run_id),
                "filepath": source.uri,
                "chunk_id": source.source_id,
            }
            for index, source in enumerate(list(self._sources.values())[after:], after)
        ]
        context: dict[str, Any] = {"citations": citations}
        if self._query is not None and citations and not after:
            context["intent"] = encode_json([self._query]).decode()
        return {"context": context}

    def _shown_annotations(self) -> list[dict[str, Any]]:
        if self._seen is None:
            return self._annotations
        return [each for each, end in zip(self._annotations, self._ends, strict=True) if end <= self._seen]

    def _annotate(self) -> bytes:
        annotations = self._shown_annotations()
        return self._begin() + self._chunk({"annotations": annotations}) if annotations else b""

    def _aborted(self) -> dict[str, bool]:
        return {} if self._seen is None else {"x_aborted": True}

    def _choice(self, delta: object, finish_reason: FinishReason | None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        if self._azure:
            choice |= {"content_filter_results": {}, "end_turn": finish_reason is not None}
        return choice

    def _chunk(self, delta: object, finish_reason: FinishReason | None = None, **extra: Any) -> bytes:
        return _frame({**self._head, "choices": [self._choice(delta, finish_reason)], **self._no_usage, **extra})

    def _end(self) -> bytes:
        frames = self._begin() + (self._annotate() if self._reason is None else b"")
        frames += self._chunk({}, self._reason or "stop", **self._aborted())
        if self._include_usage:
            frames += _frame({**self._head, "choices": [], "usage": self._usage})
        return frames + b"data: [DONE]\n\n"


def _frame(value: dict[str, Any]) -> bytes:
    return b"data: " + encode_json(value) + b"\n\n"


def _usage_of(event: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": event.input_tokens,
        "completion_tokens": event.output_tokens,
        "total_tokens": event.input_tokens + event.output_tokens,
        "prompt_tokens_details": {"cached_tokens": event.cached_tokens or 0},
        "completion_tokens_details": {"reasoning_tokens": event.reasoning_tokens or 0},
    }
