"""Stop is a request; a reader who leaves is not one, unless the operator says so."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import websockets

from serving import Server, Telling, asking, serving, until, within


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(tmp_path) as server:
        yield server


async def test_stop_returns_the_snapshot_cut_at_what_was_seen_and_cancels_the_answer(server: Server) -> None:
    async with asking(server, run_id="r1") as reader:
        telling = await server.told.next()
        telling.run.write("Hello 👩‍👩‍👧 world")
        await reader.until("text.delta")
        response = await server.post("/api/runs/r1/stop", {"seen": 7})
        assert response.status == 200
        assert (response.json["state"], response.json["message"]["content"]) == ("stopped", "Hello 👩")
        assert (await reader.rest())[-1] == {
            "type": "run.stopped",
            "seq": 3,
            "at": pytest.approx(0, abs=9e9),
            "seen": 7,
        }
        await within(telling.cancelled.wait())


@pytest.mark.parametrize("body", [b"", b"{}", b"  \n"])
async def test_stop_without_seen_keeps_everything(server: Server, body: bytes) -> None:
    async with asking(server, run_id="r1") as reader:
        telling = await server.told.next()
        telling.run.write("Hello")
        await reader.until("text.delta")
        response = await server.request("POST", "/api/runs/r1/stop", data=body)
        assert response.json["message"]["content"] == "Hello"


@pytest.mark.parametrize(("seen", "content"), [(0, ""), (5, "Hello"), (10**30, "Hello")])
async def test_seen_is_bounded_by_what_was_written(server: Server, seen: int, content: str) -> None:
    async with asking(server, run_id="r1") as reader:
        (await server.told.next()).run.write("Hello")
        await reader.until("text.delta")
        response = await server.post("/api/runs/r1/stop", {"seen": seen})
        assert (response.status, response.json["message"]["content"]) == (200, content)


async def test_less_than_nothing_cannot_have_been_seen(server: Server) -> None:
    async with asking(server, run_id="r1"):
        refused = await server.post("/api/runs/r1/stop", {"seen": -3})
        assert (refused.status, refused.json["code"]) == (400, "invalid-request")
        assert (await server.get("/api/runs/r1")).json["state"] == "running"


async def test_the_first_stop_wins_and_after_the_end_stop_changes_nothing(server: Server) -> None:
    async with asking(server, run_id="r1") as reader:
        (await server.told.next()).run.write("Hello")
        await reader.until("text.delta")
        first = await server.post("/api/runs/r1/stop", {"seen": 2})
        assert first.json["message"]["content"] == "He"
        assert (await server.post("/api/runs/r1/stop", {"seen": 5})).body == first.body
    async with asking(server, run_id="r2") as reader:
        telling = await server.told.next()
        telling.run.write("Hello")
        telling.end()
        await reader.rest()
    response = await server.post("/api/runs/r2/stop", {"seen": 1})
    assert (response.json["state"], response.json["message"]["content"]) == ("finished", "Hello")


@pytest.mark.parametrize(
    "body", [b'{"seen":"x"}', b'{"seen":1.5}', b'{"saw":1}', b"[", b"\xff", b'{"\xff":1}', b"[" * 9_000]
)
async def test_a_stop_that_cannot_be_understood_is_refused_and_stops_nothing(server: Server, body: bytes) -> None:
    async with asking(server, run_id="r1") as reader:
        telling = await server.told.next()
        assert (await server.request("POST", "/api/runs/r1/stop", data=body)).status == 400
        telling.end()
        assert (await reader.rest())[-1]["type"] == "run.finished"


async def test_stopping_what_is_not_there_is_refused(server: Server) -> None:
    response = await server.post("/api/runs/none/stop")
    assert (response.status, response.json["code"]) == (404, "no-run")


async def test_a_reader_who_leaves_does_not_stop_the_run(server: Server) -> None:
    async with asking(server, run_id="r1") as reader:
        telling = await server.told.next()
        telling.run.write("Hello ")
        await reader.until("text.delta")
        reader.leave()
    await until(lambda: server.millstream.supervisor._live["r1"].readers == 0)
    telling.run.write("world")
    telling.end()
    events = (await within(server.get("/api/runs/r1/events?after=2"))).events
    assert events[-1]["type"] == "run.finished"
    assert (await server.get("/api/runs/r1")).json["message"]["content"] == "Hello world"


# When nobody reads: MILLSTREAM_WHEN_UNREAD=stop


class Leaving:
    """A client of each transport: begins a run, perhaps reads its first words, and leaves."""

    def __init__(self, server: Server) -> None:
        self.server = server

    async def http(self, accept: str, words: bool) -> Telling:
        asked = self.server.client.post(
            f"{self.server.url}/api/runs", json={"question": "Why?", "run_id": "r1"}, headers={"Accept": accept}
        )
        waiting: asyncio.Task[Any] = asyncio.ensure_future(asked)  # type: ignore[arg-type]
        telling = await self.server.told.next()
        if words:
            telling.run.write("Hello")
        if accept == "application/json":
            waiting.cancel()
            await asyncio.wait([waiting])
        else:
            response = await within(waiting)
            kinds = b""
            while b"text.delta" not in kinds if words else b"run.started" not in kinds:
                kinds += await within(response.content.readline())
            response.close()
        return telling

    async def websocket(self, words: bool) -> Telling:
        async with websockets.connect(f"ws://127.0.0.1:{self.server.port}/api/ws", proxy=None) as socket:
            await socket.send(json.dumps({"op": "start", "id": "a", "request": {"question": "Why?", "run_id": "r1"}}))
            telling = await self.server.told.next()
            if words:
                telling.run.write("Hello")
                while "text.delta" not in str(await within(socket.recv())):
                    pass
            socket.transport.abort()  # type: ignore[attr-defined]
        return telling


@pytest.mark.parametrize("words", [False, True], ids=["before the first word", "after it"])
@pytest.mark.parametrize("transport", ["application/x-ndjson", "text/event-stream", "application/json", "websocket"])
async def test_with_policy_stop_the_answer_is_cancelled_when_its_only_reader_leaves(
    tmp_path: Path, transport: str, words: bool
) -> None:
    async with serving(tmp_path, when_unread="stop") as server:
        leaving = Leaving(server)
        telling = await (leaving.websocket(words) if transport == "websocket" else leaving.http(transport, words))
        begun = asyncio.get_running_loop().time()
        await within(telling.cancelled.wait())
        assert asyncio.get_running_loop().time() - begun < 1  # not the bound for a run that nobody ever came to read
        await until(lambda: server.millstream.supervisor.running == 0)
        snapshot = (await server.get("/api/runs/r1")).json
        assert (snapshot["state"], snapshot["message"]["content"]) == ("stopped", "Hello" if words else "")


async def test_a_websocket_that_starts_a_run_and_detaches_in_one_breath_leaves_it_unread(tmp_path: Path) -> None:
    async with (
        serving(tmp_path, when_unread="stop") as server,
        websockets.connect(f"ws://127.0.0.1:{server.port}/api/ws", proxy=None) as socket,
    ):
        await socket.send(json.dumps({"op": "start", "id": "a", "request": {"question": "Why?"}}))
        await socket.send(json.dumps({"op": "detach", "id": "a"}))
        telling = await server.told.next()
        begun = asyncio.get_running_loop().time()
        await within(telling.cancelled.wait())
        assert asyncio.get_running_loop().time() - begun < 1


async def test_with_policy_stop_the_run_goes_on_while_anybody_reads(tmp_path: Path) -> None:
    async with serving(tmp_path, when_unread="stop") as server, asking(server, run_id="r1") as first:
        telling = await server.told.next()
        async with server.client.get(f"{server.url}/api/runs/r1/events") as second:
            await second.content.readline()
            first.leave()
            await until(lambda: server.millstream.supervisor._live["r1"].readers == 1)
            telling.run.write("Still here")
            telling.end()
            assert b"run.finished" in await within(second.read())


async def test_with_seconds_a_reader_who_comes_back_in_time_keeps_the_run(tmp_path: Path) -> None:
    async with serving(tmp_path, when_unread=30) as server:
        async with asking(server, run_id="r1") as reader:
            telling = await server.told.next()
            reader.leave()
        live = server.millstream.supervisor._live["r1"]
        await until(lambda: live.readers == 0)
        assert live.unread_timer is not None
        async with server.client.get(f"{server.url}/api/runs/r1/events") as again:
            await again.content.readline()
            assert live.unread_timer is None
            telling.end()
            assert b"run.finished" in await within(again.read())


async def test_with_seconds_a_run_that_nobody_comes_back_to_is_stopped(tmp_path: Path) -> None:
    async with serving(tmp_path, when_unread=0.05) as server:
        async with asking(server, run_id="r1") as reader:
            telling = await server.told.next()
            reader.leave()
        await within(telling.cancelled.wait())
        await until(lambda: server.millstream.supervisor.running == 0)
        assert (await server.get("/api/runs/r1")).json["state"] == "stopped"
