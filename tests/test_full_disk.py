import errno
import os
import sqlite3
from pathlib import Path

import pytest

from millstream.database import Database
from millstream.errors import ConfigurationError, Unavailable
from millstream.folder import DataFolder


async def test_a_write_that_finds_the_disk_full_says_not_now_and_the_next_one_works(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.db", ("CREATE TABLE notes (text);",))

    def too_much(connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA max_page_count = 1")  # SQLite then answers as on a full disk
        try:
            connection.execute("INSERT INTO notes VALUES (?)", ("x" * 100_000,))
        finally:
            connection.execute("PRAGMA max_page_count = 1000000")

    with pytest.raises(Unavailable, match="disk is full") as raised:
        await database.write(too_much)
    assert raised.value.status == 503
    await database.write(lambda connection: connection.execute("INSERT INTO notes VALUES ('x')").rowcount)
    assert await database.read(lambda connection: connection.execute("SELECT text FROM notes").fetchall()) == [("x",)]
    await database.close()


def test_a_full_disk_is_refused_in_one_line_and_leaves_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr("millstream.folder.os.pwrite", full)
        with pytest.raises(ConfigurationError, match="cannot be written: No space left on device"):
            DataFolder(tmp_path).lock()
    again = DataFolder(tmp_path)
    again.lock()
    again.unlock()
