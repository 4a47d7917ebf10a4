"""The vocabulary: every event a run can write. Imports nothing of ours.

An event is one JSON object tagged by `type`. `seq` is 1-based and gapless within its run, `at` is milliseconds since
the run began. A field without a value is left out, never null. Fields are only ever added; a reader passes over types
and fields that it does not know (`decode` returns None for an unknown type).

The stored bytes of an event are its native frame (`encode`): one line of JSON and "\\n". They are made once and shared
by all readers; other framings only wrap them.
"""

from typing import Any, Literal

import msgspec

FORMAT = 1

FinishReason = Literal["stop", "length", "content_filter"]


class Event(msgspec.Struct, omit_defaults=True, tag_field="type", gc=False):
    """`seq` and `at` are assigned by the producer when the event is numbered."""

    seq: int = -1
    at: int = -1


class RunStarted(Event, tag="run.started", kw_only=True):
    """Always seq 1. `created` is milliseconds since the Unix epoch.

    `follows` is the run that this one's messages came after, `metadata` the client's own.
    """

    format: int
    run_id: str
    conversation_id: str
    message_id: str
    model: str
    created: int
    parent_id: str | None = None
    follows: str | None = None
    metadata: dict[str, str] | None = None


class StepStarted(Event, tag="step.started", kw_only=True, gc=False):
    """A stage began; `label` is for a person: "Searching 214 documents…".

    `retry_after` is there when all it does is wait for the next try: so many seconds, to be counted down.
    """

    step_id: str
    name: str
    label: str
    retry_after: float | None = None


class StepFinished(Event, tag="step.finished", kw_only=True):
    """…and ended. `detail` is what a developer wants to see: queries, filters, hits with scores, tokens."""

    step_id: str
    label: str
    elapsed_ms: int
    detail: dict[str, Any] | None = None


class Source(Event, tag="source", kw_only=True, gc=False):
    """Passage `n` is available to the answer; sent before the first word. `uri` is never an absolute path.

    Pages are 1-based; `start`, `end` are Unicode code points in the document's text.
    """

    n: int
    source_id: str
    document_id: str
    version: str
    title: str
    uri: str
    snippet: str
    page_start: int | None = None
    page_end: int | None = None
    start: int | None = None
    end: int | None = None
    score: float | None = None


class ReasoningDelta(Event, tag="reasoning.delta", kw_only=True, gc=False):
    text: str


class TextDelta(Event, tag="text.delta", kw_only=True, gc=False):
    """A piece of the answer, Markdown."""

    text: str


class Citation(Event, tag="citation", kw_only=True, gc=False):
    """Answer characters [start, end), in Unicode code points, rest on source `n`.

    Follows the last delta of that statement; a mark is shown at `end`. Where the source covers two pages, `page` is
    the one on which the statement rests, unless both are as likely.
    """

    n: int
    start: int
    end: int
    page: int | None = None


class ToolStarted(Event, tag="tool.started", kw_only=True):
    tool_id: str
    name: str
    arguments: dict[str, Any]


class ToolFinished(Event, tag="tool.finished", kw_only=True):
    tool_id: str
    output: Any = None
    error: str | None = None


class Data(Event, tag="data", kw_only=True):
    """The application's own event; the same name and key replaces."""

    name: str
    data: Any
    key: str | None = None


class Unsupported(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The statement [start, end) of the answer, in Unicode code points, does not stand in the sources.

    `missing` are its numbers and quotations that are not in them; absent when its words as a whole are not.
    """

    start: int
    end: int
    missing: tuple[str, ...] = ()


class TextFinished(Event, tag="text.finished", kw_only=True):
    """The words are complete; what follows is extra. `unsupported` is None when there is nothing to flag."""

    reason: FinishReason
    unsupported: list[Unsupported] | None = None


class Followups(Event, tag="followups", kw_only=True):
    questions: list[str]


class Usage(Event, tag="usage", kw_only=True, gc=False):
    """Once, before the terminal event, over all model calls. `estimated` when the provider gave none."""

    input_tokens: int
    output_tokens: int
    estimated: bool
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None


class RunFinished(Event, tag="run.finished", kw_only=True, gc=False):
    pass


class RunStopped(Event, tag="run.stopped", kw_only=True, gc=False):
    """The user stopped the run; every fold cuts the answer at `seen` code points."""

    seen: int


class RunFailed(Event, tag="run.failed", kw_only=True, gc=False):
    """The partial answer is kept and marked incomplete. `retry_after` is in seconds.

    `status` is that of a non-streaming answer, where it is not the code's own (`errors.status_of`).
    """

    code: str
    message: str
    retryable: bool
    retry_after: float | None = None
    status: int | None = None
    durable_seq: int | None = None


AnyEvent = (
    RunStarted
    | StepStarted
    | StepFinished
    | Source
    | ReasoningDelta
    | TextDelta
    | Citation
    | ToolStarted
    | ToolFinished
    | Data
    | TextFinished
    | Followups
    | Usage
    | RunFinished
    | RunStopped
    | RunFailed
)
Terminal = RunFinished | RunStopped | RunFailed

_encode = msgspec.json.Encoder().encode
_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)


class _Tagged(msgspec.Struct):
    type: str


_tagged = msgspec.json.Decoder(_Tagged)

# Readers that split on Unicode line ends (httpx's iter_lines, Python's str.splitlines) would cut a frame at these.
_LINE_ENDS = ((b"\xc2\x85", b"\\u0085"), (b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"))


def encode_json(value: object) -> bytes:
    """`value` as one line of JSON without any Unicode line end, not even an escaped newline at its end."""
    data = _encode(value)
    return data if data.isascii() else escape_line_ends(data)


def escape_line_ends(data: bytes) -> bytes:
    """The same JSON without any raw Unicode line end, whoever encoded it."""
    for raw, escaped in _LINE_ENDS:
        if raw in data:
            data = data.replace(raw, escaped)
    return data


def encode(event: Event) -> bytes:
    """The event's native frame: one line of JSON ending in a newline."""
    data = _encode(event)
    return (data if data.isascii() else escape_line_ends(data)) + b"\n"


def decode(frame: bytes | str) -> AnyEvent | None:
    """The event in one frame, or None when its type is not known here.

    Raises msgspec.DecodeError (a ValueError) when the frame is not JSON or a known type lacks a field.
    """
    try:
        return _decoder.decode(frame)
    except msgspec.ValidationError:
        if _tagged.decode(frame).type in _KNOWN:
            raise
        return None


def decode_all(frames: bytes) -> list[AnyEvent | None]:
    """The events in a sequence of frames, each as `decode` gives it."""
    try:
        return _decoder.decode_lines(frames)  # type: ignore[return-value]
    except msgspec.ValidationError:
        return [decode(frame) for frame in frames.splitlines()]


_KNOWN = frozenset(
    kind.__struct_config__.tag
    for kind in (
        RunStarted, StepStarted, StepFinished, Source, ReasoningDelta, TextDelta, Citation, ToolStarted,
        ToolFinished, Data, TextFinished, Followups, Usage, RunFinished, RunStopped, RunFailed,
    )
)  # fmt: skip
