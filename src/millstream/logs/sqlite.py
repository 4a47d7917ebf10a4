"""The log in SQLite: the embedded default. One row per run and flush, never per event."""

import sqlite3
import time
from collections.abc import Awaitable, Callable, Sequence

from millstream.database import Database
from millstream.logs import LEASE_EXPIRE_S, Batch, RunRecord, cut_frames

# Both tables are in order of arrival, so that what all runs in progress write in one flush shares pages.
SCHEMA = """
CREATE TABLE runs (
  run_id TEXT PRIMARY KEY,
  owner TEXT NOT NULL,
  conversation_id TEXT NOT NULL,
  message_id TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  created INTEGER NOT NULL,
  state TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  last_seq INTEGER NOT NULL,
  durable_seq INTEGER,
  ended INTEGER,
  pruned INTEGER NOT NULL DEFAULT 0,
  expires REAL NOT NULL
);
CREATE INDEX runs_running ON runs (expires) WHERE state = 'running';
CREATE INDEX runs_to_prune ON runs (ended) WHERE ended IS NOT NULL AND pruned = 0;
CREATE TABLE batches (
  run_id TEXT NOT NULL,
  last_seq INTEGER NOT NULL,
  first_seq INTEGER NOT NULL,
  frames BLOB NOT NULL,
  PRIMARY KEY (run_id, last_seq)
);
"""

# One index for runs in progress, whose end is NULL and which it has first, and for those to prune: each page that a
# start or an end changes is written anew.
SCHEMA_2 = """
DROP INDEX runs_running;
DROP INDEX runs_to_prune;
CREATE INDEX runs_kept ON runs (ended) WHERE pruned = 0;
"""

_COLUMNS = (
    "run_id, owner, conversation_id, message_id, fingerprint, created, state, epoch, last_seq, durable_seq, ended, "
    "pruned"
)
_GET = f"SELECT {_COLUMNS} FROM runs WHERE run_id = ?"


def _record(row: Sequence[object]) -> RunRecord:
    names = RunRecord.__struct_fields__
    values = dict(zip(names, row, strict=True))
    values["pruned"] = bool(values["pruned"])
    return RunRecord(**values)  # type: ignore[arg-type]


def _forget(connection: sqlite3.Connection, run_ids: Sequence[str]) -> None:
    for run_id in run_ids:
        connection.execute("DELETE FROM batches WHERE run_id = ?", (run_id,))
        connection.execute("UPDATE runs SET pruned = 1 WHERE run_id = ?", (run_id,))


