"""The client for asyncio."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from functools import partial
from types import TracebackType
from typing import Any, Self, Unpack

import msgspec

from millstream.client.calls import LOCAL_SERVER, Conversation, ConversationList, RunFields
from millstream.client.connection import Connection, lines, refused
from millstream.errors import InputError, RunError, Unavailable
from millstream.events import AnyEvent, RunFailed, RunFinished, RunStopped, TextDelta, decode
from millstream.ids import is_id
from millstream.snapshot import Fold, Snapshot

# Waits between attempts to resume, in seconds; the last is repeated.
BACKOFF_S = (0.1, 0.5, 1.0, 2.0, 5.0)
# A server that cannot be reached for so many attempts in a row is given up.
ATTEMPTS = 10


class AsyncClient:
    """Use as `async with AsyncClient(url) as client`, or call `close` at the end.

    `token` is sent as a bearer token, `headers` with every request. Every call raises MillstreamError with the server's
    words when it refuses, Unavailable when it cannot be reached, InputError when `url` is no address.
    """

    def __init__(
        self, url: str = LOCAL_SERVER, *, token: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        self._connection = Connection(url, token, headers or {})

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._connection.close()

    def run(self, question: str | None = None, **fields: Unpack[RunFields]) -> "AsyncRunStream":
        """A run that begins when its stream is first read. Leaving the stream does not stop the run."""
        request: dict[str, Any] = {"run_id": uuid.uuid4().hex, **fields, "stream": True}
        if question is not None:
            request["question"] = question
        return AsyncRunStream(self, request["run_id"], partial(_events, self._connection, request["run_id"], request))

    def follow(self, run_id: str, after: int = 0) -> "AsyncRunStream":
        """The events of a run that has begun, from the one after seq `after` on."""
        return AsyncRunStream(self, run_id, partial(_events, self._connection, run_id, None), after)

    async def stop(self, run_id: str, seen: int | None = None) -> Snapshot:
        """Stops the run; `seen` counts the code points of the answer that the reader had on screen."""
        body = {} if seen is None else {"seen": seen}
        return await self._connection.read(Snapshot, "POST", f"{_run(run_id)}/stop", json=body)

    async def snapshot(self, run_id: str) -> Snapshot:
        """The answer as it stands now."""
        return await self._connection.read(Snapshot, "GET", _run(run_id))

    async def conversations(self) -> list[Conversation]:
        """The newest conversations, without their messages."""
        return (await self._connection.read(ConversationList, "GET", "/api/conversations")).conversations

    async def conversation(self, conversation_id: str) -> Conversation:
        """One conversation with all its messages."""
        if not is_id(conversation_id):  # in an address it would be another one
            raise refused(404, f"There is no conversation {conversation_id!r}.", "no-conversation")
        return await self._connection.read(Conversation, "GET", f"/api/conversations/{conversation_id}")


class AsyncRunStream:
    """One run as it happens: iterate over it for its events, or take `text_stream` or `final()`. All share a cursor.

    `events_after` makes the events after a cursor. A read that is cancelled (a timeout, Ctrl-C) loses nothing: the next
    goes on where it was.

    Resumes after every cut. Raises MillstreamError with the server's words when it refuses, Unavailable when it cannot
    be reached, and RunError when events were lost with a server that died (`final` takes what is left).
    """

    def __init__(
        self,
        client: AsyncClient,
        run_id: str,
        events_after: Callable[[int], AsyncGenerator[AnyEvent, None]],
        after: int = 0,
    ) -> None:
        self.run_id = run_id
        self._client = client
        self._events_after = events_after
        self._events = events_after(after)
        self._after = after
        self._ended = False
        self._fold = Fold()
        self._whole = after == 0
        self._reading = asyncio.Lock()  # a read that was cancelled may still be leaving when the next begins

    def __aiter__(self) -> AsyncIterator[AnyEvent]:
        return self

    async def __anext__(self) -> AnyEvent:
        async with self._reading:
            try:
                event = await anext(self._events)
            except asyncio.CancelledError:
                self._events = self._events_after(self.seq)
                raise
        self._fold.add(event)
        self._ended = isinstance(event, RunFinished | RunStopped | RunFailed)
        return event

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Leaves the stream; the run goes on. `follow` comes back to it."""
        # A read that another thread has just cancelled may still be ending.
        while getattr(self._events, "ag_running", False):  # noqa: ASYNC110
            await asyncio.sleep(0)
        await self._events.aclose()

    @property
    def seq(self) -> int:
        """The cursor: the seq of the last event that was read."""
        return max(self._after, self._fold.seq)

    @property
    def text_stream(self) -> AsyncGenerator[str, None]:
        """The words as they come."""
        return self._texts()

    async def _texts(self) -> AsyncGenerator[str, None]:
        async for event in self:
            if isinstance(event, TextDelta):
                yield event.text

    async def final(self) -> Snapshot:
        """The ended run; `state` and `message.error` say how it ended."""
        try:
            async for _ in self:
                pass
            if not self._ended:  # the stream was closed, or an error ended it
                self._events = self._events_after(self.seq)
                async for _ in self:
                    pass
        except RunError:
            self._whole = False
        return self._fold.snapshot() if self._whole else await self._client.snapshot(self.run_id)

    async def stop(self, seen: int | None = None) -> Snapshot:
        """Stops the run; `seen` counts the code points of the answer that the reader had on screen."""
        return await self._client.stop(self.run_id, seen)


def _run(run_id: str) -> str:
    """Where the run is. Raises InputError for what cannot be an id: in an address it would be something else."""
    if not is_id(run_id):
        raise refused(404, f"There is no run {run_id!r}.", "no-run")
    return f"/api/runs/{run_id}"


async def _events(
    connection: Connection, run_id: str, request: dict[str, Any] | None, after: int
) -> AsyncGenerator[AnyEvent, None]:
    """The events of the run that `request` starts, or of one that has begun, each once, through every cut."""
    seq, failures, reached = after, 0, False
    while True:
        before = seq
        try:
            if seq == 0 and request is not None:
                response = await connection.request("POST", "/api/runs", json=request)
            else:
                headers = {"Accept": "application/x-ndjson"}
                response = await connection.request("GET", f"{_run(run_id)}/events?after={seq}", headers=headers)
            reached = True
            if response.status == 204:  # there is nothing after the cursor, and nothing will come
                response.close()
                if request is None:
                    return
            async with response, aclosing(lines(response)) as frames:
                async for frame in frames:
                    event = _decoded(frame, connection.url) if frame.strip() else None
                    if event is None or event.seq <= seq:
                        continue
                    seq = event.seq
                    yield event
                    if isinstance(event, RunFinished | RunStopped | RunFailed):
                        return
            reason = Unavailable(f"{connection.url} ended the answer before its end, again and again.")
        except Unavailable as error:
            if not reached:
                raise  # nobody is there, or nobody takes the question: waiting is for the caller to decide
            reason = error
        failures = 1 if seq > before else failures + 1
        if failures > ATTEMPTS:
            raise reason
        await asyncio.sleep(BACKOFF_S[min(failures, len(BACKOFF_S)) - 1])


def _decoded(frame: bytes, url: str) -> AnyEvent | None:
    try:
        return decode(frame)
    except msgspec.DecodeError as error:
        raise InputError(f"{url} is no Millstream server: it sent what is no event.") from error
