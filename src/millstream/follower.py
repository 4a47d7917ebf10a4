"""Follow one run from a cursor: the producer's tail while the run is here and the reader is near, else the log."""

import asyncio

from millstream.logs import EventLog
from millstream.producer import Producer

# A follower writes at most this much, then awaits its transport.
READ_BYTES = 32 * 1024
# How often the log is asked about a run that another process executes.
POLL_INTERVAL_S = 0.25


class Cut(Exception):
    """The run was lost to another process: the stream ends here without a terminal event, and the client resumes."""


async def read_log(log: EventLog, run_id: str, after: int, producer: Producer | None) -> bytes:
    """Frames after seq `after` from the log, at most `READ_BYTES`.

    While `producer` writes the run, only what it has put there itself: the closing event of whoever took it over
    belongs to another history than the producer's tail.
    """
    frames = await log.read(run_id, after, READ_BYTES)
    if producer is not None and after + frames.count(b"\n") > producer.flushed_seq:
        return b"".join(frames.splitlines(keepends=True)[: max(0, producer.flushed_seq - after)])
    return frames


class Follower:
    """A cursor into one run. It buffers nothing."""

    def __init__(self, log: EventLog, run_id: str, after: int, producer: Producer | None) -> None:
        self._log = log
        self.run_id = run_id
        self._producer = producer
        self.cursor = after
        self.at_end = False  # the terminal event has been read
        self._waiting: asyncio.Future[None] | None = None
        self._nudged = False

    async def read(self) -> bytes | None:
        """The next frames, the first of which has seq `cursor` + 1 before the call; waits for them.

        b"" when nudged, None when the terminal event was read. Raises Cut.
        """
        while True:
            if self._nudged:
                self._nudged = False
                return b""
            producer = self._producer
            if producer is not None and self.cursor >= producer.readable_seq:
                if producer.ended:
                    return None
                if producer.lost:
                    raise Cut
                self._waiting = waiting = producer.changed()
                await waiting
                self._waiting = None
            elif producer is not None and (tail := producer.read(self.cursor, READ_BYTES)) is not None:
                frames, self.cursor = tail
                if producer.ended:
                    self.at_end = self.cursor == producer.last_seq
                return frames
            else:
                # First the record, then the events: a run that ends in between is read once more, never cut short.
                record = await self._log.get(self.run_id)
                frames = await read_log(self._log, self.run_id, self.cursor, producer)
                if frames:
                    self.cursor += frames.count(b"\n")
                    if record is not None and record.state != "running":
                        self.at_end = self.cursor >= record.last_seq
                    return frames
                if record is None or record.state != "running":
                    return None
                if producer is not None and producer.lost:
                    raise Cut
                self._waiting = asyncio.get_running_loop().create_future()
                await asyncio.wait([self._waiting], timeout=POLL_INTERVAL_S)
                self._waiting = None

    def nudge(self) -> None:
        """Makes the waiting `read`, or else the next one, return b"": for a heartbeat, or a client that left."""
        self._nudged = True
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
