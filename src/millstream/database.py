"""One SQLite file: a single writer thread that groups waiting jobs into one transaction, and a reader beside it."""

import asyncio
import contextlib
import os
import queue
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from millstream.errors import ConfigurationError, Unavailable

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], T]

# A transaction that groups more jobs than this would make the first of them wait for the last.
JOBS_PER_TRANSACTION = 256
# So many reads that were asked for together are told together: the first of them waits for the last.
READS_TOGETHER = 32
# 16 MB. Each flush writes the pages of the runs in progress anew: the later they go into the main file, the fewer.
CHECKPOINT_PAGES = 4000
# Pages of its own that each connection keeps, in KB: the system caches the file too, and reading one from there costs
# little beside a flush. SQLite's default of 2 MB was a tenth of the memory of 300 open streams.
CACHE_KB = 512
# Another process may hold the write lock this long (`sync` commits within 50 ms at a time).
BUSY_TIMEOUT_MS = 5000


def _yield_to_others() -> None:
    """This thread waits until the others of the process rest, rather than take the core from them when it is woken."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # a sandbox may forbid it: nothing but speed depends on it
            os.sched_setscheduler(threading.get_native_id(), os.SCHED_BATCH, os.sched_param(0))


class _Call:
    """A job and the future of the loop that waits for it."""

    __slots__ = ("future", "job", "loop", "outcome")

    def __init__(self, job: Job[Any], loop: asyncio.AbstractEventLoop) -> None:
        self.job = job
        self.loop = loop
        self.future: asyncio.Future[Any] = loop.create_future()
        self.outcome: tuple[Any, BaseException | None] = (None, None)

    def resolve(self) -> None:
        if not self.future.done():
            value, error = self.outcome
            if error is None:
                self.future.set_result(value)
            else:
                self.future.set_exception(error)


def _tell(calls: Sequence[_Call]) -> None:
    """From a thread: those who wait for these calls learn how they ended."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Call]] = {}
    for call in calls:
        by_loop.setdefault(call.loop, []).append(call)
    for loop, its_calls in by_loop.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(_resolve, its_calls)


def _resolve(calls: Sequence[_Call]) -> None:
    for call in calls:
        call.resolve()


