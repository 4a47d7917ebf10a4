"""What documents there are, seen from outside: listed, opened at a place, with the reason where one cannot be read."""

import asyncio
import sqlite3
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from millstream.database import connect
from millstream.errors import InputError, NotFound
from millstream.search.writer import document_id_at

T = TypeVar("T")

MAX_LISTED = 1000
MAX_TEXT = 1_000_000  # code points opened at a time
_PIECE = 100_000  # code points in one row of `texts`, as the writer cuts them


class Listed(msgspec.Struct, frozen=True, omit_defaults=True):
    """A document, or a file that could not become one (`failed`, and then why in `reason`).

    A document that is `ready` and has a `reason` too is an older version: the file cannot be read any more. `size` is
    in bytes, `modified` in milliseconds since 1970, `pages` 0 for a format without pages. `remark` says what of the
    file could not be read.
    """

    document_id: str
    uri: str
    title: str
    state: Literal["ready", "failed", "waiting"]
    format: str = ""
    pages: int = 0
    passages: int = 0
    size: int = 0
    modified: int = 0
    reason: str = ""
    remark: str = ""


class Span(msgspec.Struct, frozen=True, omit_defaults=True):
    """Passage n is [start, end) of the document's text, in code points."""

    n: int
    start: int
    end: int
    page_start: int | None = None
    page_end: int | None = None


class Opened(msgspec.Struct, frozen=True):
    """`text` is [start, end) of the document's whole text, whose length is `length`; all in code points. `pages[i]` is
    where page i + 1 begins. `passages` are those that touch this part.
    """

    document: Listed
    version: str
    length: int
    start: int
    end: int
    text: str
    pages: list[int]
    passages: list[Span]


class Beginning(msgspec.Struct, frozen=True):
    title: str
    text: str


class Place(msgspec.Struct, frozen=True):
    """Where a document's file is. `location` never leaves the server."""

    location: str
    uri: str
    format: str


_READY = """
SELECT d.document_id, d.uri, d.title, 'ready', d.format, d.pages,
       (SELECT count(*) FROM passages AS p WHERE p.document = d.id), d.size, d.modified, coalesce(a.reason, ''),
       d.remark
FROM documents AS d LEFT JOIN absent AS a
  ON a.owner = d.owner AND a.location = d.location AND a.state = 'failed'
WHERE d.owner = :owner AND d.state = 'ready'
"""
_FAILED = """
SELECT a.document_id, a.uri, a.uri, 'failed', '', 0, 0, 0, 0, a.reason, ''
FROM absent AS a
WHERE a.owner = :owner AND a.state = 'failed' AND NOT EXISTS (
    SELECT 1 FROM documents AS d WHERE d.owner = a.owner AND d.location = a.location AND d.state = 'ready'
)
"""
_LIST = (
    f"SELECT * FROM ({_READY} UNION ALL {_FAILED}) WHERE (uri, document_id) > (:uri, :id) ORDER BY 2, 1 LIMIT :limit"
)
_ONE = f"{_READY} AND d.document_id = :id UNION ALL {_FAILED} AND a.document_id = :id LIMIT 1"


class Catalogue:
    """Reads the index at `path`, whoever writes it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def documents(self, owner: str, *, after: str | None = None, limit: int = MAX_LISTED) -> list[Listed]:
        """Up to `limit` documents and failed files by uri, those behind the `cursor_of` a document.

        Raises InputError for what is no such cursor.
        """
        return await self._read(lambda connection: _list(connection, owner, after, limit))

    async def get(self, document_id: str, owner: str) -> Listed:
        """Raises NotFound."""
        return await self._read(lambda connection: _get(connection, document_id, owner))

    async def open(self, document_id: str, owner: str, start: int = 0, end: int | None = None) -> Opened:
        """The document from `start` up to `end`, MAX_TEXT code points at most. Raises NotFound."""
        return await self._read(lambda connection: _open(connection, document_id, owner, start, end))

    async def ending(self, end: str, owner: str, limit: int = 10) -> list[Listed]:
        """Documents whose uri is `end` or ends with it behind a slash."""
        return await self._read(lambda connection: _ending(connection, end, owner, limit))

    async def passage(self, document_id: str, owner: str, n: int) -> Span:
        """Where passage n is. Raises NotFound."""
        return await self._read(lambda connection: _passage(connection, document_id, owner, n))

    async def beginnings(self, owner: str, limit: int, characters: int) -> list[Beginning]:
        """How the documents begin that were changed last."""
        query = (
            "SELECT d.title, substr(t.text, 1, ?) FROM documents AS d "
            "JOIN texts AS t ON t.document = d.id AND t.start = 0 "
            "WHERE d.owner = ? AND d.state = 'ready' ORDER BY d.modified DESC, d.uri LIMIT ?"
        )
        values = (characters, owner, limit)
        return await self._read(lambda connection: [Beginning(*row) for row in connection.execute(query, values)])

    async def place(self, document_id: str, owner: str) -> Place:
        """Raises NotFound."""
        return await self._read(lambda connection: _place(connection, document_id, owner))

    async def document_id(self, owner: str, location: str) -> str:
        """That of the document at this location, or the one that it will have."""
        return await self._read(lambda connection: document_id_at(connection, owner, location))

    async def failures(self, owner: str, limit: int) -> list[tuple[str, str]]:
        """(uri, reason) of files that could not be read in their newest version."""
        query = "SELECT uri, reason FROM absent WHERE owner = ? AND state = 'failed' ORDER BY uri LIMIT ?"
        return await self._read(lambda connection: connection.execute(query, (owner, limit)).fetchall())

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def read() -> T:
            with closing(connect(self._path)) as connection:
                connection.execute("BEGIN")
                return work(connection)

        return await asyncio.to_thread(read)


def cursor_of(document: Listed) -> str:
    """The document's place in the list, which it keeps when the document is removed."""
    return urlsafe_b64encode(f"{document.document_id} {document.uri}".encode()).decode().rstrip("=")


