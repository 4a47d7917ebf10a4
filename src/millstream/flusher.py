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
        self._writing: asyncio.Future[frozenset[str]] | None = None
        self._again = False
        self._failing = False

    def dirty(self, producer: Producer) -> None:
        """Called by a producer that has something to flush; at once when that is its terminal event."""
        self._dirty[producer.run_id] = producer
        if producer.closed:
            self._start()
        elif self._timer is None and self._writing is None:
            self._timer = asyncio.get_running_loop().call_later(self._interval, self._start)

    def _start(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._writing is not None:
            self._again = True
            return
        producers, self._dirty = self._dirty, {}
        batches = [batch for producer in producers.values() for batch in producer.unflushed()]
        if batches:
            begun = asyncio.get_running_loop().time()
            self._writing = asyncio.ensure_future(self._log.append(batches))
            self._writing.add_done_callback(lambda writing: self._written(writing, producers, batches, begun))

    def _written(
        self,
        writing: asyncio.Future[frozenset[str]],
        producers: dict[str, Producer],
        batches: list[Batch],
        begun: float,
    ) -> None:
        self._writing = None
        if writing.cancelled():
            return
        again, self._again = self._again, False
        if error := writing.exception():
            # Nothing is lost yet: the tails stay in memory, and the next flush begins where the log ends.
            if not self._failing:
                self._failing = True
                logger.error(
                    "the event log cannot be written; trying again every %d ms", RETRY_INTERVAL_MS, exc_info=error
                )
            for run_id, producer in producers.items():
                self._dirty.setdefault(run_id, producer)
            due = begun + RETRY_INTERVAL_MS / 1000
            again = False
        else:
            if self._failing:
                self._failing = False
                logger.warning("the event log can be written again")
            refused = writing.result()
            for run_id in refused:
                producers[run_id].lose()
            for batch in batches:
                if batch.run_id not in refused:
                    producers[batch.run_id].flushed(batch)
            due = begun + self._interval
        if not self._dirty:
            return
        if again:
            self._start()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_at(due, self._start)
