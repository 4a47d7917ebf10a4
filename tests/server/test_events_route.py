"""`GET /api/runs/{id}/events` and `/api/runs/{id}`: cursors, and what is refused."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from starlette.requests import HTTPConnection

from millstream.errors import Forbidden
from millstream.request import RunRequest
from serving import Server, Telling, asking, serving, until, within


def by_header(connection: HTTPConnection) -> str:
    owner = connection.headers.get("x-user")
    if owner is None:
        raise Forbidden("Say who you are.")
    return owner


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(tmp_path) as server:
        yield server


async def ended(server: Server, run_id: str = "r1") -> int:
    """A run of five events that is over; returns its last seq."""
    async with asking(server, run_id=run_id) as reader:
        telling = await server.told.next()
        telling.run.think("Hm.")
        telling.run.write("Hello")
        telling.end()
        return int((await reader.rest())[-1]["seq"])


async def test_after_is_the_seq_of_the_last_event_that_the_client_has(server: Server) -> None:
    last = await ended(server)
    events = (await server.get("/api/runs/r1/events?after=2")).events
    assert [event["seq"] for event in events] == list(range(3, last + 1))


async def test_without_a_cursor_the_run_is_read_from_its_beginning(server: Server) -> None:
    last = await ended(server)
    for path in ("/api/runs/r1/events", "/api/runs/r1/events?after=0", "/api/runs/r1/events?after="):
        assert len((await server.get(path)).events) == last


async def test_last_event_id_beats_after(server: Server) -> None:
    last = await ended(server)
    response = await server.get("/api/runs/r1/events?after=0", headers={"Last-Event-ID": "3"})
    assert [event["seq"] for event in response.events] == list(range(4, last + 1))


async def test_who_has_the_terminal_event_is_told_that_nothing_more_comes(server: Server) -> None:
    """204 also stops a browser's EventSource for good."""
    last = await ended(server)
    response = await server.get(f"/api/runs/r1/events?after={last}")
    assert (response.status, response.body) == (204, b"")


async def test_a_cursor_ahead_of_an_ended_run_is_refused(server: Server) -> None:
    last = await ended(server)
    response = await server.get(f"/api/runs/r1/events?after={last + 1}")
    assert (response.status, response.json["code"]) == (409, "cursor-ahead")


async def test_a_cursor_ahead_of_a_live_run_is_refused(server: Server) -> None:
    async with asking(server, run_id="r1") as reader:
        await reader.next()
        response = await server.get("/api/runs/r1/events?after=7")
        assert (response.status, response.json["code"]) == (409, "cursor-ahead")


