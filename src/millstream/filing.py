"""Filing: the snapshots of ended runs are put into their conversations, many at a time.

Nobody waits for it: until then a conversation shows the fold of the log, which is the same. A process that dies before
it has filed does so at its next start.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from millstream.conversations import Conversations
from millstream.logs import EventLog
from millstream.producer import Producer
from millstream.recovery import fold_log
from millstream.snapshot import Snapshot

logger = logging.getLogger("millstream")

# Runs that end within this time are read and written together.
FILE_INTERVAL_S = 0.25
# So many answers are held in memory at once.
FILED_TOGETHER = 32

_Ended = tuple[str, Producer | None, Callable[[Snapshot], None] | None]


class Filer:
    """Belongs to one event loop."""

    def __init__(self, log: EventLog, conversations: Conversations) -> None:
        self._log = log
        self._conversations = conversations
        self._ended: list[_Ended] = []
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def add(
        self, run_id: str, producer: Producer | None = None, filed: Callable[[Snapshot], None] | None = None
    ) -> None:
        """The run's end is durable. A short answer is still whole in its producer's tail, and need not be read.

        `filed` is told once the answer stands in its conversation.
        """
        self._ended.append((run_id, producer, filed))
        if self._timer is None and self._task is None:
            self._timer = asyncio.get_running_loop().call_later(FILE_INTERVAL_S, self._start)

    async def flush(self) -> None:
        """Returns when everything that was added is filed."""
        while self._ended or self._task is not None:
            await asyncio.wait([self._start()])

    def _start(self) -> asyncio.Task[None]:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._file_all(), name="millstream-file")
        return self._task

    async def _file_all(self) -> None:
        try:
            while self._ended:
                together, self._ended = self._ended[:FILED_TOGETHER], self._ended[FILED_TOGETHER:]
                await self._file(together)
        finally:
            self._task = None

    async def _file(self, ended: Sequence[_Ended]) -> None:
        # All are asked for before any is awaited, so that they share a read, and then a transaction.
        snapshots = await asyncio.gather(
            *(self._snapshot(run_id, producer) for run_id, producer, _ in ended), return_exceptions=True
        )
        writing: list[tuple[Snapshot, Awaitable[None], Callable[[Snapshot], None] | None]] = []
        for (run_id, _, filed), snapshot in zip(ended, snapshots, strict=True):
            try:
                if isinstance(snapshot, BaseException):
                    raise snapshot
                if snapshot is not None:
                    writing.append((snapshot, self._conversations.finish(snapshot), filed))
            except Exception as error:
                _not_filed(run_id, error)
        for snapshot, written, filed in writing:
            try:
                await written
                if filed is not None:
                    filed(snapshot)
            except Exception as error:
                _not_filed(snapshot.run_id, error)

    async def _snapshot(self, run_id: str, producer: Producer | None) -> Snapshot | None:
        """None when the run was deleted meanwhile."""
        fold = await fold_log(self._log, run_id, producer)
        return fold.snapshot() if fold.seq else None


def _not_filed(run_id: str, error: Exception) -> None:
    # The events are durable: the next start files it.
    logger.error("the answer of run %s could not be filed in its conversation", run_id, exc_info=error)