def _place_of(cursor: str) -> tuple[str, str]:
    """(document_id, uri)"""
    try:
        document_id, blank, uri = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().partition(" ")
    except ValueError:
        blank = ""
    if not blank:
        raise InputError("`after` must be what `next` said in the part before.")
    return document_id, uri


def _list(connection: sqlite3.Connection, owner: str, after: str | None, limit: int) -> list[Listed]:
    document_id, uri = _place_of(after) if after else ("", "")
    rows = connection.execute(_LIST, {"owner": owner, "uri": uri, "id": document_id, "limit": limit})
    return [Listed(*row) for row in rows]


def _ending(connection: sqlite3.Connection, end: str, owner: str, limit: int) -> list[Listed]:
    rows = connection.execute(
        f"SELECT * FROM ({_READY} UNION ALL {_FAILED}) "
        "WHERE uri = :end OR substr('/' || uri, -length('/' || :end)) = '/' || :end ORDER BY 2 LIMIT :limit",
        {"owner": owner, "end": end, "limit": limit},
    )
    return [Listed(*row) for row in rows]


def _passage(connection: sqlite3.Connection, document_id: str, owner: str, n: int) -> Span:
    row = connection.execute(
        'SELECT p.n, p.start, p."end", p.page_start, p.page_end FROM passages AS p '
        "JOIN documents AS d ON d.id = p.document "
        "WHERE d.document_id = ? AND d.owner = ? AND d.state = 'ready' AND p.n = ?",
        (document_id, owner, n),
    ).fetchone()
    if row is None:
        raise NotFound("This document has no such passage.", code="no-document")
    return Span(*row)


def _get(connection: sqlite3.Connection, document_id: str, owner: str) -> Listed:
    row = connection.execute(_ONE, {"owner": owner, "id": document_id}).fetchone()
    if row is None:
        raise _no_document()
    return Listed(*row)


def _open(connection: sqlite3.Connection, document_id: str, owner: str, start: int, end: int | None) -> Opened:
    listed = _get(connection, document_id, owner)
    if listed.state != "ready":
        raise NotFound(f"This document could not be read: {listed.reason}", code="no-document")
    row, version, page_starts = connection.execute(
        "SELECT id, version, page_starts FROM documents WHERE document_id = ? AND owner = ? AND state = 'ready'",
        (document_id, owner),
    ).fetchone()
    length = _length(connection, row)
    start = min(start, length)
    end = min(length, start + MAX_TEXT if end is None else max(start, min(end, start + MAX_TEXT)))
    spans = connection.execute(
        'SELECT n, start, "end", page_start, page_end FROM passages '
        'WHERE document = ? AND "end" > ? AND start < ? ORDER BY n',
        (row, start, max(end, 1)),
    )
    return Opened(
        listed,
        version,
        length,
        start,
        end,
        _text(connection, row, start, end),
        msgspec.json.decode(page_starts, type=list[int]),
        [Span(*span) for span in spans],
    )


def _length(connection: sqlite3.Connection, row: int) -> int:
    last = connection.execute(
        "SELECT start + length(text) FROM texts WHERE document = ? ORDER BY start DESC LIMIT 1", (row,)
    ).fetchone()
    return int(last[0]) if last else 0


def _text(connection: sqlite3.Connection, row: int, start: int, end: int) -> str:
    first = start - start % _PIECE
    pieces = connection.execute(
        "SELECT text FROM texts WHERE document = ? AND start >= ? AND start < ? ORDER BY start", (row, first, end)
    )
    return "".join(piece for (piece,) in pieces)[start - first : end - first]


def _place(connection: sqlite3.Connection, document_id: str, owner: str) -> Place:
    row = connection.execute(
        "SELECT location, uri, format FROM documents WHERE document_id = :id AND owner = :owner AND state = 'ready' "
        "UNION ALL SELECT location, uri, '' FROM absent "
        "WHERE document_id = :id AND owner = :owner AND state = 'failed' LIMIT 1",
        {"id": document_id, "owner": owner},
    ).fetchone()
    if row is None:
        raise _no_document()
    return Place(*row)


def _no_document() -> NotFound:
    return NotFound("There is no such document; it may have been removed since.", code="no-document")
