"""A Millstream whose answers do what a test says, one action at a time, served over a real socket."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from millstream.errors import ModelError
from millstream.run import Run, Step
from millstream.search import Passage
from millstream.server.app import Millstream

HANDBOOK = Passage(
    source_id="p1",
    document_id="d1",
    version="1",
    title="handbook.pdf",
    uri="handbook.pdf",
    text="A mill stream drives the wheel. It is kept clear of leaves in autumn.",
    page_start=4,
)
RIVERS = Passage(
    source_id="p2",
    document_id="d2",
    version="1",
    title="Rivers and weirs of the lower valley, a survey",
    uri="reports/rivers.md",
    text="Weirs raise the water by up to two metres so that the race has a constant head.",
)


class Server(uvicorn.Server):
    """Runs in the test's own loop and leaves signals to pytest."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def serving(served: Millstream | ASGIApp) -> AsyncIterator[int]:
    """Serves on a free port of loopback. Connections wait in the socket's queue until the server takes them."""
    listening = socket.create_server(("127.0.0.1", 0))
    app = served.app if isinstance(served, Millstream) else served
    config = uvicorn.Config(app, lifespan="auto", log_level="warning", timeout_graceful_shutdown=1)
    server = Server(config)
    task = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        await task
        listening.close()


class Stage:
    """The "default" answer: it plays the actions that the test gives it, in order."""

    def __init__(self) -> None:
        self._actions: asyncio.Queue[Callable[[Run], Any] | None] = asyncio.Queue()
        self._steps = contextlib.AsyncExitStack()
        self._step: Step | None = None
        self.runs: list[Run] = []

    async def answer(self, run: Run) -> None:
        self.runs.append(run)
        async with contextlib.AsyncExitStack() as self._steps:
            while (action := await self._actions.get()) is not None:
                result = action(run)
                if asyncio.iscoroutine(result):
                    await result

    def do(self, action: Callable[[Run], Any]) -> None:
        self._actions.put_nowait(action)

    def say(self, *pieces: str) -> None:
        for piece in pieces:
            self.do(lambda run, piece=piece: run.write(piece))  # type: ignore[misc]

    def think(self, text: str) -> None:
        self.do(lambda run: run.think(text))

    def begin_step(self, label: str) -> None:
        async def begin(run: Run) -> None:
            self._step = await self._steps.enter_async_context(run.step("search", label))

        self.do(begin)

    def end_step(self, label: str) -> None:
        async def end(run: Run) -> None:
            assert self._step is not None
            self._step.done(label)
            await self._steps.aclose()

        self.do(end)

    def cite(self, *passages: Passage) -> None:
        self.do(lambda run: run.cite(passages))

    def suggest(self, *questions: str) -> None:
        self.do(lambda run: run.followups(questions))

    def fail(self) -> None:
        def fail(run: Run) -> None:
            raise ModelError("The model is busy; try again in a moment.", code="model-rate-limited", retryable=True)

        self.do(fail)

    def end(self) -> None:
        self._actions.put_nowait(None)


def new_millstream(folder: Path, **settings: Any) -> Millstream:
    return Millstream(**{"data": folder / "data", "quote_pace": 0, "drain": 0, **settings})


class CuttingProxy:
    """TCP between the browser and the server that a test can cut and mend."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._open: set[asyncio.StreamWriter] = set()
        self.down = False
        self.refused = asyncio.Event()
        self.port = 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["CuttingProxy"]:
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            self.cut()
            server.close()

    def cut(self) -> None:
        """Breaks every connection; new ones are refused until `mend`."""
        self.down = True
        self.refused.clear()
        for writer in self._open:
            writer.transport.abort()
        self._open.clear()

    def mend(self) -> None:
        self.down = False

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.down:
            self.refused.set()
            writer.transport.abort()
            return
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        self._open |= {writer, back}
        await asyncio.gather(self._pump(reader, back), self._pump(there, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()
        self._open.discard(writer)