class SqliteLog:
    """Stands on a database whose migrations hold `SCHEMA` and `SCHEMA_2`.

    `clock` gives seconds since the Unix epoch.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def create(self, record: RunRecord, started: bytes) -> Awaitable[tuple[RunRecord, bool]]:
        def job(connection: sqlite3.Connection) -> tuple[RunRecord, bool]:
            inserted = connection.execute(
                "INSERT INTO runs (run_id, owner, conversation_id, message_id, fingerprint, created, state, epoch,"
                " last_seq, expires) VALUES (?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING",
                (
                    record.run_id, record.owner, record.conversation_id, record.message_id, record.fingerprint,
                    record.created, record.state, record.epoch, record.last_seq, self._clock() + LEASE_EXPIRE_S,
                ),
            )  # fmt: skip
            if inserted.rowcount == 0:
                return _record(connection.execute(_GET, (record.run_id,)).fetchone()), False
            connection.execute("INSERT INTO batches VALUES (?, 1, 1, ?)", (record.run_id, started))
            return record, True

        return self._database.write(job)

    async def get(self, run_id: str) -> RunRecord | None:
        def job(connection: sqlite3.Connection) -> RunRecord | None:
            row = connection.execute(_GET, (run_id,)).fetchone()
            return _record(row) if row else None

        return await self._database.read(job)

    def append(self, batches: Sequence[Batch]) -> Awaitable[frozenset[str]]:
        def job(connection: sqlite3.Connection) -> frozenset[str]:
            refused = set()
            for batch in batches:
                if batch.state == "running":
                    updated = connection.execute(
                        "UPDATE runs SET last_seq = ?"
                        " WHERE run_id = ? AND epoch = ? AND last_seq = ? AND state = 'running'",
                        (batch.last_seq, batch.run_id, batch.epoch, batch.first_seq - 1),
                    )
                else:
                    updated = connection.execute(
                        "UPDATE runs SET last_seq = ?, state = ?, durable_seq = ?, ended = ?"
                        " WHERE run_id = ? AND epoch = ? AND last_seq = ? AND state = 'running'",
                        (
                            batch.last_seq, batch.state, batch.durable_seq, int(self._clock() * 1000),
                            batch.run_id, batch.epoch, batch.first_seq - 1,
                        ),
                    )  # fmt: skip
                if updated.rowcount == 0:
                    refused.add(batch.run_id)
                else:
                    connection.execute(
                        "INSERT INTO batches VALUES (?,?,?,?)",
                        (batch.run_id, batch.last_seq, batch.first_seq, batch.frames),
                    )
            return frozenset(refused)

        return self._database.write(job)

    def read(self, run_id: str, after: int, limit: int) -> Awaitable[bytes]:
        def job(connection: sqlite3.Connection) -> bytes:
            found: list[bytes] = []
            size = 0
            rows = connection.execute(
                "SELECT first_seq, frames FROM batches WHERE run_id = ? AND last_seq > ? ORDER BY last_seq",
                (run_id, after),
            )
            for first, frames in rows:
                piece = cut_frames(frames, max(0, after + 1 - first), limit - size)
                if found and size + len(piece) > limit:
                    break
                found.append(piece)
                size += len(piece)
                if size >= limit or not frames.endswith(piece):
                    break
            rows.close()
            return b"".join(found)

        return self._database.read(job)

    async def renew(self, leases: Sequence[tuple[str, int]]) -> frozenset[str]:
        def job(connection: sqlite3.Connection) -> frozenset[str]:
            expires = self._clock() + LEASE_EXPIRE_S
            refused = set()
            for run_id, epoch in leases:
                updated = connection.execute(
                    "UPDATE runs SET expires = ? WHERE run_id = ? AND epoch = ? AND state = 'running'",
                    (expires, run_id, epoch),
                )
                if updated.rowcount == 0:
                    refused.add(run_id)
            return frozenset(refused)

        return await self._database.write(job)

    async def expired(self, *, everyone: bool = False) -> Sequence[RunRecord]:
        def job(connection: sqlite3.Connection) -> list[RunRecord]:
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM runs WHERE pruned = 0 AND ended IS NULL AND (? OR expires < ?)",
                (everyone, self._clock()),
            )
            return [_record(row) for row in rows]

        return await self._database.read(job)

    async def take_over(self, run_id: str, epoch: int) -> int | None:
        def job(connection: sqlite3.Connection) -> int | None:
            updated = connection.execute(
                "UPDATE runs SET epoch = epoch + 1, expires = ? WHERE run_id = ? AND epoch = ? AND state = 'running'",
                (self._clock() + LEASE_EXPIRE_S, run_id, epoch),
            )
            return epoch + 1 if updated.rowcount else None

        return await self._database.write(job)

    async def prune(self, ended_before: int) -> int:
        def job(connection: sqlite3.Connection) -> int:
            # A few at a time, so that no transaction is long; the caller comes again.
            run_ids = [
                row[0]
                for row in connection.execute(
                    "SELECT run_id FROM runs WHERE pruned = 0 AND ended < ? LIMIT 100",
                    (ended_before,),
                )
            ]
            _forget(connection, run_ids)
            return len(run_ids)

        total = 0
        while count := await self._database.write(job):
            total += count
        return total

    async def forget(self, run_ids: Sequence[str]) -> None:
        await self._database.write(lambda connection: _forget(connection, run_ids))

    async def delete(self, run_ids: Sequence[str]) -> None:
        def job(connection: sqlite3.Connection) -> None:
            for run_id in run_ids:
                connection.execute("DELETE FROM batches WHERE run_id = ?", (run_id,))
                connection.execute("DELETE FROM runs WHERE run_id = ?", (run_id,))

        await self._database.write(job)

    async def close(self) -> None:
        """Leaves the database open: it is shared, and closed by who made it."""
