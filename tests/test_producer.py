import asyncio
from collections.abc import Sequence

import pytest

from core import events_of, turn
from millstream import producer as module
from millstream.events import Data, ReasoningDelta, RunFinished, RunStarted, RunStopped, TextDelta, TextFinished, encode
from millstream.follower import READ_BYTES
from millstream.logs import Batch, RunRecord
from millstream.producer import BATCH_BYTES, RETAINED_BYTES, Producer

RECORD = RunRecord(run_id="r", owner="o", conversation_id="c", message_id="m", fingerprint="f", created=0, epoch=1)
STARTED = encode(
    RunStarted(seq=1, at=0, format=1, run_id="r", conversation_id="c", message_id="m", model="x", created=0)
)


@pytest.fixture
async def producer() -> Producer:
    return Producer(RECORD, STARTED, 0.0, lambda _: None)


def flush(producer: Producer) -> Sequence[Batch]:
    batches = producer.unflushed()
    for batch in batches:
        producer.flushed(batch)
    return batches


def seen(producer: Producer, after: int = 1) -> list[str]:
    """What a reader at the cursor sees, as words."""
    found = producer.read(after, 1 << 30)
    assert found is not None
    return [getattr(event, "text", event.__struct_config__.tag) for event in events_of(found[0])]


async def test_what_arrives_within_one_turn_of_the_loop_is_one_event(producer: Producer) -> None:
    for piece in ("one ", "two ", "three"):
        producer.text(piece)
    assert seen(producer) == []
    await turn()
    assert seen(producer) == ["one two three"]
    producer.text("four")
    await turn()
    assert seen(producer) == ["one two three", "four"]


async def test_text_and_reasoning_of_one_turn_stay_in_order(producer: Producer) -> None:
    producer.reasoning("a")
    producer.reasoning("b")
    producer.text("c")
    producer.reasoning("d")
    await turn()
    found = producer.read(1, 10_000)
    assert found is not None
    kinds = [(type(event), event.text) for event in events_of(found[0])]  # type: ignore[union-attr]
    assert kinds == [(ReasoningDelta, "ab"), (TextDelta, "c"), (ReasoningDelta, "d")]


async def test_an_event_comes_after_the_deltas_before_it(producer: Producer) -> None:
    producer.text("before")
    producer.write(Data(name="n", data=1))
    producer.text("after")
    await turn()
    assert seen(producer) == ["before", "data", "after"]


async def test_an_empty_delta_is_no_event(producer: Producer) -> None:
    producer.text("")
    producer.reasoning("")
    await turn()
    assert producer.last_seq == 1


@pytest.mark.parametrize("character", ["a", "é", "😀", "\x00", "\u2028"])
@pytest.mark.parametrize("whole", [True, False])
async def test_no_delta_outgrows_what_a_follower_may_write(producer: Producer, character: str, whole: bool) -> None:
    text = character * 50_000
    for piece in [text] if whole else [text[at : at + 700] for at in range(0, len(text), 700)]:
        producer.text(piece)
    await turn()
    assert producer.text_length == 50_000
    found = producer.read(1, 1 << 30)
    assert found is not None
    frames = found[0].splitlines(keepends=True)
    assert max(map(len, frames)) <= READ_BYTES
    assert "".join(seen(producer)) == text


