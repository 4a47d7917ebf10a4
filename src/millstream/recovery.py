"""Closing what died: a run whose producer is gone gets its one terminal event, and keeps what was durable."""

import logging
from collections.abc import Callable, Container

import msgspec

from millstream.events import Event, RunFailed, RunFinished, encode
from millstream.follower import READ_BYTES, read_log
from millstream.logs import Batch, EventLog, RunRecord
from millstream.producer import Producer
from millstream.snapshot import Fold

logger = logging.getLogger("millstream")


async def fold_log(log: EventLog, run_id: str, producer: Producer | None = None) -> Fold:
    """The fold of all events there are now."""
    fold = Fold()
    seq = 0
    while not fold.ended and (frames := await frames_now(log, run_id, seq, producer)):
        seq += frames.count(b"\n")
        fold.add_frames(frames)
    return fold


async def frames_now(log: EventLog, run_id: str, after: int, producer: Producer | None) -> bytes:
    """The next events of those that there are now, at most `READ_BYTES`: the log's, or what the producer has.

    Nothing when there are no more.
    """
    if producer is not None and (tail := producer.read(after, READ_BYTES)) is not None:
        return tail[0]
    return await read_log(log, run_id, after, producer)


def interrupted(durable_seq: int | None = None) -> RunFailed:
    """The ending of a run whose process stopped. `durable_seq` when its last events may be lost."""
    return RunFailed(
        code="interrupted",
        message="The server stopped while it was answering; what it had written is kept.",
        retryable=True,
        durable_seq=durable_seq,
    )


async def close_dead_runs(
    log: EventLog, executing: Container[str], file: Callable[[str], None], *, everyone: bool
) -> int:
    """Closes each run whose lease has expired (with `everyone`: that is running at all) and that is not in `executing`.

    Returns how many this process closed; when several notice the same run, the lease's epoch lets one of them close it.
    """
    closed = 0
    for record in await log.expired(everyone=everyone):
        if record.run_id in executing:
            continue
        epoch = await log.take_over(record.run_id, record.epoch)
        if epoch is not None and await _close(log, record, epoch):
            closed += 1
            file(record.run_id)
    return closed


async def _close(log: EventLog, record: RunRecord, epoch: int) -> bool:
    seq, at, complete = record.last_seq, 0, False
    try:
        fold = await fold_log(log, record.run_id)
        seq, at, complete = fold.seq, fold.at, fold.words_complete
    except msgspec.DecodeError:
        logger.exception("run %s has a damaged event; it is closed as interrupted", record.run_id)
    event: Event = RunFinished() if complete else interrupted(seq)
    event.seq, event.at = seq + 1, at
    refused = await log.append(
        [
            Batch(
                run_id=record.run_id,
                epoch=epoch,
                first_seq=event.seq,
                last_seq=event.seq,
                frames=encode(event),
                state="finished" if complete else "failed",
                durable_seq=seq,
            )
        ]
    )
    return not refused
