"""The fold of a run's events: the message as it stood at one instant, with its cursor."""

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import msgspec

from millstream.events import (
    FORMAT,
    AnyEvent,
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
    Unsupported,
    Usage,
    decode_all,
)
from millstream.logs import RunState


class _Numbered(msgspec.Struct):
    seq: int


_numbered = msgspec.json.Decoder(_Numbered)


class StepState(msgspec.Struct, omit_defaults=True):
    """While it runs, `at` says when it began, in milliseconds since the run did, and `retry_after` how many seconds it
    will wait, if that is all it does; then `elapsed_ms` says how long it took.
    """

    step_id: str
    name: str
    label: str
    state: Literal["running", "done"]
    at: int | None = None
    retry_after: float | None = None
    detail: dict[str, Any] | None = None
    elapsed_ms: int | None = None


class SourceState(msgspec.Struct, omit_defaults=True):
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


class CitationState(msgspec.Struct, omit_defaults=True):
    n: int
    start: int
    end: int
    page: int | None = None


class ToolState(msgspec.Struct, omit_defaults=True):
    tool_id: str
    name: str
    arguments: dict[str, Any]
    output: Any = None
    error: str | None = None


class DataState(msgspec.Struct, omit_defaults=True):
    name: str
    data: Any
    key: str | None = None


class UsageState(msgspec.Struct, omit_defaults=True):
    input_tokens: int
    output_tokens: int
    estimated: bool
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None


class ErrorState(msgspec.Struct, omit_defaults=True):
    code: str
    message: str
    retryable: bool
    retry_after: float | None = None
    status: int | None = None


class Message(msgspec.Struct, omit_defaults=True):
    """The answer. `reason` is there exactly when `text.finished` arrived: only then are the words complete."""

    content: str
    steps: list[StepState]
    sources: list[SourceState]
    citations: list[CitationState]
    followups: list[str]
    unsupported: list[Unsupported] | None = None
    reasoning: str | None = None
    tools: list[ToolState] | None = None
    data: list[DataState] | None = None
    usage: UsageState | None = None
    reason: FinishReason | None = None
    error: ErrorState | None = None


class Snapshot(msgspec.Struct, omit_defaults=True):
    """`seq` is the cursor: following with `after=seq` continues exactly here."""

    run_id: str
    conversation_id: str
    message_id: str
    model: str
    created: int
    state: RunState
    seq: int
    message: Message
    parent_id: str | None = None
    follows: str | None = None
    metadata: dict[str, str] | None = None


class Fold:
    """Adds events one by one; `snapshot()` at any time. Events at or below the cursor are passed over."""

    def __init__(self) -> None:
        self._started: RunStarted | None = None
        self._seq = 0
        self._at = 0
        self._state: RunState = "running"
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._steps: dict[str, StepState] = {}
        self._sources: dict[int, SourceState] = {}
        self._citations: list[CitationState] = []
        self._tools: dict[str, ToolState] = {}
        self._data: dict[tuple[str, str | None], DataState] = {}
        self._followups: list[str] = []
        self._usage: UsageState | None = None
        self._reason: FinishReason | None = None
        self._unsupported: list[Unsupported] | None = None
        self._error: ErrorState | None = None
        self._seen: int | None = None

    @property
    def seq(self) -> int:
        return self._seq

    @property
    def at(self) -> int:
        """`at` of the last event."""
        return self._at

    @property
    def ended(self) -> bool:
        """The terminal event was added: none follows it."""
        return self._state != "running"

    @property
    def words_complete(self) -> bool:
        return self._reason is not None

    def add_frames(self, frames: bytes) -> None:
        for number, event in enumerate(decode_all(frames)):
            if type(event) is TextDelta and event.seq > self._seq:  # as `add` does, for what there is most of
                self._seq = event.seq
                self._at = event.at
                self._text.append(event.text)
            elif event is None:  # passed over, but the cursor stands behind it
                self._seq = max(self._seq, _numbered.decode(frames.splitlines()[number]).seq)
            else:
                self.add(event)

    def add(self, event: AnyEvent | None) -> None:
        """Adds one event; None stands for a type that is not known here."""
        if event is None or event.seq <= self._seq:
            return
        self._seq = event.seq
        self._at = event.at
        match event:
            case TextDelta():
                self._text.append(event.text)
            case ReasoningDelta():
                self._reasoning.append(event.text)
            case RunStarted():
                self._started = event
            case TextFinished():
                self._reason = event.reason
                self._unsupported = event.unsupported
            case Usage():
                self._usage = UsageState(
                    event.input_tokens,
                    event.output_tokens,
                    event.estimated,
                    event.reasoning_tokens,
                    event.cached_tokens,
                )
            case RunFinished():
                self._state = "finished"
            case StepStarted():
                self._steps[event.step_id] = StepState(
                    event.step_id, event.name, event.label, "running", event.at, event.retry_after
                )
            case StepFinished():
                step = self._steps.get(event.step_id)
                if step is not None:
                    step.label, step.state, step.at, step.retry_after = event.label, "done", None, None
                    step.detail, step.elapsed_ms = event.detail, event.elapsed_ms
            case Source():
                self._sources[event.n] = SourceState(
                    **{name: getattr(event, name) for name in SourceState.__struct_fields__}
                )
            case Citation():
                self._citations.append(CitationState(event.n, event.start, event.end, event.page))
            case ToolStarted():
                self._tools[event.tool_id] = ToolState(event.tool_id, event.name, event.arguments)
            case ToolFinished():
                tool = self._tools.get(event.tool_id)
                if tool is not None:
                    tool.output, tool.error = event.output, event.error
            case Data():
                self._data[event.name, event.key] = DataState(event.name, event.data, event.key)
            case Followups():
                self._followups = list(event.questions)
            case RunStopped():
                self._state = "stopped"
                self._seen = event.seen
            case RunFailed():
                self._state = "failed"
                self._error = ErrorState(event.code, event.message, event.retryable, event.retry_after, event.status)

    def snapshot(self) -> Snapshot:
        """Raises ValueError when `run.started` was not added."""
        if self._started is None:
            raise ValueError("a fold begins with run.started")
        content = "".join(self._text)
        citations = self._citations
        unsupported = self._unsupported
        if self._seen is not None:
            content = content[: self._seen]
            citations = [citation for citation in citations if citation.end <= self._seen]
            if unsupported is not None:
                unsupported = [flag for flag in unsupported if flag.end <= self._seen]
        return Snapshot(
            run_id=self._started.run_id,
            conversation_id=self._started.conversation_id,
            message_id=self._started.message_id,
            parent_id=self._started.parent_id,
            follows=self._started.follows,
            metadata=self._started.metadata,
            model=self._started.model,
            created=self._started.created,
            seq=self._seq,
            state=self._state,
            message=Message(
                content=content,
                reasoning="".join(self._reasoning) or None,
                steps=[msgspec.structs.replace(step) for step in self._steps.values()],
                sources=[self._sources[n] for n in sorted(self._sources)],
                citations=list(citations),
                followups=list(self._followups),
                unsupported=unsupported,
                tools=[msgspec.structs.replace(tool) for tool in self._tools.values()] or None,
                data=list(self._data.values()) or None,
                usage=self._usage,
                reason=self._reason,
                error=self._error,
            ),
        )


