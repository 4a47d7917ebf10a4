"""Whatever is written, flushed, read, cut and resumed in whatever order: every reader assembles the same bytes."""

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from unittest.mock import patch

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from core import MIGRATIONS, events_of, read, start, supervised
from millstream import follower, producer, recovery
from millstream.conversations.sqlite import SqliteConversations
from millstream.database import Database
from millstream.events import Event, ReasoningDelta, RunFailed, RunFinished, RunStarted, RunStopped, TextDelta, encode
from millstream.follower import Follower
from millstream.logs import Batch, RunRecord
from millstream.logs.memory import MemoryLog
from millstream.producer import Producer
from millstream.recovery import fold_log
from millstream.run import Run
from millstream.snapshot import Snapshot, fold
from strategies import EVENTS, TERMINALS, TEXTS

READERS = 3


@dataclass(frozen=True)
class Say:
    text: str
    kind: type[TextDelta] | type[ReasoningDelta]


@dataclass(frozen=True)
class Do:
    what: Literal["turn", "begin-flush", "end-flush", "snapshot"]


@dataclass(frozen=True)
class Step:
    reader: int
    what: Literal["read", "reconnect", "cut-while-reading"]


OPERATIONS = st.lists(
    st.one_of(
        st.builds(Say, TEXTS, st.sampled_from([TextDelta, TextDelta, ReasoningDelta])),
        EVENTS,
        st.builds(Do, st.sampled_from(["turn", "turn", "begin-flush", "end-flush", "snapshot"])),
        st.builds(
            Step, st.integers(0, READERS - 1), st.sampled_from(["read", "read", "reconnect", "cut-while-reading"])
        ),
    ),
    max_size=60,
)


