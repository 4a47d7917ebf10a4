"""However a connection is cut, what a client assembles is the uninterrupted result, and no event comes twice."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import websockets
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from readers import READINGS, Reading, client, whole

import millstream.client.asynchronous
from millstream.events import Event, TextDelta, decode, encode_json
from millstream.run import Run
from millstream.snapshot import fold
from serving import CuttingProxy, Server, Told, asking, serving, within
from strategies import EVENTS, TEXTS

ANSWERS = st.lists(st.one_of(EVENTS, st.builds(TextDelta, text=TEXTS), st.just(None)), max_size=12)
# Headers are some 200 bytes: small cuts fall into them, or into the WebSocket's handshake.
CUTS = st.lists(st.integers(0, 300) | st.integers(200, 3000), max_size=6)


class Scripted:
    """Plays the events of the example under test; None lets the loop turn, so that readers run beside the writing."""

    def __init__(self) -> None:
        self.events: list[Event | None] = []

    async def answer(self, run: Run) -> None:
        for event in self.events:
            if event is None:
                for _ in range(20):
                    await asyncio.sleep(0)
            else:
                run.play(event)  # type: ignore[arg-type]


async def uncut(server: Server, run_id: str) -> list[bytes]:
    """The frames of the ended run over a connection that nobody cut."""
    body = (await server.get(f"/api/runs/{run_id}/events", headers={"Accept": "application/x-ndjson"})).body
    return body.splitlines(keepends=True)


def check_every_example(
    folder: Path, check: Callable[[Server, str, list[int]], Awaitable[None]], examples: int = 40
) -> None:
    """`check(server, run_id, cuts)` for random answers and cuts, against one server."""
    scripted = Scripted()
    with asyncio.Runner() as runner:
        context = serving(folder, scripted.answer)
        server = runner.run(context.__aenter__())
        numbers = iter(range(1_000_000))

        @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
        @given(ANSWERS, CUTS)
        def example(events: list[Event | None], cuts: list[int]) -> None:
            scripted.events = events
            runner.run(within(check(server, f"r{next(numbers)}", cuts)))

        try:
            example()
        finally:
            runner.run(context.__aexit__(None, None, None))


@pytest.mark.parametrize("transport", READINGS)
def test_a_reader_cut_anywhere_any_number_of_times_misses_nothing_and_gets_nothing_twice(
    tmp_path: Path, transport: str
) -> None:
    reading: Reading = READINGS[transport]

    async def check(server: Server, run_id: str, cuts: list[int]) -> None:
        async with asking(server, run_id=run_id), CuttingProxy(server.port, cuts).running() as proxy:
            frames = await reading(proxy.url, run_id)
        assert frames == await uncut(server, run_id)
        assert [json.loads(frame)["seq"] for frame in frames] == list(range(1, len(frames) + 1))

    check_every_example(tmp_path, check)


def test_our_client_cut_anywhere_misses_nothing_and_gets_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(millstream.client.asynchronous, "BACKOFF_S", (0.0,))

    async def check(server: Server, run_id: str, cuts: list[int]) -> None:
        # Where the very first connection fails the client tells its caller; from then on it resumes.
        async with CuttingProxy(server.port, [max(cut, 400) for cut in cuts[:1]] + cuts[1:]).running() as proxy:
            frames = await client(proxy.url, {"question": "Why?", "run_id": run_id})
        assert frames == await uncut(server, run_id)

    check_every_example(tmp_path, check)


def test_the_whole_answer_asked_for_again_after_a_cut_is_the_same_bytes(tmp_path: Path) -> None:
    async def check(server: Server, run_id: str, cuts: list[int]) -> None:
        async with CuttingProxy(server.port, cuts).running() as proxy:
            body = await whole(proxy.url, {"question": "Why?", "run_id": run_id})
        frames = await uncut(server, run_id)
        assert body == encode_json(fold(decode(frame) for frame in frames))
        assert body == (await server.get(f"/api/runs/{run_id}")).body

    check_every_example(tmp_path, check)


async def _next_ndjson(server: Server, run_id: str, after: int) -> bytes:
    headers = {"Accept": "application/x-ndjson"}
    async with server.client.get(f"{server.url}/api/runs/{run_id}/events?after={after}", headers=headers) as response:
        return await response.content.readline()


async def _next_sse(server: Server, run_id: str, after: int) -> bytes:
    headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
    async with server.client.get(f"{server.url}/api/runs/{run_id}/events", headers=headers) as response:
        assert await response.content.readline() == b"id: %d\n" % (after + 1)
        return (await response.content.readline()).removeprefix(b"data: ")


async def _next_websocket(server: Server, run_id: str, after: int) -> bytes:
    async with websockets.connect(f"ws://127.0.0.1:{server.port}/api/ws", proxy=None) as socket:
        await socket.send(json.dumps({"op": "follow", "id": "x", "run_id": run_id, "after": after}))
        message = await socket.recv()
        assert isinstance(message, str)
        return message.removeprefix('{"id":"x","event":')[:-1].encode() + b"\n"


@pytest.mark.parametrize("read_one", [_next_ndjson, _next_sse, _next_websocket])
async def test_a_connection_cut_at_every_event_of_a_live_run_loses_nothing(
    tmp_path: Path, read_one: Callable[[Server, str, int], Awaitable[bytes]]
) -> None:
    told = Told()
    async with serving(tmp_path, told.answer) as server, asking(server, run_id="r1"):
        telling = await told.next()
        write: list[Callable[[Run], Any]] = [
            lambda run: run.think("Hm."),
            lambda run: run.write("One "),
            lambda run: run.data("n", 1),
            lambda run: run.write("two\u2028 "),
            lambda run: run.followups(["And?"]),
        ]
        frames: list[bytes] = [await within(read_one(server, "r1", 0))]
        for action in write:
            waiting = asyncio.create_task(read_one(server, "r1", len(frames)))  # it waits before there is anything
            action(telling.run)
            frames.append(await within(waiting))
        telling.end()
        last = json.loads(frames[-1])["seq"]
        while json.loads(frames[-1])["type"] != "run.finished":
            frames.append(await within(read_one(server, "r1", len(frames))))
        assert last < json.loads(frames[-1])["seq"]
        assert frames == await uncut(server, "r1")
        # …and once more at every boundary, now from the log of a run that is over.
        assert frames == [await read_one(server, "r1", after) for after in range(len(frames))]


async def test_a_second_reader_of_a_live_run_gets_the_same_bytes_as_the_first(tmp_path: Path) -> None:
    told = Told()
    async with serving(tmp_path, told.answer) as server, asking(server, run_id="r1") as first:
        telling = await told.next()
        telling.run.write("Hello ")
        started = [await first.next(), await first.next()]
        async with server.client.get(f"{server.url}/api/runs/r1/events") as second:
            telling.run.write("world")
            telling.end()
            rest = await first.rest()
            assert [json.loads(line) async for line in second.content] == started + rest


async def test_readers_behind_the_producers_memory_read_the_log(tmp_path: Path) -> None:
    """2 MB of answer, no reader: whoever comes then reads it all from where they like."""
    told = Told()
    async with serving(tmp_path, told.answer) as server:
        async with asking(server, run_id="r1") as reader:
            telling = await told.next()
            for _ in range(500):
                telling.run.write("0123456789abcdef" * 256)
                await asyncio.sleep(0)
            telling.end()
            frames = (await within(reader.response.read())).splitlines(keepends=True)
        assert sum(map(len, frames)) > 2_000_000
        assert frames == await uncut(server, "r1")
        assert frames[300:] == await uncut_after(server, "r1", 300)


async def uncut_after(server: Server, run_id: str, after: int) -> list[bytes]:
    return (await server.get(f"/api/runs/{run_id}/events?after={after}")).body.splitlines(keepends=True)


async def test_a_cut_client_that_asks_too_late_is_told_so_and_the_snapshot_still_works(tmp_path: Path) -> None:
    told = Told()
    async with serving(tmp_path, told.answer, events_kept_hours=1e-9) as server:
        async with asking(server, run_id="r1") as reader:
            telling = await told.next()
            telling.run.write("Kept.")
            telling.end()
            await reader.rest()
        before = (await server.get("/api/runs/r1")).json
        while (response := await server.get("/api/runs/r1/events?after=1")).status == 200:
            await server.millstream.supervisor.prune()
        assert (response.status, response.json["code"]) == (410, "gone")
        assert (await server.get("/api/runs/r1")).json == before
