"""AG-UI 1.0 over server-sent events, by the models and the encoder of `ag-ui-protocol`.

Format: the specification of AG-UI 1.0. Its client accepts nothing before RUN_STARTED and nothing after RUN_FINISHED or
RUN_ERROR, ends frames at "\\n\\n" alone, and fails on a null where a field is optional.

Building and dumping a model takes about 15 µs. For the frames that carry a token, that is done once for each message,
with an empty delta, and each token's text is put in its place, which takes less than 1 µs.
"""

import re
from typing import Any

import msgspec
from ag_ui.core import (
    PROTOCOL_VERSION,
    ActivityDeltaEvent,
    ActivitySnapshotEvent,
    BaseEvent,
    CustomEvent,
    ReasoningEndEvent,
    ReasoningMessageContentEvent,
    ReasoningMessageEndEvent,
    ReasoningMessageStartEvent,
    ReasoningStartEvent,
    RunErrorEvent,
    RunFinishedCancelledOutcome,
    RunFinishedEvent,
    RunFinishedOutcome,
    RunFinishedSuccessOutcome,
    RunStartedEvent,
    StepFinishedEvent,
    StepStartedEvent,
    TextMessageContentEvent,
    TextMessageEndEvent,
    TextMessageStartEvent,
    TokenUsage,
    ToolCallArgsEvent,
    ToolCallEndEvent,
    ToolCallResultEvent,
    ToolCallStartEvent,
)
from ag_ui.encoder import EventEncoder

from millstream.events import (
    Citation,
    Data,
    Event,
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
    escape_line_ends,
)
from millstream.wire.encoder import Encoder

_VERSION = re.compile(r"([0-9]{1,9})\.([0-9]{1,9})\Z")
_encoder = EventEncoder()


def knows_1_0(protocol_version: str | None) -> bool:
    """Whether a client that declares this version takes everything of 1.0. None: from before versions were declared.

    What is not of the form "1.0" is handled like a newer version, as the specification wants it.
    """
    if protocol_version is None:
        return False
    match = _VERSION.match(protocol_version)
    return match is None or int(match[1]) >= 1


