"""What every EventLog does. An implementation's test is a subclass with a `log` fixture."""

import asyncio
import uuid
from itertools import pairwise

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millstream.events import RunFinished, RunStarted, TextDelta, encode
from millstream.logs import LEASE_EXPIRE_S, Batch, EventLog, RunRecord, RunState

START = 1_700_000_000.0


class Clock:
    """The store's clock: seconds since the Unix epoch, moved by the test."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


def record(run_id: str, **fields: object) -> RunRecord:
    plain = RunRecord(
        run_id=run_id, owner="ann", conversation_id="c1", message_id="m1", fingerprint="f1", created=int(START * 1000)
    )
    return msgspec.structs.replace(plain, **fields)


def started(run_id: str) -> bytes:
    return encode(
        RunStarted(seq=1, at=0, format=1, run_id=run_id, conversation_id="c1", message_id="m1", model="test", created=1)
    )


def delta(seq: int, text: str = "word") -> bytes:
    return encode(TextDelta(seq=seq, at=seq, text=text))


def batch(run_id: str, first: int, last: int, epoch: int = 1, **fields: object) -> Batch:
    frames = b"".join(delta(seq) for seq in range(first, last + 1))
    plain = Batch(run_id=run_id, epoch=epoch, first_seq=first, last_seq=last, frames=frames)
    return msgspec.structs.replace(plain, **fields)


def ending(run_id: str, seq: int, epoch: int = 1, state: RunState = "finished", durable: int | None = None) -> Batch:
    frames = encode(RunFinished(seq=seq, at=seq))
    return batch(run_id, seq, seq, epoch, frames=frames, state=state, durable_seq=durable)


async def whole(log: EventLog, run_id: str, limit: int = 1 << 20) -> bytes:
    """All frames, read part by part."""
    frames = b""
    while part := await log.read(run_id, frames.count(b"\n"), limit):
        frames += part
    return frames


class EventLogContract:
    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    # Creating

    async def test_a_created_run_is_found_with_its_first_frame(self, log: EventLog) -> None:
        assert await log.create(record("r1"), started("r1")) == (record("r1"), True)
        assert await log.get("r1") == record("r1")
        assert await log.read("r1", 0, 100_000) == started("r1")

    async def test_creating_an_id_again_gives_the_first_record_untouched(self, log: EventLog) -> None:
        await log.create(record("r1"), started("r1"))
        await log.append([batch("r1", 2, 3)])
        other = record("r1", owner="bob", fingerprint="f2")
        existing, new = await log.create(other, b"another frame\n")
        assert not new
        assert existing == record("r1", last_seq=3)
        assert await whole(log, "r1") == started("r1") + delta(2) + delta(3)

    async def test_one_of_several_creators_of_an_id_wins(self, log: EventLog) -> None:
        records = [record("r1", fingerprint=f"f{number}") for number in range(8)]
        results = await asyncio.gather(*(log.create(each, started("r1")) for each in records))
        winner = [stored for stored, new in results if new]
        assert len(winner) == 1
        assert {stored.fingerprint for stored, _ in results} == {winner[0].fingerprint}

    async def test_an_unknown_run_is_not_there(self, log: EventLog) -> None:
        assert await log.get("r1") is None
        assert await log.read("r1", 0, 100) == b""

    # Appending

    async def test_appended_batches_follow_one_another(self, log: EventLog) -> None:
        await log.create(record("r1"), started("r1"))
        assert await log.append([batch("r1", 2, 4), batch("r1", 5, 5)]) == frozenset()
        assert await log.append([batch("r1", 6, 7)]) == frozenset()
        assert await whole(log, "r1") == started("r1") + b"".join(delta(seq) for seq in range(2, 8))
        found = await log.get("r1")
        assert found is not None
        assert (found.last_seq, found.state) == (7, "running")

    @pytest.mark.parametrize("first", [1, 2, 4, 9])
    async def test_a_batch_that_does_not_begin_where_the_log_ends_is_refused(self, log: EventLog, first: int) -> None:
        await log.create(record("r1"), started("r1"))
        await log.append([batch("r1", 2, 2)])
        assert await log.append([batch("r1", first, first + 1)]) == {"r1"}
        assert await whole(log, "r1") == started("r1") + delta(2)

    @pytest.mark.parametrize("epoch", [0, 2])
    async def test_a_batch_of_another_epoch_is_refused(self, log: EventLog, epoch: int) -> None:
        await log.create(record("r1"), started("r1"))
        assert await log.append([batch("r1", 2, 2, epoch)]) == {"r1"}
        assert await whole(log, "r1") == started("r1")

    async def test_a_batch_of_an_unknown_run_is_refused(self, log: EventLog) -> None:
        assert await log.append([batch("r9", 2, 2)]) == {"r9"}

    async def test_a_refused_batch_does_not_harm_its_neighbours(self, log: EventLog) -> None:
        for run_id in ("r1", "r2", "r3"):
            await log.create(record(run_id), started(run_id))
        refused = await log.append(
            [batch("r1", 2, 2), batch("r2", 7, 8), batch("gone", 2, 2), batch("r3", 2, 3), batch("r1", 3, 3)]
        )
        assert refused == {"r2", "gone"}
        assert await whole(log, "r1") == started("r1") + delta(2) + delta(3)
        assert await whole(log, "r2") == started("r2")
        assert await whole(log, "r3") == started("r3") + delta(2) + delta(3)

    async def test_after_a_refused_batch_the_run_can_still_be_written(self, log: EventLog) -> None:
        await log.create(record("r1"), started("r1"))
        await log.append([batch("r1", 3, 3)])
        assert await log.append([batch("r1", 2, 2)]) == frozenset()

    async def test_one_of_several_appenders_of_a_seq_wins(self, log: EventLog) -> None:
        await log.create(record("r1"), started("r1"))
        results = await asyncio.gather(*(log.append([batch("r1", 2, 2)]) for _ in range(8)))
        assert sorted(len(refused) for refused in results) == [0] + [1] * 7
        assert await whole(log, "r1") == started("r1") + delta(2)

    # Ending

    @pytest.mark.parametrize("state", ["finished", "stopped", "failed"])
    async def test_a_terminal_batch_ends_the_run(self, log: EventLog, clock: Clock, state: RunState) -> None:
        await log.create(record("r1"), started("r1"))
        clock.now += 5
        assert await log.append([batch("r1", 2, 2), ending("r1", 3, state=state)]) == frozenset()
        assert await log.get("r1") == record("r1", state=state, last_seq=3, ended=int((START + 5) * 1000))

    async def test_nothing_is_written_after_the_terminal_event(self, log: EventLog) -> None:
        await log.create(record("r1"), started("r1"))
        await log.append([ending("r1", 2)])
        assert await log.append([batch("r1", 3, 3)]) == {"r1"}
        assert await log.append([ending("r1", 3)]) == {"r1"}
        assert await log.append([ending("r1", 2)]) == {"r1"}
        assert (await whole(log, "r1")).count(b"\n") == 2

    async def test_the_last_seq_of_the_dead_producer_is_kept(self, log: EventLog) -> None:
        await log.create(record("r1"), started("r1"))
        await log.append([batch("r1", 2, 4)])
        await log.append([ending("r1", 5, state="failed", durable=4)])
        found = await log.get("r1")
        assert found is not None
        assert (found.durable_seq, found.last_seq, found.state) == (4, 5, "failed")

    # Reading

    @settings(
        max_examples=60,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    @given(
        sizes=st.lists(st.integers(0, 400), min_size=1, max_size=30),
        cuts=st.lists(st.integers(1, 30), max_size=8),
        limit=st.integers(1, 900),
        after=st.integers(0, 33),
    )
    async def test_any_batching_any_cursor_and_any_limit_give_the_same_bytes_in_whole_frames(
        self, log: EventLog, sizes: list[int], cuts: list[int], limit: int, after: int
    ) -> None:
        run_id = uuid.uuid4().hex
        await log.create(record(run_id), started(run_id))
        frames = [delta(seq, "é" * size) for seq, size in enumerate(sizes, 2)]
        edges = sorted({0, len(frames), *(cut for cut in cuts if cut < len(frames))})
        for begin, end in pairwise(edges):
            joined = b"".join(frames[begin:end])
            await log.append([batch(run_id, begin + 2, end + 1, frames=joined)])
        expected = [started(run_id), *frames]

        assert await whole(log, run_id, limit) == b"".join(expected)
        part = await log.read(run_id, after, limit)
        count = part.count(b"\n")
        assert part == b"".join(expected[after : after + count])
        assert len(part) <= limit or count == 1
        assert count >= 1 or after >= len(expected)

    async def test_a_cursor_at_or_beyond_the_end_reads_nothing(self, log: EventLog) -> None:
        await log.create(record("r1"), started("r1"))
        assert await log.read("r1", 1, 100) == b""
        assert await log.read("r1", 99, 100) == b""

    async def test_runs_do_not_mix(self, log: EventLog) -> None:
        for run_id in ("r1", "r2"):
            await log.create(record(run_id), started(run_id))
        await log.append([batch("r1", 2, 2), batch("r2", 2, 3)])
        assert await whole(log, "r1") == started("r1") + delta(2)

    # Leases

    async def test_a_lease_expires_by_the_stores_clock(self, log: EventLog, clock: Clock) -> None:
        await log.create(record("r1"), started("r1"))
        clock.now += LEASE_EXPIRE_S - 1
        assert list(await log.expired()) == []
        clock.now += 2
        assert list(await log.expired()) == [record("r1")]

    async def test_a_renewed_lease_lasts_longer(self, log: EventLog, clock: Clock) -> None:
        await log.create(record("r1"), started("r1"))
        await log.create(record("r2"), started("r2"))
        clock.now += LEASE_EXPIRE_S - 1
        assert await log.renew([("r1", 1)]) == frozenset()
        clock.now += 2
        assert list(await log.expired()) == [record("r2")]

    async def test_a_lease_of_another_epoch_or_of_no_running_run_is_not_renewed(self, log: EventLog) -> None:
        for run_id in ("r1", "r2"):
            await log.create(record(run_id), started(run_id))
        await log.append([ending("r2", 2)])
        assert await log.renew([("r1", 2), ("r2", 1), ("r3", 1)]) == {"r1", "r2", "r3"}
        assert await log.renew([("r1", 1)]) == frozenset()

    async def test_an_ended_run_never_expires(self, log: EventLog, clock: Clock) -> None:
        await log.create(record("r1"), started("r1"))
        await log.append([ending("r1", 2)])
        clock.now += 10 * LEASE_EXPIRE_S
        assert list(await log.expired()) == []
        assert list(await log.expired(everyone=True)) == []

    async def test_everyone_counts_running_runs_whose_lease_is_fresh(self, log: EventLog) -> None:
        await log.create(record("r1"), started("r1"))
        assert list(await log.expired(everyone=True)) == [record("r1")]

    async def test_one_of_several_takers_gets_the_run(self, log: EventLog, clock: Clock) -> None:
        await log.create(record("r1"), started("r1"))
        clock.now += LEASE_EXPIRE_S + 1
        epochs = await asyncio.gather(*(log.take_over("r1", 1) for _ in range(8)))
        assert sorted(epoch or 0 for epoch in epochs) == [0] * 7 + [2]
        assert list(await log.expired()) == [], "the taker has a fresh lease"

    async def test_whoever_took_over_writes_and_the_old_producer_is_refused(self, log: EventLog) -> None:
        await log.create(record("r1"), started("r1"))
        await log.append([batch("r1", 2, 2)])
        epoch = await log.take_over("r1", 1)
        assert epoch == 2
        assert await log.append([batch("r1", 3, 3, epoch=1)]) == {"r1"}
        assert await log.renew([("r1", 1)]) == {"r1"}
        assert await log.append([ending("r1", 3, epoch=2, state="failed", durable=2)]) == frozenset()

    async def test_an_ended_or_unknown_run_is_not_taken_over(self, log: EventLog) -> None:
        await log.create(record("r1"), started("r1"))
        await log.append([ending("r1", 2)])
        assert await log.take_over("r1", 1) is None
        assert await log.take_over("r9", 1) is None

    # Forgetting

    async def test_prune_forgets_events_of_runs_that_ended_before_and_keeps_the_record(
        self, log: EventLog, clock: Clock
    ) -> None:
        for run_id in ("old", "new", "running"):
            await log.create(record(run_id), started(run_id))
        await log.append([ending("old", 2)])
        clock.now += 10
        await log.append([ending("new", 2)])
        assert await log.prune(int((START + 5) * 1000)) == 1
        assert await log.read("old", 0, 1000) == b""
        assert await log.get("old") == record("old", state="finished", last_seq=2, ended=int(START * 1000), pruned=True)
        assert (await whole(log, "new")).count(b"\n") == 2
        assert (await whole(log, "running")).count(b"\n") == 1
        assert await log.prune(int((START + 5) * 1000)) == 0, "each run is pruned once"

    async def test_prune_takes_any_number_of_runs(self, log: EventLog, clock: Clock) -> None:
        for number in range(230):
            await log.create(record(f"r{number}"), started(f"r{number}"))
        await log.append([ending(f"r{number}", 2) for number in range(230)])
        assert await log.prune(int((START + 1) * 1000)) == 230

    async def test_the_events_of_named_runs_are_forgotten_and_their_records_kept(
        self, log: EventLog, clock: Clock
    ) -> None:
        for run_id in ("r1", "r2"):
            await log.create(record(run_id), started(run_id))
            await log.append([ending(run_id, 2)])
        await log.forget(["r1", "unknown"])
        assert await log.read("r1", 0, 1000) == b""
        assert await log.get("r1") == record("r1", state="finished", last_seq=2, ended=int(START * 1000), pruned=True)
        assert await log.get("unknown") is None
        assert (await whole(log, "r2")).count(b"\n") == 2
        assert await log.prune(int((START + 5) * 1000)) == 1, "what is forgotten is not pruned again"

    async def test_delete_forgets_events_and_record(self, log: EventLog) -> None:
        for run_id in ("r1", "r2"):
            await log.create(record(run_id), started(run_id))
        await log.delete(["r1", "unknown"])
        assert await log.get("r1") is None
        assert await log.read("r1", 0, 1000) == b""
        assert await log.get("r2") is not None
        assert await log.append([batch("r1", 2, 2)]) == {"r1"}
        assert (await log.create(record("r1"), started("r1")))[1], "the id is free again"
