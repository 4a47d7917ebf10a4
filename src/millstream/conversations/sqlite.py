"""Conversations in SQLite."""

import sqlite3
from collections import Counter
from collections.abc import Awaitable, Sequence

import msgspec

from millstream.conversations import (
    LIST_LIMIT,
    Content,
    ConversationHead,
    Feedback,
    Match,
    Place,
    Role,
    StoredMessage,
    text_of,
    title_of,
)
from millstream.conversations.match import match_in, match_in_answer
from millstream.database import Database
from millstream.errors import RunExists
from millstream.snapshot import Snapshot

_MESSAGE = "message_id, conversation_id, owner, role, created, parent_id, content, run_id, snapshot, feedback"
_HEAD = "conversation_id, title, created, updated, chosen_id"
_SHOWN = "owner = :owner AND listed = 1 AND deleted IS NULL"
_BEHIND = f"{_SHOWN} AND (updated, conversations.conversation_id) < (:updated, :id)"
_ORDER = "ORDER BY updated DESC, conversations.conversation_id DESC LIMIT :limit"
# CROSS JOIN keeps SQLite to the order that is written: it would begin with the conversations and search for each.
_FIND = f"""
SELECT conversations.{_HEAD.replace(", ", ", conversations.")}, texts.message_id, texts.text,
  (SELECT role FROM messages WHERE messages.message_id = texts.message_id)
FROM (
  SELECT texts.conversation_id AS found, min(texts.id) AS first
  FROM words CROSS JOIN texts ON texts.id = words.rowid WHERE words MATCH :query GROUP BY found
) CROSS JOIN conversations ON conversations.conversation_id = found CROSS JOIN texts ON texts.id = first
WHERE {_BEHIND} {_ORDER}
"""
_NOWHERE = Place(2**62, "")  # before the first of the list

_content = msgspec.json.Decoder(Content)
_snapshot = msgspec.json.Decoder(Snapshot)
_feedback = msgspec.json.Decoder(Feedback)


