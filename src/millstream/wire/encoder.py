"""Encoders: events → bytes of one protocol. An encoder is one class with one method for each type of event.

Every byte is a function of the events alone: ids and times come from them, so the same log encodes to the same bytes,
however often and from whichever process. Nothing here knows of models, search or storage.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from typing import Any, ClassVar

from millstream.events import (
    AnyEvent,
    Citation,
    Data,
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
)


class Encoder:
    """Encodes one run from its first event on. A protocol overrides the methods of the events that it can carry.

    `media_type` and `heartbeat` are those of the stream. `resumable` says whether a client can come back to a run: if
    not, a run whose client is gone is stopped. After the terminal event `whole()` is the answer of the protocol's
    non-streaming form; with `tells_failure` also of a run that failed, once a status has been sent.
    """

    media_type: ClassVar[str] = "text/event-stream"
    heartbeat: ClassVar[bytes] = b": ping\n"
    resumable: bool = False
    tells_failure: ClassVar[bool] = False

    def __init__(self) -> None:
        self._handlers: dict[type, Callable[[Any], bytes]] = {
            kind: getattr(self, str(kind.__struct_config__.tag).replace(".", "_")) for kind in _KINDS
        }

    def encode(self, event: AnyEvent) -> bytes:
        """The bytes that this event adds to the stream; often none. Call it once for every event, in their order."""
        return self._handlers[type(event)](event)

    def whole(self) -> dict[str, Any]:
        """The non-streaming answer, as JSON. Call it when the run has ended."""
        raise NotImplementedError

    def run_started(self, event: RunStarted) -> bytes:
        return b""

    def step_started(self, event: StepStarted) -> bytes:
        return b""

    def step_finished(self, event: StepFinished) -> bytes:
        return b""

    def source(self, event: Source) -> bytes:
        return b""

    def reasoning_delta(self, event: ReasoningDelta) -> bytes:
        return b""

    def text_delta(self, event: TextDelta) -> bytes:
        return b""

    def citation(self, event: Citation) -> bytes:
        return b""

    def tool_started(self, event: ToolStarted) -> bytes:
        return b""

    def tool_finished(self, event: ToolFinished) -> bytes:
        return b""

    def data(self, event: Data) -> bytes:
        return b""

    def text_finished(self, event: TextFinished) -> bytes:
        return b""

    def followups(self, event: Followups) -> bytes:
        return b""

    def usage(self, event: Usage) -> bytes:
        return b""

    def run_finished(self, event: RunFinished) -> bytes:
        return b""

    def run_stopped(self, event: RunStopped) -> bytes:
        return b""

    def run_failed(self, event: RunFailed) -> bytes:
        return b""


_KINDS = (
    RunStarted, StepStarted, StepFinished, Source, ReasoningDelta, TextDelta, Citation, ToolStarted, ToolFinished, Data,
    TextFinished, Followups, Usage, RunFinished, RunStopped, RunFailed,
)  # fmt: skip


class MarkedText:
    """The answer's text with citation marks put into it, and where a place of the answer lies in the marked text.

    A mark is put in when its citation comes, if the text then ends where the citation does. A citation that comes later
    (an answer is checked when its words are finished) gets no mark: what was sent cannot be changed.
    """

    def __init__(self, mark: Callable[[int], str]) -> None:
        self._mark = mark
        self._length = 0
        self._places: list[int] = []  # in the answer, where marks were put in, ascending
        self._added: list[int] = [0]  # characters of the first n marks together

    def text(self, text: str) -> str:
        self._length += len(text)
        return text

    def citation(self, event: Citation) -> str:
        """The mark to write now, or "" when there is none."""
        if event.end != self._length:
            return ""
        mark = self._mark(event.n)
        self._places.append(event.end)
        self._added.append(self._added[-1] + len(mark))
        return mark

    def span(self, event: Citation) -> tuple[int, int]:
        """The citation's statement [start, end) in the marked text, without the marks behind it."""
        start = event.start + self._added[bisect_right(self._places, event.start)]
        end = event.end + self._added[bisect_left(self._places, event.end)]
        return min(start, end), end

    def cut(self, seen: int) -> int:
        """Where the marked text ends when the answer is cut at `seen`: behind the marks at that place."""
        return seen + self._added[bisect_right(self._places, seen)]
