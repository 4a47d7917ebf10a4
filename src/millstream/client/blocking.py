"""The client without asyncio: the same one, on an event loop in a thread of its own."""

import threading
from collections.abc import Coroutine, Iterator, Mapping
from concurrent.futures import Future, wait
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from millstream.client.asynchronous import AsyncClient, AsyncRunStream
from millstream.client.calls import LOCAL_SERVER, Conversation, RunFields
from millstream.client.loop import LoopThread, outcome
from millstream.events import AnyEvent, TextDelta
from millstream.snapshot import Snapshot

T = TypeVar("T")


class Client:
    """As AsyncClient, with plain calls and `for` loops; also inside a program that runs an event loop itself.

    Use as `with Client(url) as client`, or call `close` at the end.
    """

    def __init__(
        self, url: str = LOCAL_SERVER, *, token: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        self._client = AsyncClient(url, token=token, headers=headers)
        self._loop: LoopThread | None = None
        self._starting = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Threads that are waiting for this client get Unavailable."""
        with self._starting:
            loop, self._loop = self._loop, None
            if loop is not None:
                loop.close(self._client.close())

    def run(self, question: str | None = None, **fields: Unpack[RunFields]) -> "RunStream":
        """A run that begins when its stream is first read. Leaving the stream does not stop the run."""
        return RunStream(self, self._client.run(question, **fields))

    def follow(self, run_id: str, after: int = 0) -> "RunStream":
        """The events of a run that has begun, from the one after seq `after` on."""
        return RunStream(self, self._client.follow(run_id, after))

    def stop(self, run_id: str, seen: int | None = None) -> Snapshot:
        """Stops the run; `seen` counts the code points of the answer that the reader had on screen."""
        return self._wait(self._client.stop(run_id, seen))

    def snapshot(self, run_id: str) -> Snapshot:
        """The answer as it stands now."""
        return self._wait(self._client.snapshot(run_id))

    def conversations(self) -> list[Conversation]:
        """The newest conversations, without their messages."""
        return self._wait(self._client.conversations())

    def conversation(self, conversation_id: str) -> Conversation:
        """One conversation with all its messages."""
        return self._wait(self._client.conversation(conversation_id))

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return self._running_loop().wait(work)

    def _begin(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        return self._running_loop().begin(work)

    def _running_loop(self) -> LoopThread:
        with self._starting:
            if self._loop is None:
                self._loop = LoopThread("millstream-client")
            return self._loop


class RunStream:
    """As AsyncRunStream: iterate over it for its events, or take `text_stream` or `final()`. All share a cursor."""

    def __init__(self, client: Client, stream: AsyncRunStream) -> None:
        self._client = client
        self._stream = stream
        self._left: Future[AnyEvent | None] | None = None  # a read that Ctrl-C broke off: its event is still to be told
        self.run_id = stream.run_id

    def __iter__(self) -> Iterator[AnyEvent]:
        return self

    def __next__(self) -> AnyEvent:
        reading, self._left = self._left or self._client._begin(_next(self._stream)), None
        try:
            wait([reading])
        except BaseException:
            self._left = reading
            raise
        event = outcome(reading)
        if event is None:
            raise StopIteration
        return event

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leaves the stream; the run goes on. `follow` comes back to it."""
        if self._left is not None:
            self._left.cancel()
            self._left = None
        self._client._wait(self._stream.close())

    @property
    def seq(self) -> int:
        """The cursor: the seq of the last event that was read."""
        return self._stream.seq

    @property
    def text_stream(self) -> Iterator[str]:
        """The words as they come."""
        return (event.text for event in self if isinstance(event, TextDelta))

    def final(self) -> Snapshot:
        """The ended run; `state` and `message.error` say how it ended."""
        return self._client._wait(self._stream.final())

    def stop(self, seen: int | None = None) -> Snapshot:
        """Stops the run; `seen` counts the code points of the answer that the reader had on screen."""
        return self._client.stop(self.run_id, seen)


async def _next(stream: AsyncRunStream) -> AnyEvent | None:
    """The next event, None after the last. StopAsyncIteration cannot come out of a coroutine."""
    return await anext(stream, None)