def connect(path: Path) -> sqlite3.Connection:
    """A connection in autocommit mode that any one thread at a time may use.

    WAL with synchronous=NORMAL: what is committed survives the death of the process; a power cut may cost the
    last moments, never the consistency of the file.
    Raises ConfigurationError when the file cannot be opened or is no database.
    """
    try:
        connection = sqlite3.connect(
            path, timeout=BUSY_TIMEOUT_MS / 1000, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
    except sqlite3.Error as error:
        raise ConfigurationError(f"cannot open the database {path.name}: {error}") from error
    return connection


def check_writable(connection: sqlite3.Connection, name: str) -> None:
    """SQLite opens a file that it may not write for reading, and says so only at the first write: not at its BEGIN.

    Raises ConfigurationError, or sqlite3.OperationalError where the disk is full or another process keeps the lock.
    """
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(f"PRAGMA user_version={_schema_version(connection)}")
    except sqlite3.OperationalError as error:
        if "readonly" not in str(error):
            raise
        raise ConfigurationError(
            f"{name} cannot be written. It may belong to another user, as after a start as root: change its owner, or "
            "choose another folder with MILLSTREAM_DATA."
        ) from error
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def migrate(connection: sqlite3.Connection, name: str, migrations: Sequence[str]) -> None:
    """Creates the tables of the file called `name` or brings them up to date, all or nothing.

    `migrations[i]` is the script that takes the schema from version i to i + 1; they only ever grow.
    Raises ConfigurationError when the file was made by a newer version, or cannot be written.
    """
    version = _schema_version(connection)
    if version > len(migrations):
        raise ConfigurationError(
            f"{name} was written by a newer Millstream (schema {version}, this one knows {len(migrations)}); "
            "upgrade Millstream or use another MILLSTREAM_DATA folder"
        )
    if version == len(migrations):
        return
    check_writable(connection, name)
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Read again behind the lock: another process may have opened the same new file and migrated it meanwhile.
        for script in migrations[_schema_version(connection) :]:
            for statement in _statements(script):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version={len(migrations)}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _schema_version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def _statements(script: str) -> Iterator[str]:
    """The statements of a script, a trigger's inner ones not separated."""
    statement = ""
    for piece in script.split(";"):
        statement += piece + ";"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


class Database:
    """The file at `path`, with the schema that `migrations` make, see `migrate`.

    Raises Unavailable when another process holds the lock for too long.
    """

    def __init__(self, path: Path, migrations: Sequence[str]) -> None:
        self.path = path
        self._jobs: queue.SimpleQueue[list[_Call] | None] = queue.SimpleQueue()
        self._writes: list[_Call] = []  # asked for in this turn of the loop, as `_reads` are
        self._reads: list[_Call] = []
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="millstream-db-read")
        self._read_connection: sqlite3.Connection | None = None
        self._closed = False
        connection = self._connect()
        try:
            migrate(connection, path.name, migrations)
            check_writable(connection, path.name)
        except BaseException as error:
            connection.close()
            refusal = self._refusal(error)
            raise refusal from refusal.__cause__
        self._thread = threading.Thread(
            target=self._write_loop, args=(connection,), name="millstream-db-write", daemon=True
        )
        self._thread.start()

    def write(self, job: Job[T]) -> asyncio.Future[T]:
        """Asks for `job` to be run in a transaction that others may share; the future is done when it is committed.

        It fails with Unavailable when the database is closed, the disk is full, or another process holds the lock for
        too long. A job may be run twice (alone, after a neighbour in its transaction failed), so it must only touch
        the database.
        """
        return self._ask(job, self._writes, self._submit_writes)

    def read(self, job: Job[T]) -> asyncio.Future[T]:
        """Asks for `job` to be run on the reading connection; it sees every write that was awaited before.

        It fails with Unavailable when the database is closed.
        """
        return self._ask(job, self._reads, self._submit_reads)

    def _ask(self, job: Job[T], together: list[_Call], submit: Callable[[], None]) -> asyncio.Future[T]:
        """What is asked for in one turn of the loop is submitted together, and wakes its thread once."""
        loop = asyncio.get_running_loop()
        call = _Call(job, loop)
        if self._closed:
            call.future.set_exception(Unavailable("the database is closed"))
            return call.future
        if not together:
            loop.call_soon(submit)
        together.append(call)
        return call.future

    def _submit_writes(self) -> None:
        if self._writes:
            self._jobs.put(self._writes)
            self._writes = []

    def _submit_reads(self) -> None:
        reads, self._reads = self._reads, []
        for first in range(0, len(reads), READS_TOGETHER):
            self._reader.submit(self._read_all, reads[first : first + READS_TOGETHER])

    async def close(self) -> None:
        """Finishes what was asked for, then closes both connections."""
        if self._closed:
            return
        self._closed = True
        self._submit_writes()
        self._submit_reads()
        self._jobs.put(None)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._thread.join)
        await loop.run_in_executor(self._reader, self._close_reader)
        self._reader.shutdown()

    def _connect(self) -> sqlite3.Connection:
        connection = connect(self.path)
        connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
        connection.execute(f"PRAGMA cache_size=-{CACHE_KB}")
        connection.execute("PRAGMA foreign_keys=ON")
        return connection

    def _read_all(self, calls: list[_Call]) -> None:
        for call in calls:
            if call.future.cancelled():
                continue
            try:
                call.outcome = (call.job(self._reading()), None)
            except BaseException as error:
                call.outcome = (None, error)
        _tell(calls)
        # An error keeps its frames: kept by them, both would stay, and with them a cursor that the job had open.
        del call
        calls.clear()

    def _reading(self) -> sqlite3.Connection:
        if self._read_connection is None:
            self._read_connection = self._connect()
            self._read_connection.execute("PRAGMA query_only=ON")
        return self._read_connection

    def _close_reader(self) -> None:
        if self._read_connection is not None:
            self._read_connection.close()

    def _write_loop(self, connection: sqlite3.Connection) -> None:
        _yield_to_others()
        while True:
            calls, last = self._waiting_calls()
            if calls:
                self._run(connection, calls)
                _tell(calls)
            if last:
                connection.close()
                return

    def _waiting_calls(self) -> tuple[list[_Call], bool]:
        """All calls that wait now (at least one, unless the database closes), and whether the queue has ended."""
        calls: list[_Call] = []
        while (gathered := self._jobs.get()) is not None:
            calls += gathered
            if len(calls) >= JOBS_PER_TRANSACTION or self._jobs.empty():
                return calls, False
        return calls, True

    def _run(self, connection: sqlite3.Connection, calls: Sequence[_Call]) -> None:
        try:
            connection.execute("BEGIN IMMEDIATE")
            for call in calls:
                call.outcome = (call.job(connection), None)
            connection.execute("COMMIT")
        except BaseException as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if len(calls) == 1:
                calls[0].outcome = (None, self._refusal(error))
            else:  # one bad job must not take its neighbours with it
                for call in calls:
                    self._run(connection, [call])

    def _refusal(self, error: BaseException) -> BaseException:
        if not isinstance(error, sqlite3.OperationalError):
            return error
        refusal = Unavailable(f"{self.path.name} cannot be written: {error}.")
        refusal.__cause__ = error
        return refusal
