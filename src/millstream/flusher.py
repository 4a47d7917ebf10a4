"""Writes the producers' tails to the log in batches, so that the token path never waits for a disk."""

import asyncio
import logging

from millstream.logs import Batch, EventLog
from millstream.producer import Producer

logger = logging.getLogger("millstream")

# With the commit itself this stays under the promised 100 ms.
FLUSH_INTERVAL_MS = 75
# When the log refuses to write (disk full, lock held), the next tries are this far apart.
RETRY_INTERVAL_MS = 500


class Flusher:
    """One for all producers of this process: one append per interval, whatever their number."""

    def __init__(self, log: EventLog, interval_ms: float = FLUSH_INTERVAL_MS) -> None:
        self._log = log
        self._interval = interval_ms / 1000
        self._dirty: dict[str, Producer] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._again = False

    def dirty(self, producer: Producer) -> None:
        """Called by a producer that has something to flush; at once when that is its terminal event."""
        self._dirty[producer.run_id] = producer
        if producer.closed:
            self._start()
        elif self._timer is None and self._task is None:
            self._timer = asyncio.get_running_loop().call_later(self._interval, self._start)

    def _start(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._task is not None:
            self._again = True
            return
        self._task = asyncio.get_running_loop().create_task(self._flush(), name="millstream-flush")

    async def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        producers = self._dirty
        self._dirty = {}
        batches: list[Batch] = []
        for producer in producers.values():
            batches += producer.unflushed()
        try:
            refused = await self._log.append(batches) if batches else frozenset[str]()
        except Exception:
            # Nothing is lost yet: the tails stay in memory, and the next flush begins where the log ends.
            logger.exception("the event log cannot be written; trying again in %d ms", RETRY_INTERVAL_MS)
            for run_id, producer in producers.items():
                self._dirty.setdefault(run_id, producer)
            due = begun + RETRY_INTERVAL_MS / 1000
            self._again = False
        else:
            for run_id in refused:
                producers[run_id].lose()
            for batch in batches:
                if batch.run_id not in refused:
                    producers[batch.run_id].flushed(batch.last_seq)
            due = begun + self._interval
        finally:
            self._task = None
        if self._again:
            self._again = False
            if self._dirty:
                self._start()
        elif self._dirty and self._timer is None:
            self._timer = loop.call_at(due, self._start)
