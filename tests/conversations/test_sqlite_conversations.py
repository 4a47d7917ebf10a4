import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from conversations_contract import ConversationsContract

from millstream.conversations.schema import SCHEMA, SCHEMA_2
from millstream.conversations.sqlite import SqliteConversations
from millstream.database import Database


class TestSqliteConversations(ConversationsContract):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[SqliteConversations]:
        database = Database(tmp_path / "conversations.db", (SCHEMA, SCHEMA_2))
        yield SqliteConversations(database)
        await database.close()


async def test_conversations_of_an_older_file_can_be_searched(tmp_path: Path) -> None:
    await Database(tmp_path / "millstream.db", (SCHEMA,)).close()
    with closing(sqlite3.connect(tmp_path / "millstream.db")) as connection:
        connection.executescript(
            """
            INSERT INTO conversations VALUES ('c1', 'ann', 'About mills', 1, 1, 1), ('c2', 'ann', 'None', 1, 1, 0);
            INSERT INTO messages (message_id, conversation_id, owner, role, created, content, run_id, snapshot) VALUES
              ('q1', 'c1', 'ann', 'user', 1, CAST('"Where is \\"the\\" sluice?"' AS BLOB), NULL, NULL),
              ('a1', 'c1', 'ann', 'assistant', 1, NULL, 'r1', CAST('{"message":{"content":"Upstream"}}' AS BLOB)),
              ('q2', 'c1', 'ann', 'user', 1, CAST('[{"type":"text","text":"Which wheel"},
                {"type":"file","document_id":"d","name":"plan"},{"type":"text","text":"turns?"}]' AS BLOB), NULL, NULL),
              ('a2', 'c1', 'ann', 'assistant', 1, NULL, 'r2', NULL),
              ('q3', 'c2', 'ann', 'user', 1, CAST('"the unlisted sluice"' AS BLOB), NULL, NULL);
            """
        )
    database = Database(tmp_path / "millstream.db", (SCHEMA, SCHEMA_2))
    store = SqliteConversations(database)
    for words, message_id in ((["sluice"], "q1"), (["upstream"], "a1"), (["wheel", "turns"], "q2"), (["mills"], None)):
        assert [match.message_id for _, match in await store.search("ann", words)] == [message_id]
    assert await store.search("ann", ["plan"]) == []
    await database.close()
