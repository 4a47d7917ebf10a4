import asyncio
import itertools
import sqlite3
from collections.abc import Awaitable, Callable, Sequence

import pytest

from core import in_virtual_time
from millstream.events import RunFinished, RunStarted, encode
from millstream.flusher import FLUSH_INTERVAL_MS, RETRY_INTERVAL_MS, Flusher
from millstream.logs import Batch, RunRecord
from millstream.logs.memory import MemoryLog
from millstream.producer import Producer


class Recorder(MemoryLog):
    """Notes each append and its time; `fails` times it cannot be written, and `slow` is how long it takes."""

    def __init__(self, fails: int = 0, slow: float = 0.0) -> None:
        super().__init__()
        self.appends: list[tuple[float, list[str]]] = []
        self.fails = fails
        self.slow = slow

    async def append(self, batches: Sequence[Batch]) -> frozenset[str]:
        self.appends.append((now(), [batch.run_id for batch in batches]))
        await asyncio.sleep(self.slow)
        if self.fails:
            self.fails -= 1
            raise sqlite3.OperationalError("database or disk is full")
        return await super().append(batches)


def now() -> float:
    return round(asyncio.get_running_loop().time() * 1000, 3)


async def produce(log: MemoryLog, flusher: Flusher, run_id: str) -> Producer:
    record = RunRecord(run_id=run_id, owner="o", conversation_id="c", message_id="m", fingerprint="f", created=0)
    started = encode(
        RunStarted(seq=1, at=0, format=1, run_id=run_id, conversation_id="c", message_id="m", model="x", created=0)
    )
    await log.create(record, started)
    return Producer(record, started, 0.0, flusher.dirty)


def play(log: Recorder, script: Callable[[Flusher], Awaitable[None]]) -> list[tuple[float, list[str]]]:
    """The appends, and their times in virtual milliseconds."""

    async def run() -> None:
        await script(Flusher(log))

    in_virtual_time(run())
    return log.appends


def test_the_log_is_flushed_in_batches_within_100_ms_whatever_the_number_of_events_and_runs() -> None:
    log = Recorder()

    async def script(flusher: Flusher) -> None:
        producers = [await produce(log, flusher, f"r{number}") for number in range(5)]
        for _ in range(100):
            for producer in producers:
                producer.text("word ")
            await asyncio.sleep(0.010)
        await asyncio.sleep(1)

    appends = play(log, script)
    assert len(appends) == pytest.approx(1000 / FLUSH_INTERVAL_MS, abs=2)
    assert all(len(run_ids) == len(set(run_ids)) for _, run_ids in appends), "one batch per run and flush"
    times = [at for at, _ in appends]
    assert all(later - sooner <= 100 for sooner, later in itertools.pairwise(times))
    assert all(stored.record.last_seq == 101 for stored in log._runs.values())


def test_the_time_that_a_write_takes_is_part_of_the_interval() -> None:
    log = Recorder(slow=0.020)

    async def script(flusher: Flusher) -> None:
        producer = await produce(log, flusher, "r")
        for _ in range(100):
            producer.text("word ")
            await asyncio.sleep(0.005)

    times = [at for at, _ in play(log, script)]
    assert all(later - sooner < FLUSH_INTERVAL_MS + 2 for sooner, later in itertools.pairwise(times))


def test_a_terminal_event_is_flushed_at_once() -> None:
    log = Recorder()

    async def script(flusher: Flusher) -> None:
        producer = await produce(log, flusher, "r")
        producer.text("word")
        await asyncio.sleep(0.010)
        producer.end(RunFinished(), "finished")
        await producer.end_reached()

    ((at, _),) = play(log, script)
    assert at == 10


def test_an_end_during_a_flush_is_flushed_right_after_it() -> None:
    log = Recorder(slow=0.030)

    async def script(flusher: Flusher) -> None:
        one = await produce(log, flusher, "one")
        two = await produce(log, flusher, "two")
        one.end(RunFinished(), "finished")
        await asyncio.sleep(0.010)
        two.end(RunFinished(), "finished")
        await one.end_reached()
        await two.end_reached()

    assert play(log, script) == [(0, ["one"]), (30, ["two"])]


def test_a_log_that_cannot_be_written_is_tried_again_and_loses_nothing(caplog: pytest.LogCaptureFixture) -> None:
    log = Recorder(fails=3)

    async def script(flusher: Flusher) -> None:
        producer = await produce(log, flusher, "r")
        for number in range(10):
            producer.text(f"{number} ")
            await asyncio.sleep(0.2)
        producer.end(RunFinished(), "finished")
        await asyncio.wait_for(producer.end_reached(), 60)
        frames = await log.read("r", 0, 1 << 20)
        assert frames.count(b"\n") == 12

    times = [at for at, _ in play(log, script)]
    assert times[:4] == [75 + RETRY_INTERVAL_MS * number for number in range(4)]
    assert [
        (record.levelname, record.exc_info is None) for record in caplog.records if record.name == "millstream"
    ] == [
        ("ERROR", False),
        ("WARNING", True),
    ]


def test_an_idle_server_writes_nothing() -> None:
    log = Recorder()

    async def script(flusher: Flusher) -> None:
        producer = await produce(log, flusher, "r")
        producer.text("word")
        await asyncio.sleep(3600)

    assert len(play(log, script)) == 1


def test_a_refused_run_is_lost_and_its_neighbour_is_not() -> None:
    log = Recorder()

    async def script(flusher: Flusher) -> None:
        one = await produce(log, flusher, "one")
        two = await produce(log, flusher, "two")
        await log.take_over("one", 1)
        one.text("word")
        two.text("word")
        await asyncio.wait_for(one.end_reached(), 60)
        assert one.lost
        assert not two.lost
        assert two.flushed_seq == 2

    play(log, script)
