"""The event log: where a run's events live, and the lease that says who may write them.

`EventLog` is one small protocol with one contract suite that every implementation runs. Events are stored as batches:
consecutive native frames of one run. Appends compare-and-set on (lease epoch, first seq).
"""

from collections.abc import Awaitable, Sequence
from typing import Literal, Protocol

import msgspec

RunState = Literal["running", "finished", "stopped", "failed"]

# The producer renews its lease every 10 s; after 30 s without, by the store's clock, whoever notices closes the run.
LEASE_RENEW_S = 10.0
LEASE_EXPIRE_S = 30.0


class RunRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What the log knows of a run besides its events.

    `fingerprint` tells whether a second start with the same id is the same request. `created` and `ended` are
    milliseconds since the Unix epoch. `durable_seq` is set when the run was closed by somebody else than its producer:
    the last seq that its producer wrote.
    """

    run_id: str
    owner: str
    conversation_id: str
    message_id: str
    fingerprint: str
    created: int
    state: RunState = "running"
    epoch: int = 1
    last_seq: int = 1
    durable_seq: int | None = None
    ended: int | None = None
    pruned: bool = False


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Consecutive frames [first_seq, last_seq] of one run. A `state` other than running ends the run."""

    run_id: str
    epoch: int
    first_seq: int
    last_seq: int
    frames: bytes
    state: RunState = "running"
    durable_seq: int | None = None


class EventLog(Protocol):
    def create(self, record: RunRecord, started: bytes) -> Awaitable[tuple[RunRecord, bool]]:
        """Stores a run with its first frame and a fresh lease (epoch 1); durable when it is awaited.

        Returns the record and True, or the existing record of that id, untouched, and False.
        """
        ...

    async def get(self, run_id: str) -> RunRecord | None: ...

    def append(self, batches: Sequence[Batch]) -> Awaitable[frozenset[str]]:
        """Appends each batch whose epoch is the run's and whose first_seq is its last_seq + 1; durable when awaited.

        Returns the run ids that were refused: their producer has lost the run. Each run's batches are given in order.
        """
        ...

    def read(self, run_id: str, after: int, limit: int) -> Awaitable[bytes]:
        """Frames from seq `after` + 1 on: whole ones, at most `limit` bytes, but at least one if there is any."""
        ...

    async def renew(self, leases: Sequence[tuple[str, int]]) -> frozenset[str]:
        """Renews the leases (run id, epoch) of running runs; returns the run ids that were refused."""
        ...

    async def expired(self, *, everyone: bool = False) -> Sequence[RunRecord]:
        """Running runs whose lease has expired by the store's clock; with `everyone`, all running runs."""
        ...

    async def take_over(self, run_id: str, epoch: int) -> int | None:
        """A new epoch with a fresh lease, if the run still runs under `epoch`; else None (somebody else was first)."""
        ...

    async def prune(self, ended_before: int) -> int:
        """Forgets the events (not the records) of runs that ended before; milliseconds since the Unix epoch.

        Returns how many runs."""
        ...

    async def forget(self, run_ids: Sequence[str]) -> None:
        """Forgets the events (not the records) of these runs, which have ended."""
        ...

    async def delete(self, run_ids: Sequence[str]) -> None:
        """Forgets events and records."""
        ...

    async def close(self) -> None: ...


def cut_frames(frames: bytes, skip: int, limit: int) -> bytes:
    """`frames` without its first `skip` frames, cut after a whole frame to `limit` bytes, but at least one frame."""
    begin = 0
    for _ in range(skip):
        begin = frames.index(b"\n", begin) + 1
    if len(frames) - begin <= limit:
        return frames[begin:] if begin else frames
    end = frames.rfind(b"\n", begin, begin + limit) + 1
    if end == 0:
        end = frames.index(b"\n", begin) + 1
    return frames[begin:end]