class AgUiEncoder(Encoder):
    """`thread_id` and `run_id` are the client's own. `modern`: it knows 1.0, see `knows_1_0`.

    A client from before 1.0 is sent no reasoning and no outcome, and each source as an event of ours: it may not know
    the protocol's own, and fails on what it does not know.
    """

    def __init__(self, thread_id: str, run_id: str, *, modern: bool) -> None:
        super().__init__()
        self._thread_id = thread_id
        self._run_id = run_id
        self._modern = modern
        self._created = 0
        self._model = ""
        self._message_id = ""
        self._text_head = b""  # of the frames of the open message's words; empty while none is open
        self._reasoning_id = ""
        self._reasoning_head = b""  # …and of the open reasoning
        self._reasonings = 0
        self._steps: dict[str, tuple[str, str]] = {}  # open ones: step_id → stepName and label
        self._tools: set[str] = set()  # calls without a result
        self._sources: dict[int, int] = {}  # n → place in the list
        self._citations: list[dict[str, int]] = []
        self._finish: dict[str, Any] = {}
        self._usage: list[TokenUsage] | None = None
        self._estimated = False

    def run_started(self, event: RunStarted) -> bytes:
        self._created, self._model, self._message_id = event.created, event.model, event.message_id
        metadata = {"run_id": event.run_id, "conversation_id": event.conversation_id, "model": event.model}
        started = RunStartedEvent(
            thread_id=self._thread_id,
            run_id=self._run_id,
            protocol_version=PROTOCOL_VERSION,
            timestamp=self._time(event),
            metadata=metadata,
        )
        return _frame(started)

    def step_started(self, event: StepStarted) -> bytes:
        """A stepName says which step it is, so steps that are open at the same time get different ones."""
        closed = self._abandon_step(event.step_id) if event.step_id in self._steps else b""
        name = event.name
        taken = {name for name, _ in self._steps.values()}
        while name in taken:
            name += f" {event.step_id}"
        self._steps[event.step_id] = name, event.label
        metadata = {"step_id": event.step_id, "label": event.label}
        return closed + _frame(StepStartedEvent(step_name=name, timestamp=self._time(event), metadata=metadata))

    def step_finished(self, event: StepFinished) -> bytes:
        if event.step_id not in self._steps:
            return b""
        name, _ = self._steps.pop(event.step_id)
        metadata: dict[str, Any] = {"step_id": event.step_id, "label": event.label, "elapsed_ms": event.elapsed_ms}
        if event.detail is not None:
            metadata["detail"] = event.detail
        return _frame(StepFinishedEvent(step_name=name, timestamp=self._time(event), metadata=metadata))

    def source(self, event: Source) -> bytes:
        """The first makes the list of sources, the others are added to it: none is sent twice."""
        source = {name: value for name in _SOURCE_FIELDS if (value := getattr(event, name)) is not None}
        if not self._modern:
            return _frame(CustomEvent(name="source", value=source))
        is_new = event.n not in self._sources
        place = self._sources.setdefault(event.n, len(self._sources))
        activity = {"message_id": f"{self._message_id}-sources", "activity_type": "SOURCES"}
        if len(self._sources) == 1 and is_new:
            return _frame(ActivitySnapshotEvent.model_validate({**activity, "content": {"sources": [source]}}))
        op, path = ("add", "/sources/-") if is_new else ("replace", f"/sources/{place}")
        patch = [{"op": op, "path": path, "value": source}]
        return _frame(ActivityDeltaEvent.model_validate({**activity, "patch": patch}))

    def reasoning_delta(self, event: ReasoningDelta) -> bytes:
        if not self._modern:
            return b""
        opened = b""
        if not self._reasoning_head:
            self._reasonings += 1
            self._reasoning_id = message_id = f"{self._message_id}-reasoning-{self._reasonings}"
            self._reasoning_head = _head(ReasoningMessageContentEvent(message_id=message_id, delta=""))
            opened = _frame(ReasoningStartEvent(message_id=message_id))
            opened += _frame(ReasoningMessageStartEvent(message_id=message_id, role="reasoning"))
        return opened + self._reasoning_head + encode_json(event.text) + _TAIL

    def text_delta(self, event: TextDelta) -> bytes:
        opened = b""
        if self._reasoning_head:
            opened = self._end_reasoning()
        if not self._text_head:
            opened += self._start_text()
        return opened + self._text_head + encode_json(event.text) + _TAIL

    def citation(self, event: Citation) -> bytes:
        page = {} if event.page is None else {"page": event.page}
        self._citations.append({"n": event.n, "start": event.start, "end": event.end, **page})
        return b""

    def tool_started(self, event: ToolStarted) -> bytes:
        self._tools.add(event.tool_id)
        call_id = self._call_id(event.tool_id)
        start = ToolCallStartEvent(tool_call_id=call_id, tool_call_name=event.name)
        arguments = encode_json(event.arguments).decode()
        return (
            self._end_reasoning()
            + _frame(start)
            + _frame(ToolCallArgsEvent(tool_call_id=call_id, delta=arguments))
            + _frame(ToolCallEndEvent(tool_call_id=call_id))
        )

    def tool_finished(self, event: ToolFinished) -> bytes:
        if event.tool_id not in self._tools:
            return b""
        self._tools.remove(event.tool_id)
        call_id = self._call_id(event.tool_id)
        output = event.output if event.error is None else event.error
        result = ToolCallResultEvent(
            message_id=f"{call_id}-result",
            tool_call_id=call_id,
            content=output if isinstance(output, str) else "" if output is None else encode_json(output).decode(),
            metadata=None if event.error is None else {"error": event.error},
        )
        return _frame(result)

    def data(self, event: Data) -> bytes:
        metadata = None if event.key is None else {"key": event.key}
        return _frame(CustomEvent(name=event.name, value=event.data, metadata=metadata))

    def text_finished(self, event: TextFinished) -> bytes:
        """Also an answer without words has a message, which says why it has none."""
        self._finish = {"reason": event.reason}
        if event.unsupported:
            self._finish["unsupported"] = msgspec.to_builtins(event.unsupported)
        opened = b"" if self._text_head else self._start_text()
        return self._end_reasoning() + opened + self._end_text()

    def followups(self, event: Followups) -> bytes:
        return _frame(CustomEvent(name="followups", value=event.questions))

    def usage(self, event: Usage) -> bytes:
        self._estimated = event.estimated
        usage = TokenUsage(
            model=self._model,
            input_tokens=event.input_tokens,
            output_tokens=event.output_tokens,
            total_tokens=event.input_tokens + event.output_tokens,
            reasoning_tokens=event.reasoning_tokens,
            cached_input_tokens=event.cached_tokens,
        )
        self._usage = [usage]
        return b""

    def run_finished(self, event: RunFinished) -> bytes:
        outcome = RunFinishedSuccessOutcome() if self._modern else None
        return self._close() + self._finished(event, outcome, {})

    def run_stopped(self, event: RunStopped) -> bytes:
        """What was sent cannot be taken back: `seen` tells how much of it counts."""
        self._citations = [citation for citation in self._citations if citation["end"] <= event.seen]
        self._finish = {"seen": event.seen}
        outcome = RunFinishedCancelledOutcome() if self._modern else None
        return self._close() + self._finished(event, outcome, {"seen": event.seen})

    def run_failed(self, event: RunFailed) -> bytes:
        metadata: dict[str, Any] = {"retryable": event.retryable, **self._usage_metadata()}
        if event.retry_after is not None:
            metadata["retry_after"] = event.retry_after
        failed = RunErrorEvent(
            message=event.message,
            code=event.code,
            usage=self._usage,
            timestamp=self._time(event),
            metadata=metadata,
        )
        return self._close() + _frame(failed)

    def _finished(self, event: Event, outcome: RunFinishedOutcome | None, metadata: dict[str, Any]) -> bytes:
        finished = RunFinishedEvent(
            thread_id=self._thread_id,
            run_id=self._run_id,
            outcome=outcome,
            usage=self._usage,
            timestamp=self._time(event),
            metadata={**metadata, **self._usage_metadata()} or None,
        )
        return _frame(finished)

    def _start_text(self) -> bytes:
        self._text_head = _head(TextMessageContentEvent(message_id=self._message_id, delta=""))
        return _frame(TextMessageStartEvent(message_id=self._message_id, role="assistant"))

    def _end_text(self) -> bytes:
        """Its metadata becomes the message's: the citations, and why the words ended."""
        self._text_head = b""
        metadata: dict[str, Any] = {"citations": self._citations} if self._citations else {}
        return _frame(TextMessageEndEvent(message_id=self._message_id, metadata={**metadata, **self._finish} or None))

    def _end_reasoning(self) -> bytes:
        if not self._reasoning_head:
            return b""
        self._reasoning_head = b""
        ends = ReasoningMessageEndEvent, ReasoningEndEvent
        return b"".join(_frame(end(message_id=self._reasoning_id)) for end in ends)

    def _abandon_step(self, step_id: str) -> bytes:
        """The end of a step whose own end never came."""
        name, label = self._steps.pop(step_id)
        return _frame(StepFinishedEvent(step_name=name, metadata={"step_id": step_id, "label": label}))

    def _close(self) -> bytes:
        """Ends whatever is open, as the protocol wants it before the end of the run."""
        text = self._end_text() if self._text_head else b""
        return self._end_reasoning() + text + b"".join(self._abandon_step(step_id) for step_id in list(self._steps))

    def _usage_metadata(self) -> dict[str, Any]:
        return {"usage_estimated": True} if self._estimated else {}

    def _call_id(self, tool_id: str) -> str:
        """A tool's id is unique in its run, a call's must be in its thread."""
        return f"{self._message_id}-{tool_id}"

    def _time(self, event: Event) -> int:
        return self._created + event.at


_SOURCE_FIELDS = tuple(name for name in Source.__struct_fields__ if name not in ("seq", "at"))
_TAIL = b"}\n\n"


def _frame(event: BaseEvent) -> bytes:
    return escape_line_ends(_encoder.encode(event).encode())


def _head(event: BaseEvent) -> bytes:
    """The frame of an event with an empty delta, up to where the delta's JSON stands."""
    return _frame(event).removesuffix(b'""' + _TAIL)