class SqliteConversations:
    """Stands on a database whose migrations hold `schema`'s."""

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
        said = [(each.message_id, text_of(each.content)) for each in messages if each.content is not None]
        run_id = messages[-1].run_id or ""

        def job(connection: sqlite3.Connection) -> None:
            known = connection.execute(
                "SELECT deleted FROM messages JOIN conversations USING (conversation_id) WHERE run_id = ?", (run_id,)
            ).fetchone()
            if known is not None:
                if known[0] is not None:
                    raise RunExists(run_id)
                return
            is_new = not connection.execute(
                "UPDATE conversations SET updated = ?, chosen_id = NULL WHERE conversation_id = ?",
                (head.updated, head.conversation_id),
            ).rowcount
            if is_new:
                connection.execute(
                    "INSERT INTO conversations (conversation_id, owner, title, created, updated, listed)"
                    " VALUES (?,?,?,?,?,?)",
                    (head.conversation_id, owner, head.title, head.created, head.updated, listed),
                )
                if listed:
                    _add_text(connection, head.conversation_id, None, head.title)
            connection.executemany(
                "INSERT INTO messages (message_id, conversation_id, owner, parent_id, role, created, content, run_id)"
                " VALUES (?,?,?,?,?,?,?,?)",
                rows,
            )
            if listed or not is_new:
                for message_id, text in said:
                    _add_text(connection, head.conversation_id, message_id, text)

        return self._database.write(job)

    def finish(self, snapshot: Snapshot) -> Awaitable[None]:
        data = msgspec.json.encode(snapshot)

        def job(connection: sqlite3.Connection) -> None:
            row = connection.execute(
                "UPDATE messages SET snapshot = ? WHERE run_id = ? RETURNING conversation_id, message_id",
                (data, snapshot.run_id),
            ).fetchone()
            if row is not None:
                connection.execute("DELETE FROM texts WHERE message_id = ?", (row[1],))
                _add_text(connection, row[0], row[1], snapshot.message.content)

        return self._database.write(job)

    async def unfinished(self) -> Sequence[StoredMessage]:
        def job(connection: sqlite3.Connection) -> list[StoredMessage]:
            rows = connection.execute(
                f"SELECT {_MESSAGE} FROM messages WHERE run_id IS NOT NULL AND snapshot IS NULL ORDER BY position"
            )
            return [_message(row) for row in rows]

        return await self._database.read(job)

    async def message_of_run(self, run_id: str) -> StoredMessage | None:
        def job(connection: sqlite3.Connection) -> StoredMessage | None:
            row = connection.execute(
                f"SELECT {_MESSAGE} FROM messages WHERE run_id = ? AND conversation_id IN"
                " (SELECT conversation_id FROM conversations WHERE deleted IS NULL)",
                (run_id,),
            ).fetchone()
            return _message(row) if row else None

        return await self._database.read(job)

    async def list(
        self, owner: str, *, limit: int = LIST_LIMIT, after: Place | None = None
    ) -> Sequence[ConversationHead]:
        updated, conversation_id = after or _NOWHERE
        values = {"owner": owner, "updated": updated, "id": conversation_id, "limit": limit}

        def job(connection: sqlite3.Connection) -> list[ConversationHead]:
            rows = connection.execute(f"SELECT {_HEAD} FROM conversations WHERE {_BEHIND} {_ORDER}", values)
            return [_head(row) for row in rows]

        return await self._database.read(job)

    async def search(
        self, owner: str, words: Sequence[str], *, limit: int = LIST_LIMIT, after: Place | None = None
    ) -> Sequence[tuple[ConversationHead, Match]]:
        if not words:
            return []
        query = " ".join(map(_quoted, words)) + "*"
        updated, conversation_id = after or _NOWHERE
        values = {"query": query, "owner": owner, "updated": updated, "id": conversation_id, "limit": limit}

        def job(connection: sqlite3.Connection) -> list[tuple[ConversationHead, Match]]:
            rows = connection.execute(_FIND, values).fetchall()
            return [(_head(row[:-3]), _match(row[-3], row[-2], row[-1], words)) for row in rows]

        return await self._database.read(job)

    async def get(self, owner: str, conversation_id: str) -> tuple[ConversationHead, Sequence[StoredMessage]] | None:
        def job(connection: sqlite3.Connection) -> tuple[ConversationHead, Sequence[StoredMessage]] | None:
            row = connection.execute(
                f"SELECT {_HEAD} FROM conversations WHERE owner = ? AND conversation_id = ? AND deleted IS NULL",
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
        return await self._title("owner = :owner AND deleted IS NULL", conversation_id, title, owner=owner)

    async def retitle(self, conversation_id: str, old: str, new: str) -> bool:
        return await self._title("title = :old AND deleted IS NULL", conversation_id, new, old=old)

    async def _title(self, condition: str, conversation_id: str, title: str, **values: str) -> bool:
        return await self._database.write(
            lambda connection: _call(connection, conversation_id, title, condition, **values)
        )

    async def choose(self, owner: str, conversation_id: str, message_id: str) -> bool:
        return await self._changes(
            "UPDATE conversations SET chosen_id = :chosen WHERE owner = :owner AND conversation_id = :id"
            " AND deleted IS NULL"
            " AND EXISTS (SELECT 1 FROM messages WHERE message_id = :chosen AND conversation_id = :id)",
            {"chosen": message_id, "owner": owner, "id": conversation_id},
        )

    async def rate(self, owner: str, message_id: str, feedback: Feedback | None) -> bool:
        data = None if feedback is None else msgspec.json.encode(feedback)
        return await self._changes(
            "UPDATE messages SET feedback = :feedback WHERE message_id = :id AND owner = :owner AND role = 'assistant'"
            " AND conversation_id IN (SELECT conversation_id FROM conversations WHERE deleted IS NULL)",
            {"feedback": data, "id": message_id, "owner": owner},
        )

    async def delete(self, owner: str, conversation_id: str, when: int) -> bool:
        return await self._changes(
            "UPDATE conversations SET deleted = :when WHERE owner = :owner AND conversation_id = :id"
            " AND deleted IS NULL",
            {"when": when, "owner": owner, "id": conversation_id},
        )

    async def restore(self, owner: str, conversation_id: str) -> bool:
        return await self._changes(
            "UPDATE conversations SET deleted = NULL WHERE owner = :owner AND conversation_id = :id"
            " AND deleted IS NOT NULL",
            {"owner": owner, "id": conversation_id},
        )

    async def forget(self, owner: str, run_id: str) -> bool:
        def job(connection: sqlite3.Connection) -> bool:
            answer = connection.execute(
                "SELECT conversation_id, message_id FROM messages WHERE run_id = ? AND owner = ?", (run_id, owner)
            ).fetchone()
            if answer is None:
                return False
            rows = connection.execute(
                "SELECT message_id, parent_id, run_id FROM messages WHERE conversation_id = ?", answer[:1]
            ).fetchall()
            above = {message_id: parent_id for message_id, parent_id, _ in rows}
            children = Counter(above.values())
            answers = {message_id for message_id, _, answered_by in rows if answered_by is not None}
            doomed = answer[1]
            while doomed is not None:
                parent = above[doomed]
                connection.execute("UPDATE messages SET parent_id = ? WHERE parent_id = ?", (parent, doomed))
                connection.execute("DELETE FROM messages WHERE message_id = ?", (doomed,))
                connection.execute("DELETE FROM texts WHERE message_id = ?", (doomed,))
                connection.execute(
                    "UPDATE conversations SET chosen_id = NULL WHERE conversation_id = ? AND chosen_id = ?",
                    (answer[0], doomed),
                )
                doomed = parent
                if doomed in answers or children[doomed] > 1:
                    break
            if doomed is None:
                _name_anew(connection, answer[0])
            return True

        return await self._database.write(job)

    async def purge(self, deleted_until: int, unlisted_until: int) -> Sequence[str]:
        def job(connection: sqlite3.Connection) -> list[str]:
            doomed = connection.execute(
                "SELECT conversation_id FROM conversations WHERE deleted <= ? UNION ALL"
                " SELECT conversation_id FROM conversations AS c WHERE listed = 0 AND deleted IS NULL AND updated <= ?"
                " AND NOT EXISTS (SELECT 1 FROM messages AS m WHERE m.conversation_id = c.conversation_id"
                " AND run_id IS NOT NULL AND snapshot IS NULL)",
                (deleted_until, unlisted_until),
            ).fetchall()
            runs: list[str] = []
            for row in doomed:
                rows = connection.execute(
                    "SELECT run_id FROM messages WHERE conversation_id = ? AND run_id IS NOT NULL", row
                )
                runs += [run_id for (run_id,) in rows]
                connection.execute("DELETE FROM conversations WHERE conversation_id = ?", row)
            return runs

        return await self._database.write(job)

    async def _changes(self, statement: str, values: dict[str, object]) -> bool:
        return await self._database.write(lambda connection: connection.execute(statement, values).rowcount > 0)

    async def close(self) -> None:
        """Leaves the database open: it is shared, and closed by who made it."""


def _name_anew(connection: sqlite3.Connection, conversation_id: str) -> None:
    """Calls it after the first question that is left; deletes it when no message is."""
    said = [
        text_of(_content.decode(content))
        for (content,) in connection.execute(
            "SELECT content FROM messages WHERE conversation_id = ? AND role = 'user' AND content IS NOT NULL"
            " ORDER BY position LIMIT 1",
            (conversation_id,),
        )
    ]
    if not said:
        connection.execute("DELETE FROM conversations WHERE conversation_id = ?", (conversation_id,))
    else:
        _call(connection, conversation_id, title_of(said[0]), "listed = 1")


def _call(connection: sqlite3.Connection, conversation_id: str, title: str, condition: str, **values: str) -> bool:
    """Whether the conversation met the condition and has the title now."""
    updated = connection.execute(
        f"UPDATE conversations SET title = :title WHERE conversation_id = :id AND {condition}",
        {"title": title, "id": conversation_id, **values},
    )
    if updated.rowcount:
        connection.execute(
            "UPDATE texts SET text = ? WHERE conversation_id = ? AND message_id IS NULL", (title, conversation_id)
        )
    return updated.rowcount > 0


def _add_text(connection: sqlite3.Connection, conversation_id: str, message_id: str | None, text: str) -> None:
    """Makes a text of a listed conversation findable."""
    if text:
        connection.execute(
            "INSERT INTO texts (conversation_id, message_id, text)"
            " SELECT conversation_id, ?, ? FROM conversations WHERE conversation_id = ? AND listed = 1",
            (message_id, text, conversation_id),
        )


def _match(message_id: str | None, text: str, role: Role | None, words: Sequence[str]) -> Match:
    if message_id is not None and role == "assistant":
        return match_in_answer(text, words, message_id)
    return match_in(text, words, message_id)


def _quoted(word: str) -> str:
    """As an FTS5 string (https://sqlite.org/fts5.html#fts5_strings); inside, nothing has a meaning of its own."""
    return '"' + word.replace("\x00", "").replace('"', '""') + '"'


def _message(row: Sequence[object]) -> StoredMessage:
    message_id, conversation_id, owner, role, created, parent_id, content, run_id, snapshot, feedback = row
    return StoredMessage(
        message_id=str(message_id),
        conversation_id=str(conversation_id),
        owner=str(owner),
        role=msgspec.convert(role, Role),
        created=int(str(created)),
        parent_id=parent_id if isinstance(parent_id, str) else None,
        content=_content.decode(content) if isinstance(content, bytes) else None,
        run_id=run_id if isinstance(run_id, str) else None,
        snapshot=_snapshot.decode(snapshot) if isinstance(snapshot, bytes) else None,
        feedback=_feedback.decode(feedback) if isinstance(feedback, bytes) else None,
    )


def _head(row: Sequence[object]) -> ConversationHead:
    conversation_id, title, created, updated, chosen_id = row
    return ConversationHead(
        conversation_id=str(conversation_id),
        title=str(title),
        created=int(str(created)),
        updated=int(str(updated)),
        chosen_id=chosen_id if isinstance(chosen_id, str) else None,
    )
