"""Recorded runs: read, paced, and played as an answer of their own."""

import asyncio
from importlib.resources import files
from pathlib import Path

import pytest

from millstream import recordings
from millstream.errors import InputError, NotFound
from millstream.events import AnyEvent, RunFinished, RunStarted, TextDelta, encode
from millstream.recordings import SHIPPED, paced, parse_recording, shipped
from millstream.snapshot import fold
from serving import Server, asking, serving


def test_every_shipped_recording_is_a_whole_and_finished_run() -> None:
    for recording in SHIPPED:
        events = shipped(recording.name)
        assert isinstance(events[0], RunStarted)
        assert isinstance(events[-1], RunFinished)
        assert [event.seq for event in events if event is not None] == list(range(1, len(events) + 1))
        snapshot = fold(events)
        assert (snapshot.state, snapshot.message.reason) == ("finished", "stop")
        assert snapshot.message.sources
        assert snapshot.message.citations
        raw = files(recordings).joinpath(f"{recording.name}.ndjson").read_bytes()
        assert b"".join(encode(event) for event in events if event is not None) == raw


def test_a_recording_that_is_not_shipped_is_not_found() -> None:
    for name in ("none", "../tour", ""):
        with pytest.raises(NotFound):
            shipped(name)


def test_events_of_types_that_are_not_known_are_passed_over() -> None:
    started = encode(shipped("tour")[0])  # type: ignore[arg-type]
    assert parse_recording(started + b'{"type":"run.sung","seq":2}\n\n', "x")[1] is None


def test_a_line_that_is_no_event_is_named() -> None:
    with pytest.raises(InputError, match="x, line 2"):
        parse_recording(encode(shipped("tour")[0]) + b"nonsense\n", "x")  # type: ignore[arg-type]


async def waits(speed: float, *at: int) -> list[float]:
    """What `paced` sleeps before events at these milliseconds, on a clock that only those sleeps move."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    events: list[AnyEvent | None] = [TextDelta(seq=n, at=ms, text="x") for n, ms in enumerate(at, 1)]
    assert [event async for event in paced(events, speed, sleep)] == events
    return slept


async def test_events_come_at_their_recorded_time_divided_by_speed() -> None:
    assert await waits(1, 1000, 2000) == [pytest.approx(1, abs=0.1), pytest.approx(2, abs=0.1)]
    assert await waits(4, 1000) == [pytest.approx(0.25, abs=0.1)]
    assert await waits(0, 1000, 2000) == []
    assert await waits(1, 0, 0) == []


@pytest.fixture
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    real = paced
    monkeypatch.setattr(recordings, "paced", lambda events: real(events, 0))


@pytest.mark.usefixtures("_at_once")
async def test_the_answer_recording_plays_one_as_a_run_of_its_own_labelled_as_what_it_is(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        async with asking(server, answer="recording", run_id="mine") as reader:
            events = await reader.rest()
        original = fold(shipped("tour"))
        assert events[0]["run_id"] == "mine"
        label = next(event for event in events if event["type"] == "data")
        assert (label["name"], label["data"]["name"]) == ("recording", "tour")
        body = (await server.get("/api/runs/mine")).json
        assert (body["state"], body["message"]["content"]) == ("finished", original.message.content)
        assert len(body["message"]["citations"]) == len(original.message.citations)
        again = (await server.post("/api/runs", {"question": "x", "answer": "recording"})).json
        assert again["message"]["content"] == original.message.content


async def test_a_recording_that_is_not_there_fails_the_run(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        asked = {"question": "x", "answer": "recording", "options": {"recording": "none"}}
        response = await server.post("/api/runs", asked)
        assert response.json["code"] == "no-recording"


async def test_a_recording_can_be_stopped(tmp_path: Path) -> None:
    async with serving(tmp_path) as server, asking(server, answer="recording", run_id="r1") as reader:
        await reader.until("step.started")
        assert (await server.post("/api/runs/r1/stop")).json["state"] == "stopped"
        assert (await reader.rest())[-1]["type"] == "run.stopped"


async def test_status_lists_what_is_shipped(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        listed = (await status(server))["recordings"]
    assert [recording["name"] for recording in listed] == [recording.name for recording in SHIPPED]


async def status(server: Server) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = (await asyncio.wait_for(server.get("/api/status"), 10)).json
    return found
