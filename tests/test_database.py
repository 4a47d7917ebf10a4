import asyncio
import contextlib
import gc
import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from millstream import database
from millstream.database import READS_TOGETHER, Database, connect
from millstream.errors import ConfigurationError, Unavailable

NOTES = "CREATE TABLE notes (text TEXT NOT NULL UNIQUE);"


def add(text: str | None):
    def job(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO notes VALUES (?)", (text,))

    return job


def notes(connection: sqlite3.Connection) -> list[str]:
    return [row[0] for row in connection.execute("SELECT text FROM notes ORDER BY rowid")]


class Held:
    """A job that ends when it may."""

    def __init__(self) -> None:
        self.begun, self.may_end = threading.Event(), threading.Event()

    def __call__(self, connection: sqlite3.Connection) -> None:
        self.begun.set()
        assert self.may_end.wait(10)


async def test_an_awaited_write_is_read_back(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.db", (NOTES,))
    await database.write(add("one"))
    assert await database.read(notes) == ["one"]
    await database.close()


async def test_writes_that_wait_together_share_a_transaction(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.db", (NOTES,))
    held = Held()
    versions: list[int] = []

    def version(connection: sqlite3.Connection) -> None:
        versions.append(connection.total_changes)
        assert connection.in_transaction

    first = database.write(held)
    await asyncio.to_thread(held.begun.wait, 10)
    others = [database.write(add(str(number))) for number in range(5)]
    others.append(database.write(version))
    await asyncio.sleep(0)
    assert await database.read(notes) == [], "nothing is committed while the first job runs"
    held.may_end.set()
    await asyncio.gather(first, *others)
    assert await database.read(notes) == ["0", "1", "2", "3", "4"]
    await database.close()


async def test_one_bad_job_does_not_take_its_neighbours_with_it(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.db", (NOTES,))
    jobs = [add("one"), add(None), add("two"), add("one"), add("three")]
    results = await asyncio.gather(*(database.write(job) for job in jobs), return_exceptions=True)
    assert [isinstance(result, sqlite3.IntegrityError) for result in results] == [False, True, False, True, False]
    assert await database.read(notes) == ["one", "two", "three"]
    await database.close()


async def test_a_job_that_fails_midway_leaves_nothing(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.db", (NOTES,))

    def halfway(connection: sqlite3.Connection) -> None:
        add("half")(connection)
        raise ValueError("half")

    with pytest.raises(ValueError, match="half"):
        await database.write(halfway)
    assert await database.read(notes) == []
    await database.close()


async def test_a_reader_cannot_write(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.db", (NOTES,))
    with pytest.raises(sqlite3.OperationalError):
        await database.read(add("no"))
    await database.close()


async def test_who_writes_keeps_nobody_from_reading(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.db", (NOTES,))
    await database.write(add("one"))
    assert await database.read(notes) == ["one"]
    with contextlib.closing(connect(tmp_path / "a.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        add("two")(other)
        assert await database.read(notes) == ["one"]
        other.execute("ROLLBACK")
    await database.close()


async def test_reads_that_are_asked_for_together_are_told_together(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.db", (NOTES,))
    await database.write(add("one"))
    asked = [database.read(notes) for _ in range(READS_TOGETHER + 1)]
    await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
    assert all(each.done() for each in asked[:-1])
    assert await asyncio.gather(*asked) == [["one"]] * len(asked)
    await database.close()


async def test_one_bad_read_does_not_take_its_neighbours_with_it(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.db", (NOTES,))
    await database.write(add("one"))
    given_up = database.read(notes)
    asked = [database.read(job) for job in (notes, add("no"), notes)]
    given_up.cancel()
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert [results[0], type(results[1]), results[2]] == [["one"], sqlite3.OperationalError, ["one"]]
    await database.close()


async def test_a_read_that_failed_halfway_does_not_hold_later_ones_to_its_moment(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.db", (NOTES,))
    for text in ("one", "two"):
        await database.write(add(text))

    def halfway(connection: sqlite3.Connection) -> None:
        rows = connection.execute("SELECT text FROM notes")
        rows.fetchone()
        raise ValueError("a damaged row")

    gc.disable()
    try:
        with contextlib.suppress(ValueError):
            await database.read(halfway)
        await database.write(add("three"))
        assert await database.read(notes) == ["one", "two", "three"]
    finally:
        gc.enable()
    await database.close()


async def test_a_read_whose_caller_gave_up_is_not_made(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.db", (NOTES,))
    held = Held()
    made: list[str] = []
    first = database.read(held)
    await asyncio.to_thread(held.begun.wait, 10)
    given_up = database.read(lambda _: made.append("given up"))
    last = database.read(lambda _: made.append("last"))
    given_up.cancel()
    held.may_end.set()
    await asyncio.gather(first, last)
    assert made == ["last"]
    await database.close()


async def test_a_caller_that_gave_up_does_not_undo_its_write(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.db", (NOTES,))
    caller = database.write(add("one"))
    await asyncio.sleep(0)
    caller.cancel()
    await database.write(add("two"))
    assert await database.read(notes) == ["one", "two"]
    await database.close()


async def test_closing_finishes_what_was_asked_for_and_refuses_new_ones(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.db", (NOTES,))
    writes = [database.write(add(str(number))) for number in range(300)]
    await asyncio.sleep(0)
    read = database.read(notes)
    await database.close()
    await asyncio.gather(*writes)
    assert len(await read) <= 300
    with pytest.raises(Unavailable):
        await database.write(add("late"))
    with pytest.raises(Unavailable):
        await database.read(notes)
    await database.close()
    assert len(notes(sqlite3.connect(tmp_path / "a.db"))) == 300


async def test_migrations_take_an_older_file_to_the_newest_schema(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.db", (NOTES,))
    await database.write(add("kept"))
    await database.close()
    database = Database(tmp_path / "a.db", (NOTES, "ALTER TABLE notes ADD COLUMN mood TEXT DEFAULT 'fine';"))
    assert await database.read(lambda connection: connection.execute("SELECT * FROM notes").fetchall()) == [
        ("kept", "fine")
    ]
    await database.close()


async def test_a_file_of_a_newer_version_is_refused_with_a_way_on(tmp_path: Path) -> None:
    await Database(tmp_path / "a.db", (NOTES, "CREATE TABLE more (x);")).close()
    with pytest.raises(ConfigurationError, match=r"newer Millstream.*MILLSTREAM_DATA"):
        Database(tmp_path / "a.db", (NOTES,))


async def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    await Database(tmp_path / "a.db", (NOTES,)).close()
    with pytest.raises(Unavailable, match="notes already exists"):
        Database(tmp_path / "a.db", (NOTES, "CREATE TABLE more (x); CREATE TABLE notes (x);"))
    database = Database(tmp_path / "a.db", (NOTES, "CREATE TABLE more (x);"))
    await database.close()


def test_a_file_that_is_no_database_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_text("This is a letter, not a database." * 100)
    with pytest.raises(ConfigurationError, match=r"a\.db"):
        Database(tmp_path / "a.db", (NOTES,))


OPEN = """
import asyncio, sys
from pathlib import Path
from millstream import database
from millstream.database import Database, connect
sys.stdin.readline()
asyncio.run(Database(Path(sys.argv[1]), tuple(sys.argv[2:])).close())
"""


@pytest.mark.parametrize("migrations", [(NOTES,), (NOTES, "CREATE TABLE more (x);")], ids=["up to date", "older"])
async def test_a_file_that_cannot_be_written_is_refused_with_a_way_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, migrations: tuple[str, ...]
) -> None:
    def read_only(path: Path) -> sqlite3.Connection:  # root may write whatever its permissions are
        return sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)

    await Database(tmp_path / "a.db", (NOTES,)).close()
    monkeypatch.setattr(database, "connect", read_only)
    with pytest.raises(ConfigurationError, match=r"a\.db cannot be written.*MILLSTREAM_DATA"):
        Database(tmp_path / "a.db", migrations)


async def test_a_file_that_another_process_keeps_locked_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await Database(tmp_path / "a.db", (NOTES,)).close()
    monkeypatch.setattr(database, "BUSY_TIMEOUT_MS", 10)
    with contextlib.closing(connect(tmp_path / "a.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match=r"a\.db cannot be written: database is locked"):
            Database(tmp_path / "a.db", (NOTES, "CREATE TABLE more (x);"))


def test_processes_that_open_a_new_file_at_once_migrate_it_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OPEN, str(tmp_path / "a.db"), *(f"CREATE TABLE t{n} (x);" for n in range(40))]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(3)]
    ended = []
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
    for process in processes:
        ended.append((process.communicate(timeout=60)[1].decode(), process.returncode))
    assert ended == [("", 0)] * 3


async def test_what_is_committed_survives_the_death_of_the_process(tmp_path: Path) -> None:
    await Database(tmp_path / "a.db", (NOTES,)).close()
    code = (
        "import asyncio, os, sys; from pathlib import Path; from millstream.database import Database\n"
        "async def main():\n"
        "    database = Database(Path(sys.argv[1]), (sys.argv[2],))\n"
        "    await database.write(lambda c: c.execute(\"INSERT INTO notes VALUES ('committed')\"))\n"
        "    os.kill(os.getpid(), 9)\n"
        "asyncio.run(main())"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.db"), NOTES], check=False, timeout=60)  # noqa: ASYNC221
    database = Database(tmp_path / "a.db", (NOTES,))
    assert await database.read(notes) == ["committed"]
    await database.close()


@pytest.mark.skipif(sys.platform != "linux", reason="the scheduler's policies are Linux's")
async def test_the_writer_never_takes_the_core_from_the_loop(tmp_path: Path) -> None:
    def policy(_: object = None) -> int:
        return os.sched_getscheduler(threading.get_native_id())

    database = Database(tmp_path / "a.db", (NOTES,))
    assert (await database.write(policy), policy()) == (os.SCHED_BATCH, os.SCHED_OTHER)
    await database.close()
