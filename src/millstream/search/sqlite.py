"""Lexical search in one SQLite file: FTS5, BM25, terms stemmed and OR-ed.

Reading never waits for writing (WAL). Every search runs in a thread on a connection of its own and is interrupted when
its caller is cancelled. BM25's statistics are those of the whole file, so that owners share an idea of which words are
rare, and nothing else.
"""

import asyncio
import math
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from millstream.errors import NotFound
from millstream.search import Passage
from millstream.search.query import query_terms
from millstream.search.schema import connect, migrate
from millstream.search.writer import IndexWriter

T = TypeVar("T")

READERS = 4  # searches at a time; more wait for their turn
TITLE_WEIGHT = 0.5  # of a term in the title against one in the text
MAX_LIMIT = 100

_SEARCH = f"""
SELECT p.id, p.n, p.text, p.start, p."end", p.page_start, p.page_end,
       d.document_id, d.version, d.title, d.uri, -bm25(terms, {TITLE_WEIGHT}, 1.0) AS score
FROM terms
JOIN passages AS p ON p.id = terms.rowid
JOIN documents AS d ON d.id = p.document
WHERE terms MATCH ? AND d.owner = ? AND d.state = 'ready'
ORDER BY score DESC, p.id
LIMIT ?
"""


class IndexedDocument(msgspec.Struct, frozen=True):
    """A document as the index lists it. `pages` is 0 for a format without pages."""

    document_id: str
    version: str
    title: str
    uri: str
    pages: int


class DocumentText(msgspec.Struct, frozen=True):
    title: str
    uri: str
    version: str
    text: str


class SqliteIndex:
    """The index in the file `path`; the file, its folder and its tables are made if they are not there.

    Raises ConfigurationError when the file is no index or was made by a newer version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = connect(path)
        migrate(connection)
        self._idle = [connection]
        self._threads = ThreadPoolExecutor(READERS, "millstream-search")

    async def search(self, query: str, *, owner: str, limit: int = 5) -> list[Passage]:
        """At most `limit` passages of `owner`'s documents, best first; an empty list when no term matches."""
        terms = query_terms(query)
        if not terms or limit < 1:
            return []
        return await self._read(lambda connection: _search(connection, terms, owner, min(limit, MAX_LIMIT)))

    async def document_count(self, *, owner: str) -> int:
        return await self._read(lambda connection: _count(connection, owner))

    async def documents(self, *, owner: str) -> list[IndexedDocument]:
        """All documents of `owner`, by uri."""
        return await self._read(lambda connection: _list(connection, owner))

    async def document(self, document_id: str, *, owner: str) -> DocumentText:
        """One document with its text, as it is indexed now. Raises NotFound."""
        return await self._read(lambda connection: _text(connection, document_id, owner))

    def writer(self) -> IndexWriter:
        """For `sync`. A context manager; raises Conflict when another one is writing this index."""
        return IndexWriter(self.path)

    async def close(self) -> None:
        """Ends searches that still run, then closes the file."""
        await asyncio.to_thread(self._threads.shutdown)
        while self._idle:
            self._idle.pop().close()

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        reading = _Reading(work, self._idle, self.path)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, reading.run)
        except asyncio.CancelledError:
            reading.interrupt()
            raise


class _Reading(Generic[T]):
    """One piece of reading in a thread, which another thread may interrupt for as long as it has its connection."""

    def __init__(self, work: Callable[[sqlite3.Connection], T], idle: list[sqlite3.Connection], path: Path) -> None:
        self._work = work
        self._idle = idle
        self._path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def run(self) -> T:
        connection = _take(self._idle, self._path)
        with self._lock:
            self._connection = connection
        try:
            connection.execute("BEGIN")
            return self._work(connection)
        finally:
            with self._lock:
                self._connection = None
            connection.rollback()
            self._idle.append(connection)

    def interrupt(self) -> None:
        with self._lock:
            if self._connection:
                self._connection.interrupt()


def _take(idle: list[sqlite3.Connection], path: Path) -> sqlite3.Connection:
    try:
        return idle.pop()
    except IndexError:
        return connect(path)


def _search(connection: sqlite3.Connection, terms: Sequence[str], owner: str, limit: int) -> list[Passage]:
    rows = connection.execute(_SEARCH, (" OR ".join(map(_quoted, terms)), owner, limit)).fetchall()
    coverage = _coverage(connection, terms, [row[0] for row in rows])
    return [
        Passage(
            source_id=f"{document_id}.{version[:12]}.{n}",
            document_id=document_id,
            version=version,
            title=title,
            uri=uri,
            text=text,
            page_start=page_start,
            page_end=page_end,
            start=start,
            end=end,
            score=float(f"{score:.4g}"),  # in a tiny index BM25 gives millionths
            coverage=round(coverage[passage], 3),
        )
        for passage, n, text, start, end, page_start, page_end, document_id, version, title, uri, score in rows
    ]


def _quoted(term: str) -> str:
    """As an FTS5 string (https://sqlite.org/fts5.html#fts5_strings); inside, nothing has a meaning of its own."""
    return '"' + term.replace('"', '""') + '"'


def _coverage(connection: sqlite3.Connection, terms: Sequence[str], passages: Sequence[int]) -> dict[int, float]:
    """Of each passage, the part of the terms' whole weight (inverse document frequency) that it contains."""
    if not passages:
        return {}
    total: int = connection.execute("SELECT count(*) FROM passages").fetchone()[0]
    found = dict.fromkeys(passages, 0.0)
    weight = 0.0
    among = f"SELECT rowid FROM terms WHERE terms MATCH ? AND rowid IN ({','.join('?' * len(passages))})"
    for term in terms:
        holders: int = connection.execute(
            "SELECT count(*) FROM terms WHERE terms MATCH ?", (_quoted(term),)
        ).fetchone()[0]
        rarity = math.log(1 + (total - holders + 0.5) / (holders + 0.5))
        weight += rarity
        for (passage,) in connection.execute(among, (_quoted(term), *passages)):
            found[passage] += rarity
    return {passage: min(1.0, covered / weight) for passage, covered in found.items()}


def _count(connection: sqlite3.Connection, owner: str) -> int:
    row = connection.execute("SELECT count(*) FROM documents WHERE owner = ? AND state = 'ready'", (owner,)).fetchone()
    return int(row[0])


def _list(connection: sqlite3.Connection, owner: str) -> list[IndexedDocument]:
    rows = connection.execute(
        "SELECT document_id, version, title, uri, pages FROM documents "
        "WHERE owner = ? AND state = 'ready' ORDER BY uri",
        (owner,),
    )
    return [IndexedDocument(*row) for row in rows]


def _text(connection: sqlite3.Connection, document_id: str, owner: str) -> DocumentText:
    row = connection.execute(
        "SELECT id, title, uri, version FROM documents WHERE document_id = ? AND owner = ? AND state = 'ready'",
        (document_id, owner),
    ).fetchone()
    if row is None:
        raise NotFound("There is no such document; it may have been removed since.")
    pieces = connection.execute("SELECT text FROM texts WHERE document = ? ORDER BY start", (row[0],))
    return DocumentText(row[1], row[2], row[3], "".join(piece for (piece,) in pieces))
