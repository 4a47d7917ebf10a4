"""A Millstream served as `millstream serve` serves it, over real sockets, with answers that the test tells.

    async with serving(tmp_path) as server:            # settings as keyword arguments
        async with asking(server) as reader:           # POST /api/runs, a NDJSON stream
            telling = await server.told.next()         # the answer began
            telling.run.write("Hello")                 # …and says what the test wants, when it wants it
            telling.end()                              # …and ends; `fail(error)` raises instead
            events = await reader.rest()

Everything is in the test's own event loop, so a test waits for events and never for time.
"""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import uvicorn
from starlette.types import ASGIApp

from millstream.answers.adapt import AnyAnswer
from millstream.cli.serve import server_config
from millstream.live import LiveRun
from millstream.run import Run
from millstream.server.app import Millstream
from millstream.server.identity import Identify

T = TypeVar("T")

PATIENCE_S = 15.0


class Telling:
    """One run of `Told`: `run` is the test's to write to until `end` or `fail`."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.cancelled = asyncio.Event()
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def end(self) -> None:
        self.over.set_result(None)

    def fail(self, error: BaseException) -> None:
        self.over.set_exception(error)


class Told:
    """An answer that does nothing by itself. `next` gives the runs in the order in which they began."""

    def __init__(self) -> None:
        self._begun: asyncio.Queue[Telling] = asyncio.Queue()

    async def answer(self, run: Run) -> None:
        telling = Telling(run)
        self._begun.put_nowait(telling)
        try:
            await telling.over
        except asyncio.CancelledError:
            telling.cancelled.set()
            raise

    async def next(self) -> Telling:
        return await asyncio.wait_for(self._begun.get(), PATIENCE_S)


class Server:
    """What is served: `url`, and the parts that a test may look into."""

    def __init__(self, millstream: Millstream, told: Told, uvicorn_server: uvicorn.Server, port: int) -> None:
        self.millstream = millstream
        self.told = told
        self.uvicorn = uvicorn_server
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.client: aiohttp.ClientSession

    async def request(self, method: str, path: str, *, without: Iterable[str] = (), **options: Any) -> "Answered":
        """One request and its whole response; `without` names headers that aiohttp is not to add."""
        async with self.client.request(
            method, self.url + path, skip_auto_headers=list(without), allow_redirects=False, **options
        ) as response:
            return Answered(response.status, response.headers, await response.read())

    async def live(self, run_id: str) -> LiveRun:
        """The run as the server executes it; an answer may begin before its start is written."""
        await self.millstream.supervisor._starter.begun(run_id)
        return self.millstream.supervisor._live[run_id]

    async def get(self, path: str, **options: Any) -> "Answered":
        return await self.request("GET", path, **options)

    async def post(self, path: str, body: Any = None, **options: Any) -> "Answered":
        return await self.request("POST", path, json=body, **options)


class Answered:
    def __init__(self, status: int, headers: Any, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.body.splitlines() if line]


class _Uvicorn(uvicorn.Server):
    """Leaves signals to pytest, and ends without the pauses that uvicorn makes."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.told_to_end = asyncio.Event()

    async def main_loop(self) -> None:
        await self.told_to_end.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self.server_state.connections or self.server_state.tasks:
            await super().shutdown(sockets)
            return
        for server in self.servers:
            server.close()
        await self.lifespan.shutdown()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def serving(
    folder: Path,
    answer: AnyAnswer | None = None,
    *,
    app: Callable[[Millstream], ASGIApp] | None = None,
    identify: Identify | None = None,
    **settings: Any,
) -> AsyncIterator[Server]:
    """A Millstream with its data in `folder`; `answer` is its default one instead of `Told`; `app` wraps it."""
    told = Told()
    millstream = Millstream(identify=identify, **{"data": folder / "data", "quote_pace": 0, "drain": 0, **settings})
    millstream.answer(answer or told.answer)
    async with millstream.lifespan():
        config = server_config(millstream)
        if app is not None:
            config.app = app(millstream)
        async with listening(config) as (uvicorn_server, port), aiohttp.ClientSession() as client:
            server = Server(millstream, told, uvicorn_server, port)
            server.client = client
            yield server
            await client.close()
            await millstream.close(drain_s=0)


@contextlib.asynccontextmanager
async def listening(config: uvicorn.Config) -> AsyncIterator[tuple[uvicorn.Server, int]]:
    """Any ASGI application on a free port of loopback. Connections wait in the socket until the server takes them."""
    taken = socket.create_server(("127.0.0.1", 0))
    server = _Uvicorn(config)
    task = asyncio.create_task(server.serve(sockets=[taken]))
    try:
        yield server, taken.getsockname()[1]
    finally:
        server.told_to_end.set()
        await task
        taken.close()


class StreamReader:
    """The client's side of a NDJSON stream."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.run_id = response.headers["Millstream-Run"]
        self._characters = 0

    async def next(self) -> dict[str, Any]:
        """The next event; heartbeats are passed over."""
        while True:
            line = await asyncio.wait_for(self.response.content.readline(), PATIENCE_S)
            if not line:
                raise EOFError("the stream ended")
            if line.strip():
                found: dict[str, Any] = json.loads(line)
                return found

    async def until(self, kind: str) -> dict[str, Any]:
        while (event := await self.next())["type"] != kind:
            pass
        return event

    async def words(self, characters: int) -> None:
        """Reads on until so many characters of the answer have come in all."""
        while self._characters < characters:
            event = await self.next()
            if event["type"] == "text.delta":
                self._characters += len(event["text"])

    async def rest(self) -> list[dict[str, Any]]:
        body = await asyncio.wait_for(self.response.read(), PATIENCE_S)
        return [json.loads(line) for line in body.splitlines() if line]

    def leave(self) -> None:
        """Closes the connection at once."""
        self.response.close()


@contextlib.asynccontextmanager
async def asking(server: Server, question: str = "Why?", **options: Any) -> AsyncIterator[StreamReader]:
    """Starts a run and reads its stream; `options` are further fields of the request, `headers` its headers."""
    headers = options.pop("headers", None)
    body = {"question": question, "stream": True, **options}
    async with server.client.post(f"{server.url}/api/runs", json=body, headers=headers) as response:
        assert response.status == 200, await response.text()
        yield StreamReader(response)


class CuttingProxy:
    """TCP before the server. Each connection carries as many bytes of the server's as its entry in `cuts` says.

    Then it is aborted; connections without an entry are not cut.
    """

    def __init__(self, target: int, cuts: Iterable[int] = ()) -> None:
        self._target = target
        self._cuts = iter(cuts)
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["CuttingProxy"]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        left = next(self._cuts, None)
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        requests = asyncio.create_task(_pump(reader, back))
        try:
            while left is None or left > 0:
                data = await there.read(65536)
                if not data:
                    break
                writer.write(data if left is None else data[:left])
                await writer.drain()
                if left is not None:
                    left -= len(data)
            if left is not None and left <= 0:
                writer.write_eof()  # what was sent arrives; then nothing more does
        except OSError:
            pass  # the client left first
        finally:
            requests.cancel()
            writer.close()
            back.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()


async def until(condition: Callable[[], bool]) -> None:
    """Returns when the condition holds that no event tells of. Raises TimeoutError after a while."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def within(work: Awaitable[T]) -> T:
    return await asyncio.wait_for(work, PATIENCE_S)