@dataclass
class Stage:
    """One run with its producer, its log, and readers that go as they are told."""

    log: MemoryLog = field(default_factory=MemoryLog)
    written: list[Event] = field(default_factory=list)
    in_flight: list[Batch] = field(default_factory=list)
    snapshots: list[Snapshot] = field(default_factory=list)

    async def open(self) -> None:
        record = RunRecord(run_id="r", owner="o", conversation_id="c", message_id="m", fingerprint="f", created=0)
        first = RunStarted(seq=1, at=0, format=1, run_id="r", conversation_id="c", message_id="m", model="x", created=0)
        await self.log.create(record, encode(first))
        self.producer = Producer(record, encode(first), 0.0, lambda _: None)
        self.followers = [self.follow(0) for _ in range(READERS)]
        self.assembled = [b""] * READERS

    def follow(self, after: int) -> Follower:
        return Follower(self.log, "r", after, self.producer)

    async def do(self, operation: Say | Do | Step | Event) -> None:
        match operation:
            case Say(text, kind):
                (self.producer.text if kind is TextDelta else self.producer.reasoning)(text)
                self.written.append(kind(text=text))
            case Do("turn"):
                await asyncio.sleep(0)
            case Do("begin-flush"):
                if not self.in_flight:
                    batches = self.producer.unflushed()
                    assert await self.log.append(batches) == frozenset()
                    self.in_flight = batches
            case Do("end-flush"):
                for batch in self.in_flight:
                    self.producer.flushed(batch)
                self.in_flight = []
            case Do("snapshot"):
                self.snapshots.append((await fold_log(self.log, "r", self.producer)).snapshot())
            case Step(reader, "read"):
                await self.read(reader)
            case Step(reader, "cut-while-reading"):
                task = asyncio.ensure_future(self.followers[reader].read())
                await asyncio.sleep(0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                self.followers[reader] = self.follow(self.assembled[reader].count(b"\n"))
            case Step(reader, "reconnect"):
                self.followers[reader] = self.follow(self.assembled[reader].count(b"\n"))
            case Event():
                self.producer.write(msgspec.structs.replace(operation))
                self.written.append(operation)

    async def read(self, reader: int) -> bool:
        """One read; False when the reader has had the end."""
        task = asyncio.ensure_future(self.followers[reader].read())
        await asyncio.sleep(0)
        if not task.done():
            self.followers[reader].nudge()
        frames = await task
        self.assembled[reader] += frames or b""
        return frames is not None


def plain(events: Sequence[Event]) -> list[Event]:
    """The events without numbers, adjacent deltas of a kind joined: what must be the same however it was cut."""
    joined: list[Event] = []
    for event in events:
        event = msgspec.structs.replace(event, seq=-1, at=-1)
        last = joined[-1] if joined else None
        if isinstance(event, TextDelta | ReasoningDelta):
            if not event.text:
                continue
            if type(last) is type(event):
                last.text += event.text  # type: ignore[union-attr]
                continue
        joined.append(event)
    return joined


@settings(max_examples=300, deadline=None)
@given(operations=OPERATIONS, end=TERMINALS, retained=st.integers(0, 2000), limit=st.integers(1, 3000))
def test_every_reader_assembles_the_same_bytes_with_no_event_twice_and_none_missing(
    operations: list[Say | Do | Step | Event], end: Event, retained: int, limit: int
) -> None:
    async def play() -> None:
        stage = Stage()
        await stage.open()
        for operation in operations:
            await stage.do(operation)
        state = {RunFinished: "finished", RunStopped: "stopped", RunFailed: "failed"}[type(end)]
        stage.producer.end(msgspec.structs.replace(end), state)
        for what in ("snapshot", "end-flush", "snapshot", "begin-flush", "snapshot", "end-flush", "snapshot"):
            await stage.do(Do(what))
        for reader in range(READERS):
            while await stage.read(reader):
                pass

        whole = await stage.log.read("r", 0, 1 << 30)
        assert stage.assembled == [whole] * READERS
        events = events_of(whole)
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        assert [event.at for event in events] == sorted(event.at for event in events)
        assert plain(events[1:]) == plain([*stage.written, end])
        for snapshot in stage.snapshots:
            assert snapshot == fold(events[: snapshot.seq])

    with (
        patch.object(producer, "RETAINED_BYTES", retained),
        patch.object(follower, "READ_BYTES", limit),
        patch.object(recovery, "READ_BYTES", limit),
    ):
        asyncio.run(play())


@settings(max_examples=25, deadline=None)
@given(
    pieces=st.lists(st.tuples(TEXTS, st.integers(0, 3)), max_size=40),
    cuts=st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=6), min_size=1, max_size=4),
    pauses=st.lists(st.integers(0, 4), min_size=1, max_size=6),
)
def test_readers_at_any_pace_who_lose_their_connection_any_number_of_times_get_the_uninterrupted_result(
    pieces: list[tuple[str, int]], cuts: list[list[int]], pauses: list[int]
) -> None:
    async def answer(run: Run) -> None:
        for text, turns in pieces:
            run.write(text)
            for _ in range(turns):
                await asyncio.sleep(0)

    async def play(folder: Path) -> None:
        async with supervised(folder, answer) as supervisor:
            run_id = await start(supervisor)

            async def reader(number: int) -> bytes:
                assembled, ended, connection = b"", False, 0
                while not ended:
                    reads = cuts[number][connection] if connection < len(cuts[number]) else None
                    connection += 1
                    async with supervisor.follow(run_id, "local", assembled.count(b"\n")) as following:
                        while reads is None or reads > 0:
                            frames = await following.read()
                            if frames is None:
                                ended = True
                                break
                            assembled += frames
                            reads = None if reads is None else reads - 1
                            for _ in range(pauses[(number + connection) % len(pauses)]):
                                await asyncio.sleep(0)
                return assembled

            assembled = await asyncio.gather(*(reader(number) for number in range(len(cuts))))
            uninterrupted = await read(supervisor, run_id)
            assert assembled == [uninterrupted] * len(cuts)
            snapshot = await supervisor.snapshot(run_id, "local")
            assert snapshot == fold(events_of(uninterrupted))
            assert snapshot.message.content == "".join(text for text, _ in pieces)
            _, messages = await supervisor.conversation("local", snapshot.conversation_id)
            assert messages[-1].snapshot == snapshot

    with tempfile.TemporaryDirectory() as folder, patch.object(producer, "RETAINED_BYTES", 200):
        asyncio.run(play(Path(folder)))


@settings(max_examples=40, deadline=None)
@given(events=st.lists(EVENTS, max_size=20), end=TERMINALS)
def test_a_snapshot_that_was_filed_is_read_back_the_same(events: list[Event], end: Event) -> None:
    first = RunStarted(seq=1, at=0, format=1, run_id="r", conversation_id="c", message_id="m", model="x", created=0)
    numbered = [msgspec.structs.replace(event, seq=seq, at=seq) for seq, event in enumerate([*events, end], 2)]
    snapshot = fold([first, *numbered])  # type: ignore[list-item]

    async def play(folder: Path) -> None:
        from millstream.conversations import ConversationHead, StoredMessage

        database = Database(folder / "a.db", MIGRATIONS)
        store = SqliteConversations(database)
        head = ConversationHead(conversation_id="c", title="t", created=0, updated=0)
        stub = StoredMessage(message_id="m", conversation_id="c", owner="o", role="assistant", created=0, run_id="r")
        await store.begin(head, "o", [stub], listed=True)
        await store.finish(snapshot)
        found = await store.message_of_run("r")
        await database.close()
        assert found is not None
        assert found.snapshot == snapshot

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(play(Path(folder)))
