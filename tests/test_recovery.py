"""Several processes over one log: leases, taking over, and never two histories."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from core import OWNER, Obedient, events_of, in_virtual_time, read, read_until, start, supervised, turn, types_of, until
from millstream.errors import CursorAhead, NotFound
from millstream.events import RunFailed, RunFinished, RunStarted, TextDelta, TextFinished, encode
from millstream.follower import Cut, Follower
from millstream.logs import LEASE_EXPIRE_S, Batch, EventLog, RunRecord
from millstream.logs.memory import MemoryLog
from millstream.producer import Producer
from millstream.recovery import close_dead_runs, fold_log
from millstream.run import Run


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log(clock: Clock) -> MemoryLog:
    return MemoryLog(clock)


RECORD = RunRecord(run_id="r", owner=OWNER, conversation_id="c", message_id="m", fingerprint="f", created=0)
STARTED = encode(
    RunStarted(seq=1, at=0, format=1, run_id="r", conversation_id="c", message_id="m", model="x", created=0)
)


async def dead_run(log: EventLog, *frames: bytes) -> None:
    """A run whose producer wrote `frames` and died."""
    await log.create(RECORD, STARTED)
    if frames:
        last = len(frames) + 1
        await log.append([Batch(run_id="r", epoch=1, first_seq=2, last_seq=last, frames=b"".join(frames))])


def word(seq: int) -> bytes:
    return encode(TextDelta(seq=seq, at=seq * 10, text=f"w{seq} "))


def nothing(run_id: str) -> None:
    """The conversation of these runs is not looked at."""


async def test_a_dead_run_is_closed_as_interrupted_with_its_durable_seq(log: MemoryLog, clock: Clock) -> None:
    await dead_run(log, word(2), word(3))
    assert await close_dead_runs(log, (), nothing, everyone=False) == 0, "the lease is fresh"
    clock.now += LEASE_EXPIRE_S + 1
    assert await close_dead_runs(log, (), nothing, everyone=False) == 1
    last = events_of(await log.read("r", 0, 10_000))[-1]
    assert isinstance(last, RunFailed)
    assert (last.seq, last.code, last.durable_seq, last.retryable, last.at) == (4, "interrupted", 3, True, 30)
    record = await log.get("r")
    assert record is not None
    assert (record.state, record.durable_seq, record.last_seq) == ("failed", 3, 4)
    assert (await fold_log(log, "r")).snapshot().message.content == "w2 w3 "


async def test_holding_the_folder_proves_older_leases_dead(log: MemoryLog) -> None:
    await dead_run(log)
    assert await close_dead_runs(log, (), nothing, everyone=True) == 1


async def test_a_run_that_died_after_its_words_is_finished(log: MemoryLog) -> None:
    await dead_run(log, word(2), encode(TextFinished(seq=3, at=30, reason="stop")))
    assert await close_dead_runs(log, (), nothing, everyone=True) == 1
    assert isinstance(events_of(await log.read("r", 0, 10_000))[-1], RunFinished)
    record = await log.get("r")
    assert record is not None
    assert (record.state, record.durable_seq) == ("finished", 3)


async def test_exactly_one_of_several_processes_closes_a_dead_run(log: MemoryLog, clock: Clock) -> None:
    await dead_run(log, word(2))
    clock.now += LEASE_EXPIRE_S + 1
    closed = await asyncio.gather(*(close_dead_runs(log, (), nothing, everyone=False) for _ in range(8)))
    assert sorted(closed) == [0] * 7 + [1]
    assert (await log.read("r", 0, 10_000)).count(b"\n") == 3


async def test_who_dies_while_closing_is_followed_by_another(log: MemoryLog, clock: Clock) -> None:
    await dead_run(log, word(2))
    clock.now += LEASE_EXPIRE_S + 1
    assert await log.take_over("r", 1) == 2  # …and dies
    assert await close_dead_runs(log, (), nothing, everyone=False) == 0
    clock.now += LEASE_EXPIRE_S + 1
    assert await close_dead_runs(log, (), nothing, everyone=False) == 1


async def test_a_process_never_reaps_a_run_that_it_is_executing(tmp_path: Path, log: MemoryLog, clock: Clock) -> None:
    told = Obedient()
    async with supervised(tmp_path, told.answer, log=log) as supervisor:
        run_id = await start(supervisor)
        clock.now += 100 * LEASE_EXPIRE_S  # the machine slept
        assert await supervisor.reap() == 0
        assert await supervisor.reap(everyone=True) == 0
        told.may_end.set()
        assert types_of(await read(supervisor, run_id))[-1] == "run.finished"


async def test_a_dead_run_with_an_event_of_a_newer_version_is_closed_too(log: MemoryLog) -> None:
    await dead_run(log, word(2), b'{"type":"hologram","seq":3,"at":30,"beam":[1]}\n')
    assert await asyncio.wait_for(close_dead_runs(log, (), nothing, everyone=True), 10) == 1
    snapshot = (await fold_log(log, "r")).snapshot()
    assert (snapshot.seq, snapshot.state, snapshot.message.content) == (4, "failed", "w2 ")


async def test_a_damaged_event_keeps_no_other_run_from_being_closed(log: MemoryLog) -> None:
    await dead_run(log, b'{"type":"text.delta","seq":2,"at"\n')
    other = msgspec.structs.replace(RECORD, run_id="other")
    await log.create(other, STARTED.replace(b'"r"', b'"other"'))
    assert await close_dead_runs(log, (), nothing, everyone=True) == 2
    record = await log.get("r")
    assert record is not None
    assert (record.state, record.durable_seq, record.last_seq) == ("failed", 2, 3)


async def test_a_run_that_a_log_in_memory_forgot_is_found_in_its_conversation(tmp_path: Path) -> None:
    async def answer(run: Run) -> None:
        run.write("Kept")

    async with supervised(tmp_path, answer, log=MemoryLog()) as supervisor:
        run_id = await start(supervisor)
        await read(supervisor, run_id)
        await until(lambda: supervisor.running == 0)
        before = await supervisor.snapshot(run_id, OWNER)
    async with supervised(tmp_path, answer, log=MemoryLog()) as supervisor:
        assert await supervisor.snapshot(run_id, OWNER) == before
        with pytest.raises(NotFound):
            await supervisor.snapshot(run_id, "somebody else")


async def test_a_reader_ahead_of_what_was_durable_is_told_so(tmp_path: Path, log: MemoryLog) -> None:
    await dead_run(log, word(2), word(3))
    async with supervised(tmp_path, Obedient().answer, log=log) as supervisor:  # opening closes it
        for after in (4, 5, 99):  # the closing event is 4: a cursor there is of the other history
            with pytest.raises(CursorAhead):
                await read(supervisor, "r", after)
            assert not await supervisor.at_end("r", OWNER, after)
        for after in range(4):
            assert types_of(await read(supervisor, "r", after))[-1] == "run.failed"


async def test_a_killed_process_that_had_not_filed_its_answer_is_caught_up_with(tmp_path: Path) -> None:
    async def answer(run: Run) -> None:
        run.write("Hello")

    async with supervised(tmp_path, answer) as supervisor:
        run_id = await start(supervisor)
        frames = await read(supervisor, run_id)
        await until(lambda: supervisor.running == 0)
        await supervisor.close()
        stored = await supervisor.conversations.message_of_run(run_id)
        assert stored is not None
        assert stored.snapshot is not None
        await supervisor.conversations._database.write(  # type: ignore[attr-defined]
            lambda connection: connection.execute("UPDATE messages SET snapshot = NULL")
        )
    async with supervised(tmp_path, answer) as supervisor:
        assert await supervisor.conversations.message_of_run(run_id) == stored
        assert await read(supervisor, run_id) == frames


# A producer that was thought dead, and lives


async def lost_run(tmp_path: Path, log: MemoryLog, how: str) -> None:
    told = Obedient()
    async with supervised(tmp_path, told.answer, log=log) as supervisor:
        run_id = await start(supervisor)
        run = await told.begun
        run.write("durable")
        await until(lambda: supervisor._live[run_id].producer.flushed_seq == 2)
        async with supervisor.follow(run_id, OWNER) as follower:
            received = await read_until(follower, "text.delta")
            assert await close_dead_runs(log, (), nothing, everyone=True) == 1
            if how == "append":
                run.write("nobody will keep this")
            else:
                await supervisor._renew()
            with pytest.raises(Cut):
                received += await asyncio.wait_for(read_until(follower, "run.failed"), 10)
        assert types_of(received) == ["run.started", "text.delta"]
        await asyncio.wait_for(told.cancelled.wait(), 10)
        run.write("nor this")
        await until(lambda: supervisor.running == 0)
        events = events_of(await read(supervisor, run_id))
        assert [event.__struct_config__.tag for event in events] == ["run.started", "text.delta", "run.failed"]


async def test_a_producer_whose_append_is_refused_cancels_its_answer_and_cuts_its_readers(
    tmp_path: Path, log: MemoryLog
) -> None:
    await lost_run(tmp_path, log, "append")


async def test_a_producer_whose_lease_is_refused_cancels_its_answer_and_cuts_its_readers(
    tmp_path: Path, log: MemoryLog
) -> None:
    await lost_run(tmp_path, log, "renew")


async def test_an_answer_that_resists_a_lost_run_writes_nothing_and_keeps_nothing(
    tmp_path: Path, log: MemoryLog
) -> None:
    let_go = asyncio.Event()

    async def stubborn(run: Run) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            for _ in range(100):
                run.write("x" * 1000)
                run.think("y" * 1000)
                await turn()
            await let_go.wait()

    async with supervised(tmp_path, stubborn, log=log) as supervisor:
        run_id = await start(supervisor)
        await turn()
        producer = supervisor._live[run_id].producer
        await close_dead_runs(log, (), nothing, everyone=True)
        await supervisor._renew()
        for _ in range(110):
            await turn()
        assert sum(map(len, producer._frames)) < 1000
        let_go.set()


async def test_a_reader_behind_the_tail_never_mixes_two_histories(log: MemoryLog) -> None:
    """The log has the closing event at seq 4; the producer, which does not know yet, has its own events 4 and 5."""
    await log.create(RECORD, STARTED)
    producer = Producer(RECORD, STARTED, 0.0, lambda _: None)
    for text in ("two", "three"):
        producer.write(TextDelta(text=text * 6000))  # so large that the tail drops them
        (batch,) = producer.unflushed()
        await log.append([batch])
        producer.flushed(batch)
    assert await close_dead_runs(log, (), nothing, everyone=True) == 1
    producer.write(TextDelta(text="four"))
    producer.write(TextDelta(text="five"))

    assert "run.failed" in types_of(await log.read("r", 3, 10_000))
    folded = (await fold_log(log, "r", producer)).snapshot()
    assert (folded.state, folded.seq) == ("running", 5)
    follower, received = Follower(log, "r", 0, producer), b""
    while received.count(b"\n") < 5:
        received += await follower.read() or b""
    assert types_of(received) == ["run.started"] + ["text.delta"] * 4
    producer.lose()
    with pytest.raises(Cut):
        await follower.read()


def test_a_living_process_keeps_its_lease_and_a_dead_ones_run_is_closed_in_time(tmp_path: Path) -> None:
    """Two processes over one log, by the clock of the store."""

    async def play() -> float:
        loop = asyncio.get_running_loop()
        log = MemoryLog(loop.time)
        told = Obedient()
        async with AsyncExitStack() as stack:
            for name in ("one", "two"):
                (tmp_path / name).mkdir()
            one = await stack.enter_async_context(supervised(tmp_path / "one", told.answer, log=log))
            two = await stack.enter_async_context(supervised(tmp_path / "two", told.answer, log=log))
            run_id = await start(one)
            await asyncio.sleep(300)
            record = await log.get(run_id)
            assert record is not None
            assert record.state == "running", "renewed for as long as its process lives"
            await log.create(msgspec.structs.replace(RECORD, run_id="dead"), STARTED)
            died = loop.time()
            frames = await read(two, "dead")
            closed = loop.time() - died
            assert types_of(frames) == ["run.started", "run.failed"]
            told.may_end.set()
            assert types_of(await read(one, run_id))[-1] == "run.finished"
            return closed

    assert 30 <= in_virtual_time(play()) <= 41


def test_leases_are_renewed_every_10_seconds(tmp_path: Path) -> None:
    async def play() -> set[int]:
        loop = asyncio.get_running_loop()
        renewed: list[float] = []

        class Log(MemoryLog):
            async def renew(self, leases: Sequence[tuple[str, int]]) -> frozenset[str]:
                renewed.append(loop.time())
                return await super().renew(leases)

        async with supervised(tmp_path, Obedient().answer, log=Log(loop.time)) as supervisor:
            await start(supervisor)
            await asyncio.sleep(45)
        return {round(later - earlier) for earlier, later in pairwise(renewed)}

    assert in_virtual_time(play()) == {10}


def test_a_run_of_another_process_is_followed_through_the_log(tmp_path: Path) -> None:
    async def play() -> None:
        log = MemoryLog()
        told = Obedient()
        async with AsyncExitStack() as stack:
            for name in ("one", "two"):
                (tmp_path / name).mkdir()
            two = await stack.enter_async_context(supervised(tmp_path / "two", told.answer, log=log))
            one = await stack.enter_async_context(supervised(tmp_path / "one", told.answer, log=log))
            run_id = await start(one)
            run = await told.begun
            elsewhere = asyncio.create_task(read(two, run_id))
            here = asyncio.create_task(read(one, run_id))
            for number in range(30):
                run.write(f"{number} ")
                await asyncio.sleep(0.04)
            told.may_end.set()
            assert await elsewhere == await here

    in_virtual_time(play())