async def test_a_reader_who_saw_more_than_the_log_of_a_dead_server_holds_is_sent_to_the_snapshot(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as server, asking(server, run_id="r1") as reader:
        telling = await server.told.next()
        telling.run.think("Hm.")
        live = server.millstream.supervisor._live["r1"]
        await until(lambda: live.producer.flushed_seq == 2)
        telling.run.write("Hello")
        telling.end()
        last = (await reader.rest())[-1]["seq"]
    with closing(sqlite3.connect(tmp_path / "data" / "millstream.db")) as database, database:
        # As if the server had been killed before it could write the words.
        database.execute("UPDATE runs SET state = 'running', ended = NULL, last_seq = 2 WHERE run_id = 'r1'")
        database.execute("DELETE FROM batches WHERE run_id = 'r1' AND first_seq > 2")
    async with serving(tmp_path) as server:
        for cursor in (3, last):
            response = await server.get(f"/api/runs/r1/events?after={cursor}")
            assert (response.status, response.json["code"]) == (409, "cursor-ahead")
        assert [event["type"] for event in (await server.get("/api/runs/r1/events?after=2")).events] == ["run.failed"]
        snapshot = (await server.get("/api/runs/r1")).json
        assert (snapshot["state"], snapshot["message"]["error"]["code"]) == ("failed", "interrupted")


@pytest.mark.parametrize("cursor", ["-1", "1.5", "x", "٣", "1e3", "9" * 16, "%00"])
async def test_a_malformed_cursor_is_refused(server: Server, cursor: str) -> None:
    await ended(server)
    response = await server.get(f"/api/runs/r1/events?after={cursor}")
    assert (response.status, response.json["code"]) == (400, "invalid-request")
    assert "after" in response.json["detail"]


async def test_a_malformed_last_event_id_is_refused(server: Server) -> None:
    await ended(server)
    assert (await server.get("/api/runs/r1/events", headers={"Last-Event-ID": "abc"})).status == 400


@pytest.mark.parametrize("accept", ["application/json", "text/html"])
async def test_events_come_as_a_stream_only(server: Server, accept: str) -> None:
    await ended(server)
    assert (await server.get("/api/runs/r1/events", headers={"Accept": accept})).status == 406


@pytest.mark.parametrize("path", ["/api/runs/none", "/api/runs/none/events", "/api/conversations/none"])
async def test_what_is_not_there_is_refused_as_a_problem(server: Server, path: str) -> None:
    response = await server.get(path)
    assert response.status == 404
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json["status"] == 404


async def test_a_run_is_its_owners_alone_live_and_ended(tmp_path: Path) -> None:
    mine, yours = {"X-User": "ann"}, {"X-User": "bob"}
    async with serving(tmp_path, identify=by_header) as server:

        async def nothing_for_bob() -> None:
            for path in ("/api/runs/r1", "/api/runs/r1/events", "/api/runs/r1/events?after=9"):
                assert (await server.get(path, headers=yours)).status == 404
            assert (await server.post("/api/runs/r1/stop", headers=yours)).status == 404
            taken = await server.post("/api/runs", {"question": "Why?", "run_id": "r1"}, headers=yours)
            assert taken.status == 409
            assert (await server.get("/api/conversations", headers=yours)).json == {"conversations": []}

        async with asking(server, run_id="r1", headers=mine) as reader:
            telling = await server.told.next()
            assert telling.run.owner == "ann"
            await nothing_for_bob()
            telling.run.write("For Ann.")
            telling.end()
            await reader.rest()
        await nothing_for_bob()
        last = (await server.get("/api/runs/r1", headers=mine)).json["seq"]
        assert (await server.get(f"/api/runs/r1/events?after={last}", headers=yours)).status == 404
        assert (await server.get("/api/runs/r1", headers=mine)).json["message"]["content"] == "For Ann."


async def test_who_identify_does_not_know_is_refused_everywhere(tmp_path: Path) -> None:
    async with serving(tmp_path, identify=by_header) as server:
        for method, path in (
            ("POST", "/api/runs"), ("GET", "/api/runs/x"), ("GET", "/api/runs/x/events"), ("POST", "/api/runs/x/stop"),
            ("GET", "/api/conversations"), ("GET", "/api/conversations/x"), ("DELETE", "/api/conversations/x"),
            ("GET", "/api/status"),
        ):  # fmt: skip
            response = await server.request(method, path, json={"question": "Why?"} if path == "/api/runs" else None)
            assert (response.status, response.json["detail"]) == (403, "Say who you are."), path


async def test_a_snapshot_of_a_live_run_continues_with_its_own_cursor(server: Server) -> None:
    async with asking(server, run_id="r1") as reader:
        telling: Telling = await server.told.next()
        telling.run.write("Hello ")
        await reader.until("text.delta")
        snapshot = (await server.get("/api/runs/r1")).json
        assert (snapshot["state"], snapshot["message"]["content"]) == ("running", "Hello ")
        assert "reason" not in snapshot["message"]
        telling.run.write("world")
        telling.end()
        rest = (await within(server.get(f"/api/runs/r1/events?after={snapshot['seq']}"))).events
    text = "".join(event["text"] for event in rest if event["type"] == "text.delta")
    assert snapshot["message"]["content"] + text == "Hello world"


async def test_head_on_a_run_in_the_making_answers_at_once_and_does_not_count_as_a_reader(tmp_path: Path) -> None:
    async with serving(tmp_path, when_unread="stop") as server, asking(server, run_id="r1") as reader:
        telling = await server.told.next()
        telling.run.write("Hello")
        head = await within(server.request("HEAD", "/api/runs/r1/events?after=1"))
        assert (head.status, head.headers["Content-Type"], head.body) == (200, "application/x-ndjson", b"")
        assert (head.headers["Millstream-Run"], head.headers["X-Accel-Buffering"]) == ("r1", "no")
        accept = {"Accept": "text/event-stream"}
        stream = await within(server.request("HEAD", "/api/runs/r1/events", headers=accept))
        assert stream.headers["Content-Type"] == "text/event-stream"
        assert (await server.request("HEAD", "/api/runs/r1/events?after=99")).status == 409
        reader.leave()
        await within(telling.cancelled.wait())
        assert (await server.request("HEAD", "/api/runs/r1/events")).status == 200
        assert (await server.request("HEAD", "/api/runs/none/events")).status == 404


async def test_head_does_not_stop_a_run_that_nobody_has_come_to_read_yet(tmp_path: Path) -> None:
    async with serving(tmp_path, when_unread="stop") as server:
        supervisor = server.millstream.supervisor
        run_id, _ = await supervisor.start(RunRequest(question="Why?"), "local")
        telling = await server.told.next()
        assert (await within(server.request("HEAD", f"/api/runs/{run_id}/events"))).status == 200
        assert not telling.run.finished
        assert supervisor.running == 1
        telling.end()


async def test_after_head_the_same_connection_serves_the_next_request(server: Server) -> None:
    async with asking(server, run_id="r1"):
        telling = await server.told.next()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        host = f"Host: 127.0.0.1:{server.port}\r\n\r\n"
        for request in ("HEAD /api/runs/r1/events", "GET /health"):
            writer.write(f"{request} HTTP/1.1\r\n{host}".encode())
            assert (await within(reader.readuntil(b"\r\n\r\n"))).startswith(b"HTTP/1.1 200")
        writer.close()
        telling.end()
