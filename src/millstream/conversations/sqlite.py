"""Conversations in SQLite."""

import sqlite3
from collections.abc import Awaitable, Sequence

import msgspec

from millstream.conversations import Content, ConversationHead, StoredMessage
from millstream.database import Database
from millstream.snapshot import Snapshot

SCHEMA = """
CREATE TABLE conversations (
  conversation_id TEXT PRIMARY KEY,
  owner TEXT NOT NULL,
  title TEXT NOT NULL,
  created INTEGER NOT NULL,
  updated INTEGER NOT NULL,
  listed INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX conversations_listed ON conversations (owner, updated DESC) WHERE listed = 1;
CREATE TABLE messages (
  position INTEGER PRIMARY KEY,
  message_id TEXT NOT NULL UNIQUE,
  conversation_id TEXT NOT NULL REFERENCES conversations ON DELETE CASCADE,
  owner TEXT NOT NULL,
  parent_id TEXT,
  role TEXT NOT NULL,
  created INTEGER NOT NULL,
  content BLOB,
  run_id TEXT UNIQUE,
  snapshot BLOB
);
CREATE INDEX messages_of_conversation ON messages (conversation_id, position);
CREATE INDEX messages_unfinished ON messages (position) WHERE run_id IS NOT NULL AND snapshot IS NULL;
"""

_MESSAGE = "message_id, conversation_id, owner, role, created, parent_id, content, run_id, snapshot"
_HEAD = "conversation_id, title, created, updated"

_content = msgspec.json.Decoder(Content)
_snapshot = msgspec.json.Decoder(Snapshot)


def _message(row: Sequence[object]) -> StoredMessage:
    message_id, conversation_id, owner, role, created, parent_id, content, run_id, snapshot = row
    return StoredMessage(
        message_id=str(message_id),
        conversation_id=str(conversation_id),
        owner=str(owner),
        role="user" if role == "user" else "assistant",
        created=int(str(created)),
        parent_id=parent_id if isinstance(parent_id, str) else None,
        content=_content.decode(content) if isinstance(content, bytes) else None,
        run_id=run_id if isinstance(run_id, str) else None,
        snapshot=_snapshot.decode(snapshot) if isinstance(snapshot, bytes) else None,
    )


class SqliteConversations:
    """Stands on a database whose migrations hold `SCHEMA`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(
        self, head: ConversationHead, owner: str, messages: Sequence[StoredMessage], *, listed: bool
    ) -> Awaitable[None]:
        rows = [
            (
                message.message_id,
                message.conversation_id,
                owner,
                message.parent_id,
                message.role,
                message.created,
                None if message.content is None else msgspec.json.encode(message.content),
                message.run_id,
            )
            for message in messages
        ]

        def job(connection: sqlite3.Connection) -> None:
            if connection.execute("SELECT 1 FROM messages WHERE run_id = ?", (messages[-1].run_id,)).fetchone():
                return
            connection.execute(
                "INSERT INTO conversations VALUES (?,?,?,?,?,?)"
                " ON CONFLICT (conversation_id) DO UPDATE SET updated = excluded.updated",
                (head.conversation_id, owner, head.title, head.created, head.updated, listed),
            )
            connection.executemany(
                "INSERT INTO messages (message_id, conversation_id, owner, parent_id, role, created, content, run_id)"
                " VALUES (?,?,?,?,?,?,?,?)",
                rows,
            )

        return self._database.write(job)

    async def finish(self, snapshot: Snapshot) -> None:
        data = msgspec.json.encode(snapshot)

        def job(connection: sqlite3.Connection) -> None:
            connection.execute("UPDATE messages SET snapshot = ? WHERE run_id = ?", (data, snapshot.run_id))

        await self._database.write(job)

    async def unfinished(self) -> Sequence[StoredMessage]:
        def job(connection: sqlite3.Connection) -> list[StoredMessage]:
            rows = connection.execute(
                f"SELECT {_MESSAGE} FROM messages WHERE run_id IS NOT NULL AND snapshot IS NULL ORDER BY position"
            )
            return [_message(row) for row in rows]

        return await self._database.read(job)

    async def message_of_run(self, run_id: str) -> StoredMessage | None:
        def job(connection: sqlite3.Connection) -> StoredMessage | None:
            row = connection.execute(f"SELECT {_MESSAGE} FROM messages WHERE run_id = ?", (run_id,)).fetchone()
            return _message(row) if row else None

        return await self._database.read(job)

    async def list(self, owner: str, limit: int = 200) -> Sequence[ConversationHead]:
        def job(connection: sqlite3.Connection) -> list[ConversationHead]:
            rows = connection.execute(
                f"SELECT {_HEAD} FROM conversations WHERE owner = ? AND listed = 1 ORDER BY updated DESC LIMIT ?",
                (owner, limit),
            )
            return [_head(row) for row in rows]

        return await self._database.read(job)

    async def get(self, owner: str, conversation_id: str) -> tuple[ConversationHead, Sequence[StoredMessage]] | None:
        def job(connection: sqlite3.Connection) -> tuple[ConversationHead, Sequence[StoredMessage]] | None:
            row = connection.execute(
                f"SELECT {_HEAD} FROM conversations WHERE owner = ? AND conversation_id = ?",
                (owner, conversation_id),
            ).fetchone()
            if row is None:
                return None
            messages = connection.execute(
                f"SELECT {_MESSAGE} FROM messages WHERE conversation_id = ? ORDER BY position",
                (conversation_id,),
            )
            return _head(row), [_message(message) for message in messages]

        return await self._database.read(job)

    async def rename(self, owner: str, conversation_id: str, title: str) -> bool:
        def job(connection: sqlite3.Connection) -> bool:
            updated = connection.execute(
                "UPDATE conversations SET title = ? WHERE owner = ? AND conversation_id = ?",
                (title, owner, conversation_id),
            )
            return updated.rowcount > 0

        return await self._database.write(job)

    async def delete(self, owner: str, conversation_id: str) -> bool:
        def job(connection: sqlite3.Connection) -> bool:
            deleted = connection.execute(
                "DELETE FROM conversations WHERE owner = ? AND conversation_id = ?", (owner, conversation_id)
            )
            return deleted.rowcount > 0

        return await self._database.write(job)

    async def close(self) -> None:
        """Leaves the database open: it is shared, and closed by who made it."""


def _head(row: Sequence[object]) -> ConversationHead:
    conversation_id, title, created, updated = row
    return ConversationHead(
        conversation_id=str(conversation_id),
        title=str(title),
        created=int(str(created)),
        updated=int(str(updated)),
    )
