"""Millstream inside somebody's own application."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.routing import Mount

from millstream import Millstream, Run
from millstream.errors import InputError, Unavailable
from millstream.folder import serving as served_by
from millstream.server.identity import owner_of
from serving import listening, until, within


async def coroutine(run: Run) -> None:
    run.write("Hello, world")


async def async_generator(run: Run) -> AsyncIterator[str]:
    yield "Hello, "
    await asyncio.sleep(0)
    yield "world"


def generator(run: Run) -> Iterator[str]:
    yield "Hello, "
    time.sleep(0.01)  # it may block: it has a thread of its own
    yield "world"


@asynccontextmanager
async def hosted(app: FastAPI | Starlette) -> AsyncIterator[str]:
    config = uvicorn.Config(app, lifespan="on", log_level="warning", timeout_graceful_shutdown=1)
    async with listening(config) as (server, port):
        await until(lambda: server.started)
        yield f"http://127.0.0.1:{port}"


async def ask(session: aiohttp.ClientSession, url: str, **options: object) -> dict[str, object]:
    async with session.post(f"{url}/api/runs", json={"question": "Why?"}, **options) as response:  # type: ignore[arg-type]
        found: dict[str, object] = await response.json()
        return found


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def test_documents_are_named_as_one_likes_and_must_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.md", "b.md"):
        (tmp_path / name).write_text("# Mill\n\nThe mill wheel turns.\n")
    stream = Millstream(data="data", embedder="none")
    with pytest.raises(Unavailable):
        stream.index(["a.md"])
    async with stream.lifespan():
        with pytest.raises(InputError, match="nowhere"):
            stream.index(["a.md", "nowhere"])
        await within(stream.index(["a.md", tmp_path / "b.md"]))
        assert await stream.search.document_count(owner="local") == 2


@pytest.mark.parametrize("answer", [coroutine, async_generator, generator])
@pytest.mark.parametrize("with_lifespan", [True, False], ids=["with lifespan", "without"])
async def test_mounted_under_a_prefix_every_kind_of_answer_streams(
    tmp_path: Path, session: aiohttp.ClientSession, answer: Callable[[Run], object], with_lifespan: bool
) -> None:
    stream = Millstream(data=tmp_path, drain=0)
    stream.answer(answer)  # type: ignore[type-var]
    app = FastAPI(lifespan=stream.lifespan) if with_lifespan else FastAPI()
    app.mount("/chat", stream.app)

    @app.get("/own")
    async def own() -> str:
        return "mine"

    async with hosted(app) as url:
        assert stream.is_open is with_lifespan
        body = await ask(session, f"{url}/chat")
        assert body["message"]["content"] == "Hello, world"  # type: ignore[index]
        async with session.get(f"{url}/chat/api/runs/{body['run_id']}/events?after=1") as response:
            assert b"run.finished" in await response.read()
        async with session.get(f"{url}/own") as response:
            assert await response.json() == "mine"
        async with session.get(f"{url}/chat/api/unknown") as response:
            assert (response.status, (await response.json())["code"]) == (404, "not-found")
        async with session.ws_connect(f"{url}/chat/api/ws") as socket:
            await socket.send_json({"op": "start", "id": "a", "request": {"question": "Why?"}})
            assert (await within(socket.receive_json()))["event"]["type"] == "run.started"
    await stream.close()
    assert served_by(tmp_path) is None


async def test_beside_the_hosts_own_lifespan(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    seen: list[str] = []
    stream = Millstream(data=tmp_path, drain=0)
    stream.answer(coroutine)

    @asynccontextmanager
    async def both(app: FastAPI) -> AsyncIterator[None]:
        seen.append("up")
        async with stream.lifespan(app):
            yield
        seen.append("down")

    app = FastAPI(lifespan=both)
    app.mount("/chat", stream.app)
    async with hosted(app) as url:
        assert (await ask(session, f"{url}/chat"))["state"] == "finished"
    assert seen == ["up", "down"]
    assert not stream.is_open


async def test_as_the_whole_application_it_opens_and_closes_with_the_server(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    stream = Millstream(data=tmp_path, drain=0)
    stream.answer(coroutine)
    async with hosted(stream.app) as url:  # type: ignore[arg-type]
        assert stream.is_open
        assert (await ask(session, url))["state"] == "finished"
    assert not stream.is_open
    assert served_by(tmp_path) is None


async def test_in_starlette_two_of_them_live_side_by_side(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    first, second = (Millstream(data=tmp_path / name, drain=0) for name in ("a", "b"))
    first.answer(coroutine, model="one")
    second.answer(generator, model="two")
    async with hosted(Starlette(routes=[Mount("/a", first.app), Mount("/b", second.app)])) as url:
        assert (await ask(session, f"{url}/a"))["model"] == "one"
        assert (await ask(session, f"{url}/b"))["model"] == "two"
    await first.close()
    await second.close()


async def test_identify_takes_the_hosts_own_user_sync_or_async(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    def by_cookie(connection: HTTPConnection) -> str:
        if "user" not in connection.cookies:
            raise HTTPException(401, "Sign in first.", headers={"WWW-Authenticate": "Bearer"})
        return connection.cookies["user"]

    async def later(connection: HTTPConnection) -> str:
        await asyncio.sleep(0)
        return by_cookie(connection)

    for number, identify in enumerate((by_cookie, later)):
        stream = Millstream(data=tmp_path / str(number), drain=0, identify=identify)
        owners: list[str] = []

        @stream.answer
        async def answer(run: Run, owners: list[str] = owners) -> None:
            owners.append(run.owner)

        app = FastAPI(lifespan=stream.lifespan)
        app.mount("/chat", stream.app)
        async with hosted(app) as url:
            async with session.post(f"{url}/chat/api/runs", json={"question": "Why?"}) as response:
                assert response.status == 401
                assert response.headers["WWW-Authenticate"] == "Bearer"
                assert response.headers["Content-Type"] == "application/problem+json"
            await ask(session, f"{url}/chat", headers={"Cookie": "user=ann"})
        assert owners == ["ann"]


@pytest.mark.parametrize("owner", [5, "", None])
async def test_an_owner_that_is_none_is_refused(tmp_path: Path, session: aiohttp.ClientSession, owner: Any) -> None:
    def identify(connection: HTTPConnection) -> Any:
        return owner

    with pytest.raises(TypeError, match="a string that is not empty"):
        await owner_of(HTTPConnection({"type": "http"}), identify)
    stream = Millstream(data=tmp_path, drain=0, identify=identify)
    app = FastAPI(lifespan=stream.lifespan)
    app.mount("/chat", stream.app)
    async with hosted(app) as url, session.post(f"{url}/chat/api/runs", json={"question": "Why?"}) as response:
        assert (response.status, (await response.json())["code"]) == (500, "internal")


async def test_the_first_request_says_so_when_the_folder_is_taken(
    tmp_path: Path, session: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    async with Millstream(data=tmp_path).lifespan():
        app = FastAPI()
        app.mount("/chat", Millstream(data=tmp_path).app)
        async with hosted(app) as url, session.get(f"{url}/chat/api/status") as response:
            assert (response.status, (await response.json())["code"]) == (503, "unavailable")
            assert str(tmp_path) not in await response.text()
    assert "MILLSTREAM_DATA" in caplog.text


WORKERS = """
from millstream import Millstream
stream = Millstream()
app = stream.app
"""


async def test_several_workers_are_a_clear_error_that_names_the_way_on(tmp_path: Path) -> None:
    (tmp_path / "hosted.py").write_text(WORKERS)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "uvicorn", "hosted:app", "--port", "0", "--workers", "2",
        cwd=tmp_path, stderr=asyncio.subprocess.STDOUT, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        said = b""
        while b"MILLSTREAM_DATA" not in said:
            line = await asyncio.wait_for(process.stdout.readline(), 30)
            assert line, said.decode()
            said = line
    finally:
        process.terminate()
        await asyncio.wait_for(process.communicate(), 30)
    assert b"there is one server process" in said


async def test_a_client_that_leaves_a_whole_answer_is_no_fault_for_the_hosts_middleware(tmp_path: Path) -> None:
    begun, ended = asyncio.Event(), asyncio.Queue[object]()

    async def answer(run: Run) -> None:
        begun.set()
        await asyncio.Event().wait()

    stream = Millstream(data=tmp_path, model="extractive", embedder="none", when_unread="stop")
    stream.answer(answer)
    app = FastAPI(lifespan=stream.lifespan)
    app.mount("/chat", stream.app)

    @app.middleware("http")
    async def watching(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        try:
            response = await call_next(request)
        except Exception as error:
            await ended.put(error)
            raise
        await ended.put(response.status_code)
        return response

    async with hosted(app) as url, aiohttp.ClientSession() as leaving:
        asking = asyncio.create_task(ask(leaving, f"{url}/chat"))
        await within(begun.wait())
        asking.cancel()
        assert await within(ended.get()) == 499