async def test_at_is_milliseconds_since_the_run_began(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    producer = Producer(RECORD, STARTED, 100.0, lambda _: None)
    now = 101.2345
    producer.write(Data(name="n", data=1))
    found = producer.read(1, 1000)
    assert found is not None
    assert [(event.seq, event.at) for event in events_of(found[0])] == [(2, 1234)]


async def test_an_event_is_encoded_once_and_all_readers_share_its_bytes(producer: Producer) -> None:
    producer.text("word")
    await turn()
    one, two = producer.read(1, READ_BYTES), producer.read(1, READ_BYTES)
    assert one is not None
    assert two is not None
    assert one[0] is two[0]


async def test_readers_are_woken_once_a_turn(producer: Producer) -> None:
    waiting = [producer.changed() for _ in range(3)]
    producer.text("a")
    producer.write(Data(name="n", data=1))
    assert not any(waiter.done() for waiter in waiting)
    await turn()
    assert all(waiter.done() for waiter in waiting)
    assert not producer.changed().done()


@pytest.mark.parametrize("events", [9, 80])
async def test_a_reader_is_given_whole_frames_up_to_its_limit(producer: Producer, events: int) -> None:
    for number in range(events):
        producer.write(Data(name="n", data=number))
    size = len(encode(Data(seq=2, at=10**6, name="n", data=0)))
    for limit in (1, size, 3 * size, 1 << 20):
        found = producer.read(1, limit)
        assert found is not None
        frames, last = found
        assert frames.count(b"\n") == last - 1
        assert len(frames) <= limit or last == 2
        if last <= events:
            more = producer.read(last, 1)
            assert more is not None
            assert len(frames) + len(more[0]) > limit, "there was room for another one"
    assert producer.read(events + 1, 100) == (b"", events + 1)


async def test_a_tail_is_what_is_unflushed_plus_what_is_retained(producer: Producer) -> None:
    for number in range(200):
        producer.write(Data(name="n", data="x" * 500))
        kept, waiting = producer._frames, producer._frames[producer.flushed_seq + 1 - producer._first :]
        assert sum(map(len, kept)) - sum(map(len, waiting)) <= RETAINED_BYTES
        if number % 30 == 29:
            flush(producer)
            assert sum(map(len, producer._frames)) <= RETAINED_BYTES
        elif number % 30 < 10:
            producer.write(Data(name="n", data="small"))
            flush(producer)
    flush(producer)
    assert producer.read(producer.last_seq - 1, 10_000) is None, "the log has it"
    for number in range(3):
        producer.write(Data(name="n", data=number))
    flush(producer)
    assert producer.read(producer.last_seq - 4, 10_000) is None
    assert (producer.read(producer.last_seq - 3, 10_000) or [b""])[0].count(b"\n") == 3, "the last flush is at hand"


@pytest.mark.parametrize("events", [15, 100])
async def test_rows_of_the_log_are_bounded_and_the_last_one_ends_the_run(producer: Producer, events: int) -> None:
    for _ in range(events):
        producer.write(Data(name="n", data="x" * 3000))
    producer.end(RunFinished(), "finished")
    batches = producer.unflushed()
    assert all(len(batch.frames) <= BATCH_BYTES for batch in batches)
    assert [batch.first_seq for batch in batches] == [2, *(batch.last_seq + 1 for batch in batches[:-1])]
    assert batches[-1].last_seq == events + 2
    assert len(batches) > 1
    assert [batch.state for batch in batches] == ["running"] * (len(batches) - 1) + ["finished"]


async def test_the_terminal_event_is_seen_when_it_is_durable(producer: Producer) -> None:
    producer.text("all")
    producer.end(RunFinished(), "finished")
    await turn()
    assert seen(producer) == ["all"]
    assert not producer.ended
    (batch,) = producer.unflushed()
    assert batch.state == "finished"
    assert seen(producer) == ["all"]
    producer.flushed(batch)
    assert seen(producer) == ["all", "run.finished"]
    assert producer.ended
    assert producer.end_reached().done()


async def test_a_flush_that_began_before_the_end_does_not_show_it(producer: Producer) -> None:
    producer.text("all")
    (batch,) = producer.unflushed()
    producer.end(RunFinished(), "finished")
    producer.flushed(batch)
    assert not producer.ended
    flush(producer)
    assert producer.ended


async def test_the_first_end_wins_and_nothing_follows_it(producer: Producer) -> None:
    producer.text("kept")
    producer.end(RunStopped(seen=1), "stopped")
    producer.end(RunFinished(), "finished")
    producer.text("late")
    producer.reasoning("late")
    producer.write(TextFinished(reason="stop"))
    await turn()
    flush(producer)
    await turn()
    assert seen(producer) == ["kept", "run.stopped"]
    assert producer.text_length == 4
    assert flush(producer) == []


async def test_a_lost_run_wakes_its_readers_and_takes_no_more(producer: Producer) -> None:
    waiter = producer.changed()
    producer.lose()
    assert waiter.done()
    assert producer.end_reached().done()
    assert not producer.ended
    producer.text("late")
    producer.end(RunFinished(), "finished")
    await turn()
    assert producer.unflushed() == []


async def test_an_event_that_cannot_be_encoded_leaves_no_gap(producer: Producer) -> None:
    producer.text("one")
    endless: list[object] = []
    endless.append(endless)
    for data in (object(), endless):
        with pytest.raises(TypeError):
            producer.write(Data(name="n", data=data))
    producer.end(RunFinished(), "finished")
    flush(producer)
    assert seen(producer) == ["one", "run.finished"]
    assert producer.ended


async def test_the_flusher_is_told_once_until_it_has_flushed() -> None:
    told: list[Producer] = []
    producer = Producer(RECORD, STARTED, 0.0, told.append)
    producer.write(Data(name="n", data=1))
    producer.write(Data(name="n", data=2))
    assert told == [producer]
    flush(producer)
    producer.write(Data(name="n", data=3))
    assert told == [producer] * 2


async def test_a_delta_is_flushed_even_before_its_turn_has_ended(producer: Producer) -> None:
    producer.text("now")
    (batch,) = producer.unflushed()
    assert b"now" in batch.frames
    await asyncio.sleep(0)
    assert producer.last_seq == 2
