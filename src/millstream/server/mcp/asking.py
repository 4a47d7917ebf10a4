"""The tool that asks: a run, of which the client is told while it waits."""

import contextlib
from typing import Annotated, Any

import msgspec
from mcp.server.context import ServerRequestContext
from starlette.requests import Request

from millstream.errors import MillstreamError, NotFound, Unavailable
from millstream.events import AnyEvent, StepFinished, StepStarted, TextDelta, TextFinished, decode_all
from millstream.follower import Cut
from millstream.ids import new_id
from millstream.marks import place_marks
from millstream.recovery import interrupted
from millstream.request import request_from
from millstream.server.app_of import millstream_of
from millstream.server.mcp.caller import Caller, Result
from millstream.server.mcp.documents import place_of
from millstream.server.protocols.answering import start_run
from millstream.snapshot import CitationState, Fold, Snapshot, SourceState, UsageState

# Growing text is told again and again: each time it has grown by so much, so that all of them together stay in
# proportion to the last one.
_GROWTH = 1.2
_GROWTH_CHARACTERS = 60


class Ask(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    question: Annotated[str, msgspec.Meta(description="By itself: nothing asked before is known.")]
    answer: Annotated[
        str | None, msgspec.Meta(description="Which of the server's answers; another name means the default one.")
    ] = None
    sources: Annotated[int | None, msgspec.Meta(description="How many passages to answer from at most.")] = None


class Answered(msgspec.Struct, frozen=True, omit_defaults=True):
    """[start, end) of `answer`, in Unicode code points, rests on source n. Without `reason` it is incomplete."""

    run_id: str
    state: str
    answer: str
    citations: list[CitationState]
    sources: list[SourceState]
    followups: list[str] = []
    reason: str | None = None
    usage: UsageState | None = None


class _Asking:
    """A question that is being asked, under the id that its run has or will have."""

    def __init__(self) -> None:
        self.run_id = new_id()
        self.is_cancelled = False


# By whom, in which session, by which request.
_ASKING: dict[tuple[str, str, Any], _Asking] = {}


async def ask(caller: Caller, asked: Ask) -> Result:
    """Also of a run that was stopped: what there is. Raises RunError when it failed."""
    request = caller.request
    millstream = millstream_of(request)
    wanted: dict[str, Any] = {
        "question": asked.question,
        "options": {} if asked.sources is None else {"sources": asked.sources},
        **({"answer": asked.answer} if asked.answer in millstream.offered else {}),
    }
    asking = _Asking()
    wanted["run_id"] = asking.run_id
    key = _key(request, caller.owner, caller.context.request_id)
    _ASKING[key] = asking
    try:
        run_id = await start_run(request, request_from(wanted), resumable=False, stream=True)
        if asking.is_cancelled:
            await millstream.supervisor.stop(run_id, caller.owner)
        snapshot = await _follow(caller, run_id)
    finally:
        if _ASKING.get(key) is asking:  # else another one of that id has come since
            del _ASKING[key]
    message = snapshot.message
    marked = place_marks(message.content, message.citations, lambda citation: f" [{citation.n}]")
    cited = {citation.n for citation in message.citations}
    told = [f"[{source.n}] {place_of(source)}" for source in message.sources if source.n in cited]
    answered = Answered(
        run_id,
        snapshot.state,
        message.content,
        message.citations,
        message.sources,
        message.followups,
        message.reason,
        message.usage,
    )
    if message.error is not None:
        partial = f"\n\nWhat was written until then:\n{marked}" if marked else ""
        raise _Failed(f"{message.error.message}{partial}", message.error.code, answered)
    return "\n".join([marked, *(["", "Sources:", *told] if told else [])]), answered


class _Failed(MillstreamError):
    """A run that failed, with what it had answered until then."""

    def __init__(self, message: str, code: str, answered: Answered) -> None:
        super().__init__(message, code=code)
        self.answered = answered


async def _follow(caller: Caller, run_id: str) -> Snapshot:
    """Reads the run to its end and tells the client of it: each step, and the growing text."""
    fold = Fold()
    progress = _Progress(caller.context)
    async with millstream_of(caller.request).supervisor.follow(run_id, caller.owner) as follower:
        try:
            while (frames := await follower.read()) is not None:
                for event in decode_all(frames):
                    fold.add(event)
                    await progress.tell(event)
        except (Cut, Unavailable):
            ended = interrupted()
            ended.seq = fold.seq + 1
            fold.add(ended)
    return fold.snapshot()


class _Progress:
    """What a client is told while it waits: the label of a step, or the text so far."""

    def __init__(self, context: ServerRequestContext[Any, Request]) -> None:
        self._context = context
        self._is_wanted = bool(context.meta and "progress_token" in context.meta)
        self._told = 0
        self._pieces: list[str] = []
        self._length = 0
        self._told_length = 0
        self._next = 1

    async def tell(self, event: AnyEvent | None) -> None:
        if not self._is_wanted:
            return
        if isinstance(event, StepStarted | StepFinished):
            await self._report(event.label)
        elif isinstance(event, TextDelta):
            self._pieces.append(event.text)
            self._length += len(event.text)
            if self._length >= self._next:
                await self._tell_text()
        elif isinstance(event, TextFinished) and self._length > self._told_length:
            await self._tell_text()

    async def _tell_text(self) -> None:
        self._told_length = self._length
        self._next = max(int(self._length * _GROWTH), self._length + _GROWTH_CHARACTERS)
        await self._report("".join(self._pieces))

    async def _report(self, message: str) -> None:
        self._told += 1
        await self._context.session.report_progress(self._told, message=message)


async def cancel(request: Request, owner: str, request_id: str | int) -> None:
    """Stops the run of the question that was asked by that request, if this process is at it."""
    asking = _ASKING.get(_key(request, owner, request_id))
    if asking is not None:
        asking.is_cancelled = True
        with contextlib.suppress(NotFound):  # it has not begun; it will be stopped when it does
            await millstream_of(request).supervisor.stop(asking.run_id, owner)


def _key(request: Request, owner: str, request_id: Any) -> tuple[str, str, Any]:
    """Without a session it is unique, so that nobody else's asking can be meant."""
    return owner, request.headers.get("mcp-session-id") or new_id(), request_id
