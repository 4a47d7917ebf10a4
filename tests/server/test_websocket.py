"""`/api/ws`: many runs over one connection."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import websockets
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from millstream.errors import Forbidden
from serving import Server, Told, asking, serving, until, within


class Socket:
    def __init__(self, connection: websockets.ClientConnection) -> None:
        self.connection = connection

    async def send(self, op: str, id: str | None = None, **fields: Any) -> None:
        frame = {"op": op, **fields}
        await self.connection.send(json.dumps(frame if id is None else {**frame, "id": id}))

    async def next(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(await within(self.connection.recv()))
        return found

    async def error(self) -> dict[str, Any]:
        """The next frame, which must be an error; `id` is among its fields."""
        frame = await self.next()
        return {"id": frame.get("id"), **frame["error"]}

    async def until(self, kind: str) -> dict[str, Any]:
        while (frame := await self.next())["event"]["type"] != kind:
            pass
        return frame


@asynccontextmanager
async def connected(server: Server, **options: Any) -> AsyncIterator[Socket]:
    address = f"ws://127.0.0.1:{server.port}/api/ws"
    async with websockets.connect(address, proxy=None, max_size=None, **options) as connection:
        yield Socket(connection)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(tmp_path) as server:
        yield server


@pytest.fixture
async def socket(server: Server) -> AsyncIterator[Socket]:
    async with connected(server) as socket:
        yield socket


QUESTION = {"question": "Why?"}


async def test_a_name_is_free_again_when_its_run_has_ended(server: Server, socket: Socket) -> None:
    await socket.send("start", "a", request={**QUESTION, "run_id": "r1"})
    (await server.told.next()).end()
    await socket.until("run.finished")
    log = server.millstream.supervisor.log
    read, again = log.read, asyncio.Event()

    async def once(*place: Any) -> bytes:
        """Who reads on behind the end finds the log busy."""
        if place[1] > 0:
            await again.wait()
        return await read(*place)

    log.read = once  # type: ignore[method-assign]
    for _ in range(2):
        await socket.send("follow", "a", run_id="r1")
        await socket.until("run.finished")
    again.set()


async def test_start_sends_every_event_under_the_clients_own_name(server: Server, socket: Socket) -> None:
    await socket.send("start", "a", request={**QUESTION, "run_id": "r1"})
    telling = await server.told.next()
    telling.run.write("Hello")
    telling.end()
    frames = []
    while not frames or frames[-1]["event"]["type"] != "run.finished":
        frames.append(await socket.next())
    assert all(set(frame) == {"id", "event"} and frame["id"] == "a" for frame in frames)
    assert [frame["event"] for frame in frames] == (await server.get("/api/runs/r1/events")).events


async def test_frames_are_not_compressed(server: Server, socket: Socket) -> None:
    """A client that offers it is told no: a window per connection would cost more memory than all else."""
    assert socket.connection.request is not None
    assert socket.connection.response is not None
    assert "permessage-deflate" in socket.connection.request.headers["Sec-WebSocket-Extensions"]
    assert "Sec-WebSocket-Extensions" not in socket.connection.response.headers


async def test_several_runs_stream_at_once_over_one_connection(server: Server, socket: Socket) -> None:
    tellings = {}
    for name in "abc":
        await socket.send("start", name, request=QUESTION)
        tellings[name] = await server.told.next()
        assert (await socket.next())["id"] == name
    for name in "cabacb":
        tellings[name].run.write(f"{name} ")
        frame = await socket.next()
        assert (frame["id"], frame["event"]["text"]) == (name, f"{name} ")


async def test_follow_continues_after_a_cursor(server: Server, socket: Socket) -> None:
    async with asking(server, run_id="r1") as reader:
        telling = await server.told.next()
        telling.run.write("Hello")
        await reader.until("text.delta")
        await socket.send("follow", "f", run_id="r1", after=1)
        assert (await socket.next())["event"]["text"] == "Hello"
        telling.end()
        assert (await socket.until("run.finished"))["id"] == "f"


async def test_follow_without_after_begins_at_the_beginning(server: Server, socket: Socket) -> None:
    async with asking(server, run_id="r1"):
        await socket.send("follow", "f", run_id="r1")
        assert (await socket.next())["event"]["type"] == "run.started"


async def test_detach_ends_the_subscription_and_not_the_run(server: Server, socket: Socket) -> None:
    await socket.send("start", "a", request={**QUESTION, "run_id": "r1"})
    telling = await server.told.next()
    await socket.next()
    await socket.send("detach", "a")
    await socket.send("follow", "b", run_id="r1", after=1)  # the name is free, the run goes on
    await socket.send("follow", "none", run_id="none")
    assert (await socket.error())["id"] == "none"  # frames are handled in their order
    telling.run.write("Hello")
    telling.end()
    frames = [await socket.next() for _ in range(3)]
    assert [frame["id"] for frame in frames] == ["b", "b", "b"]


async def test_detaching_what_is_not_there_is_nothing(server: Server, socket: Socket) -> None:
    await socket.send("detach", "nothing")
    await socket.send("follow", "a", run_id="none")
    assert (await socket.error())["code"] == "no-run"


async def test_stop_with_seen_ends_the_run_for_this_and_every_other_connection(server: Server, socket: Socket) -> None:
    await socket.send("start", "a", request={**QUESTION, "run_id": "r1"})
    telling = await server.told.next()
    telling.run.write("Hello")
    await socket.until("text.delta")
    async with connected(server) as other:
        await other.send("stop", "s", run_id="r1", seen=2)
        assert (await socket.until("run.stopped"))["event"]["seen"] == 2
    await within(telling.cancelled.wait())
    assert (await server.get("/api/runs/r1")).json["message"]["content"] == "He"


async def test_the_end_of_a_run_frees_its_name(server: Server, socket: Socket) -> None:
    for _ in range(2):
        await socket.send("start", "a", request=QUESTION)
        (await server.told.next()).end()
        assert (await socket.until("run.finished"))["id"] == "a"


async def test_a_name_that_is_taken_is_refused_and_the_first_subscription_goes_on(
    server: Server, socket: Socket
) -> None:
    await socket.send("start", "a", request=QUESTION)
    telling = await server.told.next()
    await socket.next()
    await socket.send("start", "a", request=QUESTION)
    error = await socket.error()
    assert (error["id"], error["status"]) == ("a", 400)
    telling.run.write("Hello")
    assert (await socket.next())["event"]["text"] == "Hello"
    assert server.millstream.supervisor.running == 1


async def test_subscriptions_are_bounded(tmp_path: Path) -> None:
    async with serving(tmp_path, max_subscriptions=2) as server, connected(server) as socket:
        for name in "ab":
            await socket.send("start", name, request=QUESTION)
            await server.told.next()
            await socket.next()
        await socket.send("start", "c", request=QUESTION)
        error = await socket.error()
        assert (error["id"], error["code"]) == ("c", "too-many-subscriptions")
        assert server.millstream.supervisor.running == 2
        await socket.send("detach", "a")
        await socket.send("start", "c", request=QUESTION)
        assert (await socket.next())["id"] == "c"


@pytest.mark.parametrize(
    "frame",
    [
        "", "{", "[]", "null", "{}", '{"op":"start"}', '{"op":"start","id":"a"}', '{"op":"fly","id":"a"}',
        '{"op":"start","id":5,"request":{}}', '{"op":"follow","id":"a"}', '{"op":"stop","id":"a"}',
        '{"op":"follow","id":"a","run_id":"r","after":"x"}', '{"op":"follow","id":"a","run_id":"r","after":-1}',
        '{"op":"start","id":"a","request":[]}',
        '{"op":"start","id":"","request":{"question":"Why?"}}', '{"op":"start","id":"' + "x" * 65 + '","request":{}}',
        '{"op":"start","id":"a","request":{"question":"Why?","colour":1}}', '{"op":"start","id":"a","request":{}}',
        '{"op":"start","id":"a","request":{"question":' + "[" * 100_000 + "]" * 100_000 + "}}", b"\x00\xff", b"",
        b'{"op":"start","id":"\xff","request":{}}',
    ],
)  # fmt: skip
async def test_a_frame_that_cannot_be_understood_is_refused_and_the_connection_goes_on(
    server: Server, socket: Socket, frame: str | bytes
) -> None:
    await socket.connection.send(frame)
    error = await socket.error()
    assert (error["status"], error["code"]) == (400, "invalid-request")
    assert server.millstream.supervisor.running == 0
    await socket.send("start", "ok", request=QUESTION)
    assert (await socket.next())["id"] == "ok"


async def test_a_binary_frame_with_json_is_understood(server: Server, socket: Socket) -> None:
    await socket.connection.send(b'{"op":"start","id":"a","request":{"question":"Why?"}}')
    assert (await socket.next())["id"] == "a"


@pytest.mark.parametrize("text", ["x" * 3000, "é" * 1600])
async def test_a_frame_larger_than_the_limit_in_bytes_closes_the_connection(tmp_path: Path, text: str) -> None:
    async with serving(tmp_path, max_body_bytes=2048) as server, connected(server) as socket:
        await socket.connection.send(json.dumps({"op": "auth", "token": text}, ensure_ascii=False))
        with pytest.raises(websockets.ConnectionClosedError) as closed:
            await socket.next()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009


async def test_a_refused_start_says_why_under_its_name(tmp_path: Path) -> None:
    async with serving(tmp_path, max_running=1) as server, connected(server) as socket:
        await socket.send("start", "a", request={**QUESTION, "run_id": "r1"})
        await socket.next()
        await socket.send("start", "b", request=QUESTION)
        error = await socket.error()
        assert (error["id"], error["status"], error["code"], error["retry_after"]) == ("b", 503, "busy", 2)
        await socket.send("follow", "c", run_id="r1", after=99)
        assert (await socket.error())["code"] == "cursor-ahead"
        await socket.send("stop", "d", run_id="none")
        assert (await socket.error())["status"] == 404


# Who may connect


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:1", "http://localhost.evil.example"]
)
async def test_a_page_of_another_site_cannot_connect(server: Server, origin: str) -> None:
    with pytest.raises(websockets.InvalidStatus) as refused:
        async with connected(server, origin=origin):
            pass
    assert refused.value.response.status_code == 403


async def test_a_page_of_this_server_and_of_an_allowed_origin_can(tmp_path: Path) -> None:
    async with serving(tmp_path, origins="https://app.example") as server:
        for origin in (f"http://127.0.0.1:{server.port}", "https://app.example"):
            async with connected(server, origin=origin) as socket:
                await socket.send("follow", "a", run_id="none")
                assert (await socket.error())["code"] == "no-run"


def by_token(connection: HTTPConnection) -> str:
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if scheme != "Bearer" or not token:
        raise Forbidden("Sign in first.")
    if token == "expired":
        raise HTTPException(401, "That token has expired.")
    return f"owner of {token}"


async def test_auth_is_a_first_frame_whose_token_identify_finds_as_in_a_request(tmp_path: Path) -> None:
    async with serving(tmp_path, identify=by_token) as server, connected(server) as socket:
        await socket.send("start", "a", request=QUESTION)
        assert (await socket.error())["status"] == 403
        await socket.send("auth", token="ann")
        await socket.send("start", "a", request={**QUESTION, "run_id": "r1"})
        assert (await server.told.next()).run.owner == "owner of ann"
        await socket.next()
        bearer = {"Authorization": "Bearer ann"}
        assert (await server.get("/api/runs/r1", headers=bearer)).status == 200
        async with connected(server) as other:
            await other.send("auth", token="bob")
            await other.send("follow", "f", run_id="r1")
            assert (await other.error())["status"] == 404
            await other.send("stop", "s", run_id="r1")
            assert (await other.error())["status"] == 404


async def test_identify_finds_the_cookies_of_the_page_that_connected(tmp_path: Path) -> None:
    def by_cookie(connection: HTTPConnection) -> str:
        return f"owner of {connection.cookies['session']}"

    cookie = {"Cookie": "session=ann"}
    async with (
        serving(tmp_path, identify=by_cookie) as server,
        connected(server, additional_headers=cookie) as socket,
    ):
        await socket.send("start", "a", request=QUESTION)
        assert (await server.told.next()).run.owner == "owner of ann"


async def test_a_refusal_of_identifys_own_is_told_and_the_connection_goes_on(tmp_path: Path) -> None:
    async with serving(tmp_path, identify=by_token) as server, connected(server) as socket:
        await socket.send("auth", token="expired")
        await socket.send("start", "a", request=QUESTION)
        error = await socket.error()
        assert (error["id"], error["status"], error["message"]) == ("a", 401, "That token has expired.")
        await socket.send("auth", token="ann")
        await socket.send("start", "a", request=QUESTION)
        assert (await socket.next())["event"]["type"] == "run.started"


# Readers that stall


async def test_a_stalled_connection_slows_nobody_and_holds_a_bounded_amount(tmp_path: Path) -> None:
    """16 MB are written for a reader that reads nothing: what waits for it stays within the transport's own bounds."""
    told = Told()
    async with serving(tmp_path, told.answer) as server, connected(server, max_queue=1) as stalled:
        await stalled.send("start", "a", request={**QUESTION, "run_id": "r1"})
        telling = await told.next()
        stalled.connection.transport.pause_reading()  # type: ignore[attr-defined]
        async with asking(server, run_id="r1") as reader:
            waiting = 0
            for n in range(1, 251):
                telling.run.write("0123456789abcdef" * 4096)
                await reader.words(n * 65536)
                waiting = max(waiting, largest_buffer(server))
            telling.end()
            assert (await reader.rest())[-1]["type"] == "run.finished"
        stalled.connection.transport.abort()  # or else it would wait for a goodbye that it does not read
        assert 0 < waiting < 256 * 1024


def largest_buffer(server: Server) -> int:
    return max(connection.transport.get_write_buffer_size() for connection in server.uvicorn.server_state.connections)


async def test_closing_the_connection_ends_all_its_subscriptions(server: Server) -> None:
    async with connected(server) as socket:
        for name in "abc":
            await socket.send("start", name, request=QUESTION)
            await socket.next()
        lives = list(server.millstream.supervisor._live.values())
        assert [live.readers for live in lives] == [1, 1, 1]
    await until(lambda: [live.readers for live in lives] == [0, 0, 0])
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("ws-")]
