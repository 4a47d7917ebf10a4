"""The supervisor: has runs started, stops them, lets readers follow, and closes what died."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from millstream.conversations import ConversationHead, Conversations, StoredMessage
from millstream.errors import CursorAhead, Gone, Unavailable
from millstream.events import AnyEvent, decode_all
from millstream.filing import Filer
from millstream.flusher import Flusher
from millstream.follower import Follower
from millstream.history import History
from millstream.housekeeping import Housekeeping
from millstream.live import LiveRun, WhenUnread
from millstream.logs import LEASE_RENEW_S, EventLog, RunRecord
from millstream.recovery import close_dead_runs, fold_log, frames_now, interrupted
from millstream.request import RunRequest
from millstream.snapshot import Snapshot, events_of
from millstream.starting import Registered, Starter
from millstream.turns import no_run

logger = logging.getLogger("millstream")

REAP_INTERVAL_S = 10.0
PRUNE_INTERVAL_S = 600.0
# Who stops a run waits so long for its end to be written.
ENDING_S = 10.0
# A cancelled answer may clean up this long before it is left behind.
CLEANUP_S = 5.0


class _Following:
    """See `Supervisor.follow`: as a class it keeps less, for as long as a stream is open, than a generator would."""

    __slots__ = ("_after", "_live", "_owner", "_run_id", "_supervisor")

    def __init__(self, supervisor: "Supervisor", run_id: str, owner: str, after: int) -> None:
        self._supervisor = supervisor
        self._run_id = run_id
        self._owner = owner
        self._after = after

    async def __aenter__(self) -> Follower:
        self._live = live = await self._supervisor.check(self._run_id, self._owner, self._after)
        if live is not None:
            live.attach()
        producer = live.producer if live is not None else None
        return Follower(self._supervisor.log, self._run_id, self._after, producer)

    async def __aexit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.detach()


class Supervisor:
    """All runs of one process. `answers` may grow; "default" is used when a request names none."""

    def __init__(
        self,
        log: EventLog,
        conversations: Conversations,
        answers: Mapping[str, Registered],
        *,
        when_unread: WhenUnread = "finish",
        events_kept_s: float = 24 * 3600,
        deleted_kept_s: float = 24 * 3600,
        unlisted_kept_s: float = 30 * 24 * 3600,
        max_running: int = 10_000,
        answered: Callable[[Snapshot], None] | None = None,
    ) -> None:
        """`answered` is told of each first answer of a listed conversation that this process has made, once it stands
        there.
        """
        self.log = log
        self.conversations = conversations
        self._events_kept_s = events_kept_s
        self._deleted_kept_s = deleted_kept_s
        self._unlisted_kept_s = unlisted_kept_s
        self._answered = answered
        self._flusher = Flusher(log)
        self._filer = Filer(log, conversations)
        self._history = History(conversations, self.snapshot)
        self._live: dict[str, LiveRun] = {}
        self._starter = Starter(
            log, conversations, self._history, answers, self._live, self._on_begun,
            when_unread=when_unread, max_running=max_running,
        )  # fmt: skip
        self._housekeeping = Housekeeping()

    # Life of the process

    async def open(self, *, alone: bool) -> None:
        """Closes the runs of dead producers, begins housekeeping. `alone`: no other process can be executing a run."""
        await self.reap(everyone=alone)
        await self._finish_conversations()
        self._housekeeping.every(LEASE_RENEW_S, self._renew, "renew")
        self._housekeeping.every(REAP_INTERVAL_S, self.reap, "reap")
        self._housekeeping.every(PRUNE_INTERVAL_S, self.prune, "prune")

    async def close(self, drain_s: float = 0.0) -> None:
        """No new runs; running ones get `drain_s` seconds, the rest end as `run.failed code=interrupted`."""
        self.drain()
        await self._starter.settle(CLEANUP_S)
        lives = list(self._live.values())
        ends = [live.producer.end_reached() for live in lives]
        if lives and drain_s > 0:
            await asyncio.wait(ends, timeout=drain_s)
        for live in lives:
            live.abort(interrupted(), "failed")
        if lives:
            await asyncio.wait(ends, timeout=CLEANUP_S)
        await self._starter.close(CLEANUP_S)
        await self._filer.flush()
        await self._housekeeping.close()

    def drain(self) -> None:
        """From now on new runs are refused with 503."""
        self._starter.draining = True

    @property
    def running(self) -> int:
        """How many runs this process executes."""
        return len(self._live)

    # Starting

    async def start(
        self, request: RunRequest, owner: str, *, when_unread: WhenUnread | None = None, paced: bool = True
    ) -> tuple[str, bool]:
        """See `Starter.start`."""
        return await self._starter.start(request, owner, when_unread=when_unread, paced=paced)

    def _on_begun(self, live: LiveRun) -> None:
        live.producer.end_reached().add_done_callback(lambda _: self._conclude(live))
        live.producer.flush_by(self._flusher.dirty)

    def _conclude(self, live: LiveRun) -> None:
        """The run's end is durable, or another process has the run. The answer may still be cleaning up."""
        live.rest()
        run_id = live.producer.run_id
        self._live.pop(run_id, None)
        if live.producer.lost:
            logger.warning("run %s was taken over by another process", run_id)
            live.cancel()
        else:
            self._filer.add(run_id, live.producer, self._tell if live.is_first else None)

    async def settle(self) -> None:
        """Returns when every answer that has ended here stands in its conversation."""
        await self._filer.flush()

    def _tell(self, snapshot: Snapshot) -> None:
        if self._answered is not None and not self._starter.draining:
            self._answered(snapshot)

    # Following and stopping

    def follow(self, run_id: str, owner: str, after: int = 0) -> AbstractAsyncContextManager[Follower]:
        """A reader of the run from a cursor. Entering raises NotFound, CursorAhead, Gone; leaving only detaches."""
        return _Following(self, run_id, owner, after)

    async def check(self, run_id: str, owner: str, after: int) -> LiveRun | None:
        """Raises NotFound, CursorAhead, Gone when the run cannot be followed from there; returns it if it is here."""
        await self._starter.begun(run_id)
        live = self._live.get(run_id)
        if live is not None:
            if live.producer.record.owner != owner:
                raise no_run(run_id)
            if after > live.producer.last_seq:
                raise _ahead(after)
            return live
        record = await self._record(run_id, owner)
        if record.pruned:
            if await self.conversations.message_of_run(run_id) is None:
                raise no_run(run_id)
            raise Gone("The events of this run are no longer kept; its snapshot is.")
        if after > (record.durable_seq if record.durable_seq is not None else record.last_seq):
            raise _ahead(after)
        return None

    async def at_end(self, run_id: str, owner: str, after: int) -> bool:
        """Whether a reader with this cursor has already had the terminal event."""
        live = self._live.get(run_id)
        if live is not None and live.producer.record.owner == owner:
            return live.producer.ended and after == live.producer.last_seq
        record = await self._record(run_id, owner)
        return record.state != "running" and after == record.last_seq and record.durable_seq is None

    async def stop(self, run_id: str, owner: str, seen: int | None = None) -> Snapshot:
        """Stops the run (the first Stop wins) and returns the snapshot of its end.

        Raises NotFound, and Unavailable when the log does not take the end in time.
        """
        await self._starter.begun(run_id)
        live = self._live.get(run_id)
        if live is not None:
            if live.producer.record.owner != owner:
                raise no_run(run_id)
            live.stop(seen)
            try:
                async with asyncio.timeout(ENDING_S):
                    await asyncio.shield(live.producer.end_reached())
            except TimeoutError:
                raise Unavailable(
                    "The answer has stopped, but that cannot be written yet; ask again in a moment.", retry_after=5
                ) from None
        return await self.snapshot(run_id, owner)

    async def snapshot(self, run_id: str, owner: str) -> Snapshot:
        """The fold of the run's events at this instant. Raises NotFound."""
        await self._starter.begun(run_id)
        live = self._live.get(run_id)
        if live is not None and not live.producer.ended:
            if live.producer.record.owner != owner:
                raise no_run(run_id)
            return (await fold_log(self.log, run_id, live.producer)).snapshot()
        record = await self.log.get(run_id)
        if record is None or record.pruned:  # a log in memory forgets runs with its process
            message = await self.conversations.message_of_run(run_id)
            if message is None or message.snapshot is None or message.owner != owner:
                raise no_run(run_id)
            return message.snapshot
        if record.owner != owner:
            raise no_run(run_id)
        return (await fold_log(self.log, run_id)).snapshot()

    async def events(self, run_id: str, owner: str) -> AsyncIterator[AnyEvent]:
        """The events that there are at this instant, or the snapshot's where they are no longer kept. Raises NotFound.

        Who reads them so is no reader: a run that nobody follows is not kept from being stopped.
        """
        await self._starter.begun(run_id)
        live = self._live.get(run_id)
        record = live.producer.record if live is not None else await self.log.get(run_id)
        if record is None or record.pruned:  # a log in memory forgets runs with its process
            for event in events_of(await self.snapshot(run_id, owner)):
                yield event
            return
        if record.owner != owner:
            raise no_run(run_id)
        producer = live.producer if live is not None else None
        seq = 0
        while frames := await frames_now(self.log, run_id, seq, producer):
            seq += frames.count(b"\n")
            for known in decode_all(frames):
                if known is not None:
                    yield known

    async def delete_answer(self, owner: str, run_id: str) -> None:
        """Stops the run and forgets it, and what it was asked. Raises NotFound."""
        live = self._live.get(run_id)
        if live is not None and live.producer.record.owner == owner:
            live.stop(None)
            await asyncio.wait([live.producer.end_reached()], timeout=CLEANUP_S)
        await self._filer.flush()
        if not await self.conversations.forget(owner, run_id):
            raise no_run(run_id)
        await self.log.delete([run_id])

    async def _record(self, run_id: str, owner: str | None = None) -> RunRecord:
        live = self._live.get(run_id)
        record = live.producer.record if live is not None else await self.log.get(run_id)
        if owner is not None and (record is None or record.owner != owner):
            raise no_run(run_id)
        return record  # type: ignore[return-value]

    # Conversations

    async def conversation(self, owner: str, conversation_id: str) -> tuple[ConversationHead, Sequence[StoredMessage]]:
        """The conversation with all its messages; stubs hold the fold of their log. Raises NotFound."""
        return await self._history.conversation(owner, conversation_id)

    async def answer_message(self, owner: str, run_id: str) -> StoredMessage:
        """The message of a run, its snapshot filled in. Raises NotFound."""
        return await self._history.answer_message(owner, run_id)

    async def delete_conversation(self, owner: str, conversation_id: str) -> None:
        """Stops its runs, forgets their events, and hides it until it is restored or purged. Raises NotFound."""
        _, messages = await self._history.stored(owner, conversation_id)
        for message in messages:
            live = self._live.get(message.run_id or "")
            if live is not None:
                live.stop(None)
                await asyncio.wait([live.producer.end_reached()], timeout=CLEANUP_S)
        await self._filer.flush()
        _, messages = await self._history.stored(owner, conversation_id)
        await self.conversations.delete(owner, conversation_id, int(time.time() * 1000))
        # What is not filed yet has its answer in the log alone. The ids stay taken: the conversation may be restored.
        await self.log.forget([each.run_id for each in messages if each.run_id and each.snapshot is not None])
        if self._deleted_kept_s == 0:
            await self._purge()

    # Housekeeping

    async def reap(self, *, everyone: bool = False) -> int:
        """Closes runs whose producer is dead, each exactly once; returns how many this process closed."""
        return await close_dead_runs(self.log, self._live.keys(), self._filer.add, everyone=everyone)

    async def _finish_conversations(self) -> None:
        """Files answers whose run ended but whose process died before it could."""
        for message in await self.conversations.unfinished():
            record = await self.log.get(message.run_id or "")
            if record is not None and record.state != "running" and not record.pruned:
                self._filer.add(record.run_id)
        await self._filer.flush()

    async def prune(self) -> None:
        """Forgets events and conversations that have passed their retention; what events told is filed by then."""
        await self._filer.flush()
        await self.log.prune(int((time.time() - self._events_kept_s) * 1000))
        await self._purge()

    async def _purge(self) -> None:
        now = time.time()
        run_ids = await self.conversations.purge(
            int((now - self._deleted_kept_s) * 1000), int((now - self._unlisted_kept_s) * 1000)
        )
        await self.log.delete(run_ids)

    async def _renew(self) -> None:
        leases = [(run_id, live.producer.record.epoch) for run_id, live in self._live.items()]
        if not leases:
            return
        for run_id in await self.log.renew(leases):
            live = self._live.get(run_id)
            if live is not None and not live.producer.closed:
                live.producer.lose()


def _ahead(after: int) -> CursorAhead:
    return CursorAhead(f"The cursor {after} is ahead of what this run's log holds; start again from its snapshot.")
