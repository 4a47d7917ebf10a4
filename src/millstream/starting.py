"""Starting a run: it is let in, its answer begins, and its start is written, once for each id."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

import msgspec

from millstream.answers.adapt import Answer
from millstream.conversations import ConversationHead, Conversations
from millstream.errors import InputError, RunExists, Unavailable
from millstream.events import RunStarted, encode
from millstream.history import History
from millstream.ids import new_id
from millstream.live import LiveRun, WhenUnread
from millstream.logs import EventLog, RunRecord
from millstream.producer import Producer
from millstream.request import RunRequest
from millstream.run import Run
from millstream.turns import Turn, resolve_turn

T = TypeVar("T")

# Whoever started a run reads it at once; one that nobody has come to read after this counts as unread.
UNCLAIMED_S = 5.0


class Registered(msgspec.Struct, frozen=True):
    """An answer, the model that `run.started` names, and what people are offered it as."""

    answer: Answer
    model: str
    label: str = ""


class Starter:
    """Puts the runs that it starts into `live`, and tells `begun` of each once its start is durable.

    `answers` may grow; "default" is used when a request names none. At most `max_running` runs are in `live` or begin.
    """

    def __init__(
        self,
        log: EventLog,
        conversations: Conversations,
        history: History,
        answers: Mapping[str, Registered],
        live: dict[str, LiveRun],
        begun: Callable[[LiveRun], None],
        *,
        when_unread: WhenUnread,
        max_running: int,
    ) -> None:
        self._log = log
        self._conversations = conversations
        self._history = history
        self._answers = answers
        self._live = live
        self._on_begun = begun
        self._when_unread = when_unread
        self._max_running = max_running
        self._tasks: set[asyncio.Task[Any]] = set()
        self._beginning: dict[str, asyncio.Event] = {}  # runs that were let in and are not yet in `live`
        self.draining = False

    async def start(
        self, request: RunRequest, owner: str, *, when_unread: WhenUnread | None = None, paced: bool = True
    ) -> tuple[str, bool]:
        """Starts the run, or finds the same one already started; returns its id and whether it is new.

        `when_unread` replaces this process's policy. `paced` is false when nobody watches the words come.
        A caller that is cancelled once the answer has begun does not take the run with it.
        Raises Conflict (the id belongs to another request or owner), Unavailable (draining), NotFound, InputError.
        """
        run_id = request.run_id or new_id()
        await self.begun(run_id)
        begun = self._beginning[run_id] = asyncio.Event()
        try:
            if request.run_id is not None:
                live = self._live.get(run_id)
                existing = live.producer.record if live is not None else await self._log.get(run_id)
                if existing is not None:
                    _same(existing, owner, request.fingerprint())
                    if existing.pruned and await self._conversations.message_of_run(run_id) is None:
                        raise RunExists(run_id)  # by a conversation that was deleted
                    self._let_in(run_id)
                    return run_id, False
            registered = self._admit(request)
            turn = await resolve_turn(request, owner, self._history)
            policy = self._when_unread if when_unread is None else when_unread
            beginning = self._begin(request, owner, run_id, registered, turn, policy, paced)
        except BaseException:
            self._let_in(run_id)
            raise
        # A caller that is cancelled from here on does not take the run with it.
        await begun.wait()
        return run_id, beginning.result()

    def _let_in(self, run_id: str) -> None:
        """The start of that run is over, however it ended."""
        self._beginning.pop(run_id).set()

    def _admit(self, request: RunRequest) -> Registered:
        """The answer that a new run asks for. Raises Unavailable, InputError."""
        if self.draining:
            raise Unavailable("The server is shutting down; try again in a moment.", code="draining", retry_after=5)
        if len(self._live) + len(self._beginning) > self._max_running:  # this one is among those that begin
            raise Unavailable("The server is busy; try again in a moment.", code="busy", retry_after=2)
        registered = self._answers.get(request.answer or "default")
        if registered is None:
            names = ", ".join(sorted(self._answers)) or "none"
            raise InputError(
                f"There is no answer named {request.answer or 'default'!r} here; there are: {names}.",
                code="unknown-answer",
            )
        return registered

    def _begin(
        self,
        request: RunRequest,
        owner: str,
        run_id: str,
        registered: Registered,
        turn: Turn,
        when_unread: WhenUnread,
        paced: bool,
    ) -> asyncio.Task[bool]:
        """Lets the answer begin and has the start written; the task tells whether it is a new run."""
        started_at = time.monotonic()
        created = int(time.time() * 1000)
        record = RunRecord(
            run_id=run_id, owner=owner, conversation_id=turn.conversation_id, message_id=turn.message_id,
            fingerprint=request.fingerprint(), created=created,
        )  # fmt: skip
        frame = encode(
            RunStarted(
                seq=1, at=0, format=1, run_id=run_id, conversation_id=turn.conversation_id, message_id=turn.message_id,
                parent_id=turn.parent_id, model=registered.model, created=created,
                follows=request.follows or None, metadata=request.metadata or None,
            )
        )  # fmt: skip
        producer = Producer(record, frame, started_at)
        run = Run(
            producer, messages=turn.messages, options=request.options, attached=turn.attached,
            continued=turn.continued, paced=paced,
        )  # fmt: skip
        live = LiveRun(producer, run, when_unread, is_first=turn.listed and len(turn.messages) == 1)
        # The answer begins while its start is being written; nobody can follow it, and nothing is flushed, before that
        # is durable.
        live.task = self._own(live.execute(registered.answer), f"run-{run_id}")
        return self._own(self._write_start(live, turn, frame), f"start-{run_id}")

    async def _write_start(self, live: LiveRun, turn: Turn, frame: bytes) -> bool:
        record = live.producer.record
        head = ConversationHead(
            conversation_id=turn.conversation_id, title=turn.title, created=record.created, updated=record.created
        )
        stored = turn.stored(record.owner, record.run_id, record.created)
        try:
            # Both are asked for before either is awaited, so that they share a transaction.
            logged = asyncio.ensure_future(self._log.create(record, frame))
            begun = asyncio.ensure_future(self._conversations.begin(head, record.owner, stored, listed=turn.listed))
            try:
                existing, new = await logged
            finally:
                await begun
            if not new:
                live.withdraw()
                _same(existing, record.owner, record.fingerprint)
                return False
            self._live[record.run_id] = live
            self._on_begun(live)
            live.unread(UNCLAIMED_S)
            return True
        except BaseException:
            live.withdraw()
            raise
        finally:
            self._let_in(record.run_id)

    async def begun(self, run_id: str) -> None:
        """Returns when no start of that run is under way here: who chose its id may ask for it before it is durable."""
        while (beginning := self._beginning.get(run_id)) is not None:
            await beginning.wait()

    async def settle(self, timeout_s: float) -> None:
        """Returns when no start is under way, or after so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                for begun in list(self._beginning.values()):
                    await begun.wait()

    async def close(self, timeout_s: float) -> None:
        """Waits so long for answers that clean up after their end."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)

    def _own(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _same(record: RunRecord, owner: str, fingerprint: str) -> None:
    if record.owner != owner or record.fingerprint != fingerprint:
        raise RunExists(record.run_id)
