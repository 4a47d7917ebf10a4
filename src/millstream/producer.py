"""The producer: numbers one run's events, keeps their tail in memory, wakes its readers, and is flushed to the log.

What arrives within one turn of the event loop is one event: deltas are gathered and numbered when the turn ends.
"""

import asyncio
import re
import time
from collections.abc import Callable
from typing import Any

from millstream.events import Event, ReasoningDelta, TextDelta, decode, encode
from millstream.logs import Batch, RunRecord, RunState

# Kept in memory beyond what is not yet in the log: everything while it fits, then what was flushed last, if that does.
# So neither a reader a moment behind nor the filing of a short answer reads the log. A follower rarely needs more than
# the last turn, and memory per open stream is what operators pay for.
RETAINED_BYTES = 1024
# A delta has at most so many characters (a longer text becomes several), so that none outgrows what a follower may
# write: JSON needs up to 6 bytes for a character.
DELTA_LIMIT = 5 * 1024
# Rows of the log are no larger than this (unless one event is), so that reading a part never loads much more than it.
BATCH_BYTES = 32 * 1024

_SURROGATES = re.compile("[\ud800-\udfff]")


class Producer:
    """Belongs to one event loop. `dirty` is called when, after a flush, there is something to flush again."""

    __slots__ = (
        "_deltas",
        "_dirty",
        "_ending",
        "_epoch",
        "_final",
        "_first",
        "_flushed",
        "_frames",
        "_is_dirty",
        "_kind",
        "_loop",
        "_next",
        "_retained",
        "_scheduled",
        "_started_at",
        "_waiters",
        "ended",
        "lost",
        "readable_seq",
        "record",
        "run_id",
        "text_length",
    )

    def __init__(
        self, record: RunRecord, started: bytes, started_at: float, dirty: Callable[["Producer"], None] | None = None
    ) -> None:
        """`started` is the frame of `run.started`; `started_at` its `time.monotonic()`.

        Without `dirty` nothing is flushed before `flush_by`.
        """
        self.record = record
        self.run_id = record.run_id
        self._epoch = record.epoch
        self._loop = asyncio.get_running_loop()
        self._dirty = dirty
        self._is_dirty = False
        self._started_at = started_at
        self._frames = [started]  # events _first … readable_seq, as readers may see them
        self._first = 1
        self.readable_seq = 1
        self._next = 2
        self._flushed = 1
        self._retained = len(started)  # bytes of flushed frames in _frames
        self._kind: type[TextDelta] | type[ReasoningDelta] = TextDelta
        self._deltas: list[str] = []
        self._scheduled = False
        self._waiters: list[asyncio.Future[None]] = []
        self._final: tuple[bytes, RunState, int | None] | None = None
        self._ending: asyncio.Future[None] = self._loop.create_future()
        self.ended = False  # the terminal event is durable, and readers see it
        self.lost = False
        self.text_length = 0

    # Writing

    @property
    def last_seq(self) -> int:
        return self._next - 1

    @property
    def closed(self) -> bool:
        """The terminal event was numbered, or another process has the run: nothing can be written any more."""
        return self._final is not None or self.lost

    def text(self, text: str) -> None:
        """Adds to the answer; `text_length` counts its code points."""
        if self._final is None and not self.lost:
            self.text_length += len(text)
            self._delta(TextDelta, text)

    def reasoning(self, text: str) -> None:
        if not self.closed:
            self._delta(ReasoningDelta, text)

    def write(self, event: Event) -> None:
        """Numbers an event after all deltas before it. Raises TypeError when it holds what JSON or its type cannot."""
        if self.closed:
            return
        self._seal()
        self._append(self._checked(event))
        self._schedule()

    def end(self, event: Event, state: RunState, durable_seq: int | None = None) -> None:
        """Numbers the terminal event. Readers see it when it is durable; the first one wins. Raises TypeError."""
        if self.closed:
            return
        self._seal()
        self._final = (self._checked(event), state, durable_seq)
        self._schedule()
        self._mark_dirty()

    def _delta(self, kind: type[TextDelta] | type[ReasoningDelta], text: str) -> None:
        if not text:
            return
        if kind is not self._kind:
            self._seal()
            self._kind = kind
        self._deltas.append(text)
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """The turn of the loop has ended: what came in it becomes visible."""
        self._scheduled = False
        self._seal()
        self._wake()

    def _seal(self) -> None:
        if self._deltas:
            text = "".join(self._deltas)
            self._deltas.clear()
            if len(text) <= DELTA_LIMIT:
                self._append(self._stamped(self._kind(text=text)))
                return
            for begin in range(0, len(text), DELTA_LIMIT):
                self._append(self._stamped(self._kind(text=text[begin : begin + DELTA_LIMIT])))

    def _stamped(self, event: Event) -> bytes:
        """The event's frame under the next seq, which is taken only when there is a frame: no gap, whatever fails."""
        event.seq = self._next
        event.at = int((time.monotonic() - self._started_at) * 1000)
        try:
            frame = encode(event)
        except UnicodeEncodeError:
            frame = encode(_without_surrogates(event))
        self._next += 1
        return frame

    def _checked(self, event: Event) -> bytes:
        """As `_stamped`, for what an application may have put into it: it must be what a reader can read."""
        try:
            frame = self._stamped(event)
        except RecursionError:
            raise TypeError(f"an event {event.__struct_config__.tag} cannot hold itself") from None
        try:
            decode(frame)
            if frame.find(b"\n") != len(frame) - 1:
                raise ValueError("it is more than one line of JSON")
        except Exception as error:
            self._next -= 1
            raise TypeError(f"an event {event.__struct_config__.tag} cannot hold this: {error}") from None
        return frame

    def _append(self, frame: bytes) -> None:
        self._frames.append(frame)
        self.readable_seq += 1
        if not self._is_dirty:
            self._mark_dirty()

    def _mark_dirty(self) -> None:
        self._is_dirty = True
        if self._dirty is not None:
            self._dirty(self)

    def _wake(self) -> None:
        if self._waiters:
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_result(None)
            self._waiters.clear()

    # Flushing

    def flush_by(self, dirty: Callable[["Producer"], None]) -> None:
        """`run.started` is in the log now: what follows it can be."""
        self._dirty = dirty
        if self._is_dirty:
            dirty(self)

    @property
    def flushed_seq(self) -> int:
        """The last seq that is in the log by this producer's own hand."""
        return self._flushed

    def unflushed(self) -> list[Batch]:
        """What the log does not have yet, in order, and the terminal event with it."""
        self._seal()
        self._is_dirty = False
        state: RunState = "running"
        durable_seq = None
        waiting = self._frames[self._flushed + 1 - self._first :]
        if self._final is not None and not self.ended:
            final, state, durable_seq = self._final
            waiting.append(final)
        batches: list[Batch] = []
        begin, count = 0, len(waiting)
        while begin < count:
            frames, end = _together(waiting, begin, BATCH_BYTES)
            batches.append(
                Batch(
                    run_id=self.run_id,
                    epoch=self._epoch,
                    first_seq=self._flushed + 1 + begin,
                    last_seq=self._flushed + end,
                    frames=frames,
                    state=state if end == count else "running",
                    durable_seq=durable_seq if end == count else None,
                )
            )
            begin = end
        return batches

    def flushed(self, batch: Batch) -> None:
        """The log has everything up to the end of `batch`."""
        if batch.state != "running" and self._final is not None:
            self._frames.append(self._final[0])
            self.readable_seq += 1
            self.ended = True
            if not self._ending.done():
                self._ending.set_result(None)
            self._wake()
        self._flushed = batch.last_seq
        self._retained += len(batch.frames)
        if self._retained > RETAINED_BYTES:
            if len(batch.frames) <= RETAINED_BYTES:
                first, self._retained = batch.first_seq, len(batch.frames)
            elif self.ended:  # every reader that kept up wants the end
                first, self._retained = batch.last_seq, len(self._frames[-1])
            else:
                first, self._retained = batch.last_seq + 1, 0
            del self._frames[: first - self._first]
            self._first = first

    def lose(self) -> None:
        """Another process has the run: readers are cut without a terminal event."""
        self.lost = True
        if not self._ending.done():
            self._ending.set_result(None)
        self._wake()

    # Reading

    def read(self, after: int, limit: int) -> tuple[bytes, int] | None:
        """Frames after seq `after` and the last one's seq: at most `limit` bytes, at least one frame if there is any.

        None when the tail does not reach back that far: the log has them.
        """
        begin = after + 1 - self._first
        if begin < 0:
            return None
        frames = self._frames
        count = len(frames)
        if begin == count - 1:  # the usual case: the reader keeps up
            return frames[begin], after + 1
        if begin >= count:
            return b"", after
        together, end = _together(frames, begin, limit)
        return together, after + end - begin

    def changed(self) -> asyncio.Future[None]:
        """A future that is done when there is more to read, the run has ended, or it was lost."""
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiters.append(waiter)
        return waiter

    def end_reached(self) -> asyncio.Future[None]:
        """A future (shared: shield it) that is done when the terminal event is durable, or the run was lost."""
        return self._ending


def _together(frames: list[bytes], begin: int, limit: int) -> tuple[bytes, int]:
    """Frames from `begin` on, at most `limit` bytes but at least one frame, and where those after them begin."""
    size, end = len(frames[begin]), begin + 1
    while end < len(frames) and (size := size + len(frames[end])) <= limit:
        end += 1
    return b"".join(frames[begin:end]), end


def _without_surrogates(event: Event) -> Event:
    """The same event with U+FFFD for each lone surrogate: half an emoji of a model, a file name that is not UTF-8."""
    for name in event.__struct_fields__:
        setattr(event, name, _replace_surrogates(getattr(event, name)))
    return event


def _replace_surrogates(value: Any) -> Any:
    match value:
        case str():
            return _SURROGATES.sub("\ufffd", value)  # one for one: citations count code points
        case dict():
            return {_replace_surrogates(key): _replace_surrogates(item) for key, item in value.items()}
        case list() | tuple():
            return [_replace_surrogates(item) for item in value]
        case _:
            return value