def fold(events: Iterable[AnyEvent | None]) -> Snapshot:
    """The snapshot of a whole sequence of events that begins with `run.started`."""
    folding = Fold()
    for event in events:
        folding.add(event)
    return folding.snapshot()


def events_of(snapshot: Snapshot) -> Iterator[AnyEvent]:
    """Events whose fold is the snapshot: what there is to encode where the run's own are no longer kept.

    What the snapshot does not hold is lost: the pieces that words came in, and what came between them.
    """
    for seq, event in enumerate(_unfold(snapshot), 1):
        event.seq = seq
        event.at = max(event.at, 0)
        if isinstance(event, RunFinished | RunStopped | RunFailed):
            event.seq = snapshot.seq
        yield event


def _unfold(snapshot: Snapshot) -> Iterator[AnyEvent]:
    message = snapshot.message
    yield RunStarted(format=FORMAT, **_fields(snapshot, RunStarted))
    for step in message.steps:
        at = -1 if step.at is None else step.at
        yield StepStarted(at=at, step_id=step.step_id, name=step.name, label=step.label, retry_after=step.retry_after)
        if step.elapsed_ms is not None:
            yield StepFinished(**_fields(step, StepFinished))
    for source in message.sources:
        yield Source(**_fields(source, Source))
    for tool in message.tools or ():
        yield ToolStarted(tool_id=tool.tool_id, name=tool.name, arguments=tool.arguments)
        if tool.output is not None or tool.error is not None:
            yield ToolFinished(tool_id=tool.tool_id, output=tool.output, error=tool.error)
    if message.reasoning is not None:
        yield ReasoningDelta(text=message.reasoning)
    for data in message.data or ():
        yield Data(name=data.name, data=data.data, key=data.key)
    if message.content:
        yield TextDelta(text=message.content)
    for citation in message.citations:
        yield Citation(n=citation.n, start=citation.start, end=citation.end, page=citation.page)
    if message.reason is not None:
        yield TextFinished(reason=message.reason, unsupported=message.unsupported)
    if message.followups:
        yield Followups(questions=message.followups)
    if message.usage is not None:
        yield Usage(**_fields(message.usage, Usage))
    if snapshot.state == "finished":
        yield RunFinished()
    elif snapshot.state == "stopped":
        yield RunStopped(seen=len(message.content))
    elif message.error is not None:
        yield RunFailed(**_fields(message.error, RunFailed))


def _fields(state: msgspec.Struct, kind: type[AnyEvent]) -> dict[str, Any]:
    """The fields that the event has in common with the part of the snapshot that it is folded into."""
    common = set(kind.__struct_fields__) & set(state.__struct_fields__) - {"seq", "at"}
    return {name: getattr(state, name) for name in common}
