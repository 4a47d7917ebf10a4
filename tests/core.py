"""What the core's tests stand on: a supervisor over real stores, an answer that obeys the test, and virtual time."""

import asyncio
import selectors
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from millstream.answers.adapt import AnyAnswer, as_answer
from millstream.conversations.sqlite import SqliteConversations
from millstream.database import Database
from millstream.events import AnyEvent, decode
from millstream.follower import Follower
from millstream.logs import EventLog
from millstream.logs import sqlite as logs_sqlite
from millstream.request import RunRequest
from millstream.run import Run
from millstream.server.app import MIGRATIONS
from millstream.starting import Registered
from millstream.supervisor import Supervisor

T = TypeVar("T")

OWNER = "local"


class Obedient:
    """An answer that does nothing by itself: the test takes its `run`, writes to it, and lets it end."""

    def __init__(self) -> None:
        self.begun: asyncio.Future[Run] = asyncio.get_running_loop().create_future()
        self.may_end = asyncio.Event()
        self.cancelled = asyncio.Event()
        self._error: Exception | None = None

    def fail(self, error: Exception) -> None:
        """Lets the answer end by raising `error`."""
        self._error = error
        self.may_end.set()

    async def answer(self, run: Run) -> None:
        self.begun.set_result(run)
        try:
            await self.may_end.wait()
            if self._error is not None:
                raise self._error
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


@asynccontextmanager
async def supervised(
    folder: Path, answers: AnyAnswer | Mapping[str, AnyAnswer], *, log: EventLog | None = None, **options: Any
) -> AsyncIterator[Supervisor]:
    """An open supervisor of the embedded default, or over `log`."""
    named = answers if isinstance(answers, Mapping) else {"default": answers}
    registered = {name: Registered(as_answer(answer), "test-model") for name, answer in named.items()}
    database = Database(folder / "millstream.db", MIGRATIONS)
    conversations = SqliteConversations(database)
    supervisor = Supervisor(log or logs_sqlite.SqliteLog(database), conversations, registered, **options)
    await supervisor.open(alone=True)
    try:
        yield supervisor
    finally:
        await supervisor.close()
        await database.close()


async def start(supervisor: Supervisor, question: str = "Why?", owner: str = OWNER, **fields: Any) -> str:
    run_id, _ = await supervisor.start(RunRequest(question=question, **fields), owner)
    return run_id


async def read(supervisor: Supervisor, run_id: str, after: int = 0, owner: str = OWNER) -> bytes:
    """Everything that a reader is sent from the cursor to the end of the run."""
    pieces = []
    async with supervisor.follow(run_id, owner, after) as follower:
        while (frames := await follower.read()) is not None:
            pieces.append(frames)
    return b"".join(pieces)


async def read_until(follower: Follower, kind: str) -> bytes:
    """What the reader is sent up to an event of that type."""
    frames = b""
    while kind not in types_of(frames):
        more = await follower.read()
        assert more is not None, f"the run ended without {kind}"
        frames += more
    return frames


def events_of(frames: bytes) -> list[AnyEvent]:
    events = [decode(frame) for frame in frames.splitlines()]
    assert None not in events
    return events  # type: ignore[return-value]


def types_of(frames: bytes) -> list[str]:
    return [event.__struct_config__.tag for event in events_of(frames)]


async def turn() -> None:
    """Lets the event loop take one turn, so that what was written before and what comes after are two events."""
    await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    """Returns when the condition holds that no event tells of. Raises TimeoutError after 10 s."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


class _JumpingSelector(selectors.DefaultSelector):
    """Where the loop would wait for a timer, the clock jumps to it, once no thread has anything to say."""

    QUIET_S = 0.003

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        ready = super().select(self.QUIET_S)
        if not ready:
            self.now += timeout
        return ready


class _VirtualTimeLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def in_virtual_time(work: Coroutine[Any, Any, T]) -> T:
    """Runs `work` on a loop whose waits take no time; `asyncio.get_running_loop().time()` tells the virtual seconds."""
    with asyncio.Runner(loop_factory=_VirtualTimeLoop) as runner:
        return runner.run(work)
