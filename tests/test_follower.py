import asyncio

import pytest

from core import events_of, in_virtual_time, turn
from millstream.events import Data, RunFinished, RunStarted, encode
from millstream.follower import POLL_INTERVAL_S, READ_BYTES, Cut, Follower
from millstream.logs import Batch, RunRecord
from millstream.logs.memory import MemoryLog
from millstream.producer import Producer

RECORD = RunRecord(run_id="r", owner="o", conversation_id="c", message_id="m", fingerprint="f", created=0)
STARTED = encode(
    RunStarted(seq=1, at=0, format=1, run_id="r", conversation_id="c", message_id="m", model="x", created=0)
)


async def open_run() -> tuple[MemoryLog, Producer]:
    log = MemoryLog()
    await log.create(RECORD, STARTED)
    return log, Producer(RECORD, STARTED, 0.0, lambda _: None)


async def flush(log: MemoryLog, producer: Producer) -> None:
    batches = producer.unflushed()
    assert await log.append(batches) == frozenset()
    for batch in batches:
        producer.flushed(batch)


async def test_a_reader_waits_for_the_next_event() -> None:
    log, producer = await open_run()
    follower = Follower(log, "r", 1, producer)
    reading = asyncio.create_task(follower.read())
    await turn()
    assert not reading.done()
    producer.text("word")
    assert b"word" in (await reading or b"")
    assert follower.cursor == 2


async def test_a_reader_is_given_at_most_32_kb_at_a_time_from_the_tail_and_from_the_log() -> None:
    for in_log in (False, True):
        log, producer = await open_run()
        for _ in range(100):
            producer.write(Data(name="n", data="x" * 1000))
        if in_log:
            await flush(log, producer)
            assert producer.read(0, 1) is None
        follower, sizes = Follower(log, "r", 0, producer), []
        while follower.cursor < 101:
            frames = await follower.read()
            assert frames is not None
            sizes.append(len(frames))
        assert max(sizes) <= READ_BYTES == 32 * 1024
        assert len(sizes) >= 4


async def test_an_event_larger_than_that_is_still_delivered() -> None:
    log, producer = await open_run()
    producer.write(Data(name="n", data="x" * 3 * READ_BYTES))
    await flush(log, producer)
    frames = await Follower(log, "r", 1, producer).read()
    assert frames is not None
    assert len(frames) > 3 * READ_BYTES


async def test_reading_ends_after_the_terminal_event_also_for_who_reads_the_log() -> None:
    log, producer = await open_run()
    producer.end(RunFinished(), "finished")
    await flush(log, producer)
    for known in (producer, None):
        follower = Follower(log, "r", 0, known)
        assert (await follower.read() or b"").count(b"\n") == 2
        assert follower.at_end
        assert await follower.read() is None
        assert await follower.read() is None


async def test_a_long_run_that_has_ended_is_read_to_its_end_from_the_log() -> None:
    log, producer = await open_run()
    for _ in range(100):
        producer.write(Data(name="n", data="x" * 1000))
    producer.end(RunFinished(), "finished")
    await flush(log, producer)
    follower, reads = Follower(log, "r", 0, None), []
    while not follower.at_end:
        reads.append((await follower.read() or b"").count(b"\n"))
    assert len(reads) >= 4
    assert sum(reads) == 102


async def test_who_has_read_the_terminal_event_of_a_run_that_is_here_knows_it_at_once() -> None:
    log, producer = await open_run()
    producer.text("word")
    follower = Follower(log, "r", 0, producer)
    assert b"word" not in (await follower.read() or b"")
    assert b"word" in (await follower.read() or b"")
    producer.end(RunFinished(), "finished")
    assert not follower.at_end
    await flush(log, producer)
    assert b"run.finished" in (await follower.read() or b"")
    assert follower.at_end


@pytest.mark.parametrize("words", ["word", "word " * 1000], ids=["short", "long"])
async def test_who_keeps_up_is_given_the_end_without_asking_the_log(words: str) -> None:
    log, producer = await open_run()
    log.read = log.get = None  # type: ignore[method-assign, assignment]
    follower = Follower(log, "r", 1, producer)
    producer.text(words)
    await turn()
    assert b"word" in (await follower.read() or b"")
    producer.end(RunFinished(), "finished")
    await flush(log, producer)
    assert b"run.finished" in (await follower.read() or b"")
    assert follower.at_end


async def test_a_lost_run_is_read_to_the_end_of_what_there_is_and_then_cut() -> None:
    log, producer = await open_run()
    producer.text("word")
    await turn()
    follower = Follower(log, "r", 0, producer)
    waiting = Follower(log, "r", 2, producer)
    reading = asyncio.create_task(waiting.read())
    await turn()
    producer.lose()
    assert (await follower.read() or b"").count(b"\n") == 2
    with pytest.raises(Cut):
        await follower.read()
    with pytest.raises(Cut):
        await reading


async def test_a_nudge_ends_one_waiting_read_and_loses_nothing() -> None:
    log, producer = await open_run()
    follower = Follower(log, "r", 1, producer)
    reading = asyncio.create_task(follower.read())
    await turn()
    follower.nudge()
    assert await reading == b""
    producer.text("word")
    await turn()
    follower.nudge()
    assert await follower.read() == b""
    assert len(events_of(await follower.read() or b"")) == 1


async def test_a_read_that_was_cancelled_loses_nothing() -> None:
    log, producer = await open_run()
    follower = Follower(log, "r", 1, producer)
    reading = asyncio.create_task(follower.read())
    await turn()
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    producer.text("word")
    await turn()
    assert len(events_of(await follower.read() or b"")) == 1


def test_the_log_is_asked_again_and_again_about_a_run_elsewhere() -> None:
    async def play() -> tuple[float, bool]:
        log = MemoryLog()
        await log.create(RECORD, STARTED)
        follower = Follower(log, "r", 1, None)
        reading = asyncio.create_task(follower.read())
        await asyncio.sleep(60)
        assert not reading.done()
        frames = encode(RunFinished(seq=2, at=5))
        await log.append([Batch(run_id="r", epoch=1, first_seq=2, last_seq=2, frames=frames, state="finished")])
        begun = asyncio.get_running_loop().time()
        assert await reading == frames
        return asyncio.get_running_loop().time() - begun, await follower.read() is None

    waited, ended = in_virtual_time(play())
    assert waited <= POLL_INTERVAL_S
    assert ended


async def test_a_run_that_was_deleted_ends() -> None:
    log, _ = await open_run()
    await log.delete(["r"])
    assert await asyncio.wait_for(Follower(log, "r", 1, None).read(), 10) is None
