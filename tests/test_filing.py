"""Filing: what ended is put into its conversation, whatever happens to its neighbours."""

import asyncio
from pathlib import Path

import pytest

from core import MIGRATIONS, OWNER, read, start, supervised
from millstream.conversations.sqlite import SqliteConversations
from millstream.database import Database
from millstream.errors import Unavailable
from millstream.filing import FILED_TOGETHER, Filer
from millstream.logs import sqlite as logs_sqlite
from millstream.run import Run
from millstream.snapshot import Snapshot


async def hello(run: Run) -> None:
    run.write("Hello.")


class Refusing(SqliteConversations):
    """Cannot store the answer of one run."""

    refused = ""

    async def finish(self, snapshot: Snapshot) -> None:
        if snapshot.run_id == self.refused:
            raise Unavailable("no")
        await super().finish(snapshot)


async def test_every_answer_is_filed_once_the_supervisor_is_closed(tmp_path: Path) -> None:
    async with supervised(tmp_path, hello) as supervisor:
        run_ids = [await start(supervisor) for _ in range(FILED_TOGETHER + 3)]
        await asyncio.gather(*(read(supervisor, run_id) for run_id in run_ids))
    database = Database(tmp_path / "millstream.db", MIGRATIONS)
    conversations = SqliteConversations(database)
    filed = [await conversations.message_of_run(run_id) for run_id in run_ids]
    await database.close()
    assert [message and message.snapshot and message.snapshot.message.content for message in filed] == [
        "Hello." for _ in run_ids
    ]


async def test_a_short_answer_is_filed_without_reading_the_log(tmp_path: Path) -> None:
    async with supervised(tmp_path, hello) as supervisor:
        supervisor.log.read = None  # type: ignore[method-assign, assignment]
        run_id = await start(supervisor)
        await read(supervisor, run_id)
        await supervisor.settle()
        message = await supervisor.conversations.message_of_run(run_id)
    assert message is not None
    assert message.snapshot is not None
    assert message.snapshot.message.content == "Hello."


async def test_one_that_cannot_be_filed_or_was_deleted_does_not_hold_up_its_neighbours(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with supervised(tmp_path, hello) as supervisor:
        run_ids = [await start(supervisor, run_id=run_id) for run_id in ("refused", "deleted", "kept")]
        for run_id in run_ids:
            await read(supervisor, run_id)
        deleted = await supervisor.answer_message(OWNER, "deleted")
        await supervisor.delete_conversation(OWNER, deleted.conversation_id)
    database = Database(tmp_path / "millstream.db", MIGRATIONS)
    await database.write(lambda connection: connection.execute("UPDATE messages SET snapshot = NULL"))
    conversations = Refusing(database)
    conversations.refused = "refused"
    filer = Filer(logs_sqlite.SqliteLog(database), conversations)
    for run_id in run_ids:
        filer.add(run_id)
    await filer.flush()
    unfiled = [message.run_id for message in await conversations.unfinished()]
    await database.close()
    assert "refused" in unfiled
    assert "kept" not in unfiled
    assert "run refused could not be filed" in caplog.text


async def test_a_conversation_shows_an_answer_that_is_not_filed_yet(tmp_path: Path) -> None:
    async with supervised(tmp_path, hello) as supervisor:
        run_id = await start(supervisor)
        await read(supervisor, run_id)
        stored = await supervisor.conversations.message_of_run(run_id)
        message = await supervisor.answer_message(OWNER, run_id)
        assert stored is not None
        assert stored.snapshot is None, "filing waits for others to file with"
        assert message.snapshot is not None
        assert message.snapshot.message.content == "Hello."


class Waiting(logs_sqlite.SqliteLog):
    """Answers no read before so many were asked for."""

    def __init__(self, database: Database, expected: int) -> None:
        super().__init__(database)
        self.reads = 0
        self._expected = expected
        self._all_asked = asyncio.Event()

    async def read(self, run_id: str, after: int, limit: int) -> bytes:
        self.reads += 1
        if self.reads == self._expected:
            self._all_asked.set()
        await asyncio.wait_for(self._all_asked.wait(), 10)
        return await super().read(run_id, after, limit)


async def test_answers_that_end_together_are_read_together_and_only_to_their_end(tmp_path: Path) -> None:
    async with supervised(tmp_path, hello) as supervisor:
        run_ids = [await start(supervisor) for _ in range(FILED_TOGETHER)]
        await asyncio.gather(*(read(supervisor, run_id) for run_id in run_ids))
    database = Database(tmp_path / "millstream.db", MIGRATIONS)
    await database.write(lambda connection: connection.execute("UPDATE messages SET snapshot = NULL"))
    conversations = SqliteConversations(database)
    log = Waiting(database, len(run_ids))
    filer = Filer(log, conversations)
    for run_id in run_ids:
        filer.add(run_id)
    await filer.flush()
    unfiled = await conversations.unfinished()
    await database.close()
    assert not unfiled
    assert log.reads == len(run_ids)
