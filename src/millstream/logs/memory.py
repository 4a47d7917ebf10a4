"""The log in this process's memory: for tests, and for servers whose answers need not outlive them."""

import time
from collections.abc import Callable, Sequence

import msgspec

from millstream.logs import LEASE_EXPIRE_S, Batch, RunRecord, cut_frames


class _Stored:
    __slots__ = ("batches", "expires", "record")

    def __init__(self, record: RunRecord, started: bytes, expires: float) -> None:
        self.record = record
        self.batches: list[tuple[int, int, bytes]] = [(1, 1, started)]
        self.expires = expires


class MemoryLog:
    """`clock` gives seconds since the Unix epoch."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._runs: dict[str, _Stored] = {}

    async def create(self, record: RunRecord, started: bytes) -> tuple[RunRecord, bool]:
        existing = self._runs.get(record.run_id)
        if existing is not None:
            return existing.record, False
        self._runs[record.run_id] = _Stored(record, started, self._clock() + LEASE_EXPIRE_S)
        return record, True

    async def get(self, run_id: str) -> RunRecord | None:
        stored = self._runs.get(run_id)
        return stored.record if stored else None

    async def append(self, batches: Sequence[Batch]) -> frozenset[str]:
        refused = set()
        for batch in batches:
            stored = self._runs.get(batch.run_id)
            if (
                stored is None
                or stored.record.state != "running"
                or stored.record.epoch != batch.epoch
                or stored.record.last_seq + 1 != batch.first_seq
            ):
                refused.add(batch.run_id)
                continue
            stored.batches.append((batch.first_seq, batch.last_seq, batch.frames))
            stored.record = msgspec.structs.replace(
                stored.record,
                last_seq=batch.last_seq,
                state=batch.state,
                durable_seq=batch.durable_seq,
                ended=None if batch.state == "running" else int(self._clock() * 1000),
            )
        return frozenset(refused)

    async def read(self, run_id: str, after: int, limit: int) -> bytes:
        stored = self._runs.get(run_id)
        found: list[bytes] = []
        size = 0
        for first, last, frames in stored.batches if stored else ():
            if last <= after:
                continue
            piece = cut_frames(frames, max(0, after + 1 - first), limit - size)
            if found and size + len(piece) > limit:
                break
            found.append(piece)
            size += len(piece)
            if size >= limit or not frames.endswith(piece):
                break
        return b"".join(found)

    async def renew(self, leases: Sequence[tuple[str, int]]) -> frozenset[str]:
        refused = set()
        for run_id, epoch in leases:
            stored = self._runs.get(run_id)
            if stored is None or stored.record.state != "running" or stored.record.epoch != epoch:
                refused.add(run_id)
            else:
                stored.expires = self._clock() + LEASE_EXPIRE_S
        return frozenset(refused)

    async def expired(self, *, everyone: bool = False) -> Sequence[RunRecord]:
        now = self._clock()
        return [
            stored.record
            for stored in self._runs.values()
            if stored.record.state == "running" and (everyone or stored.expires < now)
        ]

    async def take_over(self, run_id: str, epoch: int) -> int | None:
        stored = self._runs.get(run_id)
        if stored is None or stored.record.state != "running" or stored.record.epoch != epoch:
            return None
        stored.record = msgspec.structs.replace(stored.record, epoch=epoch + 1)
        stored.expires = self._clock() + LEASE_EXPIRE_S
        return epoch + 1

    async def prune(self, ended_before: int) -> int:
        old = [
            run_id
            for run_id, stored in self._runs.items()
            if (ended := stored.record.ended) is not None and ended < ended_before and not stored.record.pruned
        ]
        await self.forget(old)
        return len(old)

    async def forget(self, run_ids: Sequence[str]) -> None:
        for run_id in run_ids:
            if stored := self._runs.get(run_id):
                stored.batches.clear()
                stored.record = msgspec.structs.replace(stored.record, pruned=True)

    async def delete(self, run_ids: Sequence[str]) -> None:
        for run_id in run_ids:
            self._runs.pop(run_id, None)

    async def close(self) -> None:
        self._runs.clear()
