"""A run that another process took over: each of our own transports ends without a terminal event, so that its client
asks again."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import websockets

from serving import Server, serving, until, within

ASKED = {"question": "Why?", "run_id": "r1"}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(tmp_path) as server:
        yield server


async def lose(server: Server) -> None:
    (await server.live("r1")).producer.lose()


@pytest.mark.parametrize("form", ["application/x-ndjson", "text/event-stream"])
async def test_a_stream_of_a_lost_run_ends_without_a_terminal_event(server: Server, form: str) -> None:
    async with server.client.post(f"{server.url}/api/runs", json=ASKED, headers={"Accept": form}) as response:
        assert response.headers["Content-Type"].startswith(form)
        (await server.told.next()).run.write("Hello")
        while b"text.delta" not in await within(response.content.readline()):
            pass
        await lose(server)
        assert (await within(response.read())).strip() == b""


async def test_a_whole_answer_of_a_lost_run_is_what_there_was_and_says_that_it_is_running(server: Server) -> None:
    asked = asyncio.create_task(server.post("/api/runs", ASKED))
    (await server.told.next()).run.write("Hello")
    live = await server.live("r1")
    await until(lambda: live.readers == 1 and live.producer.last_seq == 2)
    live.producer.lose()
    answered = await within(asked)
    assert (answered.status, answered.json["state"], answered.json["message"]["content"]) == (200, "running", "Hello")


async def test_a_websocket_with_a_lost_run_is_closed_as_restarting(server: Server) -> None:
    async with websockets.connect(f"ws://127.0.0.1:{server.port}/api/ws", proxy=None) as socket:
        await socket.send(json.dumps({"op": "start", "id": "a", "request": ASKED}))
        await within(socket.recv())  # run.started
        await server.told.next()
        await lose(server)
        with pytest.raises(websockets.ConnectionClosedError) as closed:
            await within(socket.recv())
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
