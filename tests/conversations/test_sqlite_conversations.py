from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from conversations_contract import ConversationsContract

from millstream.conversations.sqlite import SCHEMA, SqliteConversations
from millstream.database import Database


class TestSqliteConversations(ConversationsContract):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[SqliteConversations]:
        database = Database(tmp_path / "conversations.db", (SCHEMA,))
        yield SqliteConversations(database)
        await database.close()
