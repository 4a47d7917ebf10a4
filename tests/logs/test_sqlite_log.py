import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from log_contract import Clock, EventLogContract, batch, record, started, whole

from millstream.database import Database
from millstream.logs.sqlite import SCHEMA, SCHEMA_2, SqliteLog


class TestSqliteLog(EventLogContract):
    @pytest.fixture
    async def log(self, clock: Clock, tmp_path: Path) -> AsyncIterator[SqliteLog]:
        database = Database(tmp_path / "log.db", (SCHEMA, SCHEMA_2))
        yield SqliteLog(database, clock)
        await database.close()


async def test_the_log_outlives_its_process(tmp_path: Path) -> None:
    database = Database(tmp_path / "log.db", (SCHEMA, SCHEMA_2))
    log = SqliteLog(database)
    await log.create(record("r1"), started("r1"))
    await log.append([batch("r1", 2, 9)])
    before = await log.get("r1"), await whole(log, "r1")
    await database.close()

    database = Database(tmp_path / "log.db", (SCHEMA, SCHEMA_2))
    log = SqliteLog(database)
    assert (await log.get("r1"), await whole(log, "r1")) == before
    await database.close()


async def test_one_row_per_run_and_flush_never_per_event(tmp_path: Path) -> None:
    database = Database(tmp_path / "log.db", (SCHEMA, SCHEMA_2))
    log = SqliteLog(database)
    for run_id in ("r1", "r2"):
        await log.create(record(run_id), started(run_id))
    await log.append([batch("r1", 2, 51), batch("r2", 2, 31)])
    await database.close()
    rows = sqlite3.connect(tmp_path / "log.db").execute(
        "SELECT run_id, first_seq, last_seq FROM batches ORDER BY run_id, first_seq"
    )
    assert list(rows) == [("r1", 1, 1), ("r1", 2, 51), ("r2", 1, 1), ("r2", 2, 31)]


async def test_a_log_of_an_earlier_version_goes_on(tmp_path: Path) -> None:
    clock = Clock()
    database = Database(tmp_path / "log.db", (SCHEMA,))
    log = SqliteLog(database, clock)
    for run_id in ("ended", "running"):
        await log.create(record(run_id), started(run_id))
    await log.append([batch("ended", 2, 3, state="finished")])
    await database.close()

    database = Database(tmp_path / "log.db", (SCHEMA, SCHEMA_2))
    log = SqliteLog(database, clock)
    assert [each.run_id for each in await log.expired(everyone=True)] == ["running"]
    assert await log.prune(int(clock() * 1000) + 1) == 1
    assert await log.prune(int(clock() * 1000) + 1) == 0
    assert not await whole(log, "ended")
    assert await whole(log, "running")
    await database.close()
