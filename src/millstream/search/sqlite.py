"""Search in one SQLite file: by words (FTS5) and by meaning (vectors), the two rankings fused.

Reading never waits for writing (WAL). Every search runs in a thread on a connection of its own and is interrupted when
its caller is cancelled.
"""

import asyncio
import json
import logging
import re
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import groupby
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from millstream.database import connect, migrate
from millstream.errors import ConfigurationError, ModelError, NotFound
from millstream.search import EVERYTHING, Filter, Match, Passage
from millstream.search.embed import Embedder
from millstream.search.embed.cache import QueryCache
from millstream.search.filters import condition
from millstream.search.fuse import reciprocal_rank_fusion, without_copies
from millstream.search.lexical import best_matches, coverage
from millstream.search.query import query_terms
from millstream.search.rerank import Reranker
from millstream.search.schema import FIRST_VERSION, MIGRATIONS
from millstream.search.vectors import VectorTable, set_aside
from millstream.search.writer import IndexWriter

T = TypeVar("T")

logger = logging.getLogger("millstream")

READERS = 4  # searches at a time; more wait for their turn
MAX_LIMIT = 100
HALF = 50  # passages of each half that are fused
FEEDBACK = 3  # the best passages of a first search by meaning, which refine a second one
RERANKED = 30  # passages that a reranker reads

# Above a passage, for the header of the table that it goes on with.
FARTHEST_HEADER = 20_000  # characters
_TABLE_ABOVE = re.compile(r"\n(\|[^\n]+\|[ \t]*\n\|[ \t]*:?-[-:| \t]*\|)[ \t]*\n(?:\|[^\n]*\n)*\Z")

_PASSAGES = """
SELECT p.id, p.n, p.text, p.start, p."end", p.page_start, p.page_end, d.document_id, d.version, d.title, d.uri
FROM passages AS p JOIN documents AS d ON d.id = p.document
WHERE p.id IN ({})
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

    Without an `embedder` it is searched by words alone. What a `reranker` is given is put into its order. Both are
    closed with the index. `only` leaves out one half of each search, to measure the other.
    Raises ConfigurationError when the file is no index or was made by a newer version, or before the first release.
    """

    def __init__(
        self,
        path: Path,
        embedder: Embedder | None = None,
        reranker: Reranker | None = None,
        *,
        only: Literal["lexical", "semantic"] | None = None,
    ) -> None:
        self.path = path
        self.embedder = embedder
        self._only = only
        self._reranker = reranker
        self._questions = QueryCache(embedder) if embedder else None
        self._vectors = VectorTable(embedder.name) if embedder else None
        self._told_of_change = False
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = connect(path)
        if 0 < connection.execute("PRAGMA user_version").fetchone()[0] < FIRST_VERSION:
            connection.close()
            raise ConfigurationError(
                f"{path.name} was made by a Millstream from before its first release. Delete it, with the files beside "
                f"it whose names begin with {path.name}, and sync your documents again."
            )
        migrate(connection, path.name, MIGRATIONS)
        self._idle = [connection]
        self._threads = ThreadPoolExecutor(READERS, "millstream-search")

    async def search(self, query: str, *, owner: str, limit: int = 5, where: Filter = EVERYTHING) -> list[Passage]:
        """See `Search.search`. Where the embedder or the reranker fails, the search goes on without it."""
        terms = query_terms(query)
        if not terms or limit < 1:
            return []
        limit = min(limit, MAX_LIMIT)
        asked = _Asked(terms, await self._vector(query), owner, where, max(HALF, limit))
        if self._reranker is None:
            return await self._read(lambda connection: self._found(connection, asked, limit))
        passages = await self._read(lambda connection: self._found(connection, asked, max(RERANKED, limit)))
        return (await self._reranked(query, passages))[:limit]

    async def beginnings(self, documents: Sequence[str], *, owner: str, limit: int) -> list[Passage]:
        """See `Search.beginnings`."""
        if not documents:
            return []
        where = Filter(documents=tuple(documents))
        return await self._read(lambda connection: _beginnings(connection, owner, where, limit))

    async def document_count(self, *, owner: str, among: Sequence[str] | None = None) -> int:
        return await self._read(lambda connection: _count(connection, owner, among))

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
        """Ends searches that still run, then closes the file, the embedder and the reranker."""
        await asyncio.to_thread(self._threads.shutdown)
        while self._idle:
            self._idle.pop().close()
        if self.embedder is not None:
            await self.embedder.close()
        if self._reranker is not None:
            await self._reranker.close()

    async def _vector(self, query: str) -> NDArray[np.float32] | None:
        """The question's vector, unless there is nothing to compare it with."""
        if self._vectors is None or self._questions is None or self._only == "lexical":
            return None
        if not await self._read(self._vectors.refresh):
            return None
        try:
            vector = await self._questions.vector(query)
        except (ModelError, ConfigurationError) as error:
            logger.warning("searching by words alone: %s", error.message)
            return None
        dimensions = self._vectors.dimensions
        if dimensions is not None and vector.shape != (dimensions,):
            await asyncio.to_thread(self._set_aside, dimensions, len(vector))
            return None
        return vector

    def _set_aside(self, dimensions: int, instead: int) -> None:
        """The vectors in the index are another model's, though it has the name of this one."""
        assert self.embedder is not None
        with closing(connect(self.path)) as connection:
            set_aside(connection, self.embedder.name, dimensions)
        if not self._told_of_change:
            self._told_of_change = True
            logger.warning(
                "searching by words alone: the vectors in the index have %d dimensions, %s gives %d, so it is another "
                "model now. Its vectors are made by the server, or by the next `millstream sync`.",
                dimensions,
                self.embedder.name,
                instead,
            )

    def _found(self, connection: sqlite3.Connection, asked: "_Asked", limit: int) -> list[Passage]:
        lexical: list[tuple[int, float]] = []
        if self._only != "semantic":
            lexical = _settled(connection, best_matches(connection, asked.terms, asked.owner, asked.where, asked.half))
        semantic = self._nearest(connection, asked, [])
        weight = self._semantic_weight(connection, lexical)
        if semantic and lexical:
            likely = list(_fused(lexical, semantic, weight))[:FEEDBACK]
            semantic = self._nearest(connection, asked, likely)
        scores = _fused(lexical, semantic, weight)
        rows = _rows(connection, list(scores))
        chosen = without_copies(list(scores), {passage: row[2] for passage, row in rows.items()}, limit)
        covered = coverage(connection, asked.terms, chosen)
        breaks = _page_breaks(connection, chosen)
        headers = _headers(connection, [rows[passage] for passage in chosen])
        by_words, by_meaning = _matches(lexical), _matches(semantic)
        return [
            _passage(
                rows[passage],
                breaks.get(passage),
                headers.get(passage, ""),
                _short(scores[passage]),
                round(covered[passage], 3),
                by_words.get(passage),
                by_meaning.get(passage),
            )
            for passage in chosen
        ]

    def _nearest(
        self, connection: sqlite3.Connection, asked: "_Asked", feedback: Sequence[int]
    ) -> list[tuple[int, float]]:
        if self._vectors is None or self.embedder is None or asked.vector is None:
            return []
        nearest = self._vectors.nearest(
            connection,
            asked.vector,
            asked.owner,
            asked.where,
            asked.half,
            floor=self.embedder.floor,
            feedback=feedback,
        )
        return _settled(connection, nearest)

    def _semantic_weight(self, connection: sqlite3.Connection, lexical: Sequence[tuple[int, float]]) -> float:
        """Beside the lexical half's 1. While vectors are made, the nearest are only the nearest of those that have one,
        and count less the fewer of them are among what was found by words: by the square, since ranks differ so little
        that even a tenth of its weight would lift a passage by seven places.
        """
        if self.embedder is None or self._vectors is None:
            return 0.0
        return self.embedder.weight * self._vectors.share_of(connection, [passage for passage, _ in lexical]) ** 2

    async def _reranked(self, query: str, passages: list[Passage]) -> list[Passage]:
        assert self._reranker is not None
        try:
            scores = await self._reranker.rerank(query, [passage.text for passage in passages])
        except ModelError as error:
            logger.warning("searching without the reranker: %s", error.message)
            return passages
        ordered = sorted(zip(scores, passages, strict=True), key=lambda entry: -entry[0])
        return [msgspec.structs.replace(passage, score=score, reranked=score) for score, passage in ordered]

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        reading = _Reading(work, self._idle, self.path)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, reading.run)
        except asyncio.CancelledError:
            reading.interrupt()
            raise


def _fused(
    lexical: Sequence[tuple[int, float]], semantic: Sequence[tuple[int, float]], weight: float
) -> dict[int, float]:
    """Passage → score, best first. A half that found nothing, or was not asked, does not lower the other's."""
    halves = [([passage for passage, _ in half], share) for half, share in ((lexical, 1.0), (semantic, weight)) if half]
    return reciprocal_rank_fusion(halves)


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


class _Asked(msgspec.Struct, frozen=True):
    """A question as both halves need it. `half` is how many passages each may find."""

    terms: Sequence[str]
    vector: NDArray[np.float32] | None
    owner: str
    where: Filter
    half: int


def _rows(connection: sqlite3.Connection, passages: Sequence[int]) -> dict[int, tuple[Any, ...]]:
    if not passages:
        return {}
    read = connection.execute(_PASSAGES.format(",".join("?" * len(passages))), passages)
    return {row[0]: row for row in read}


def _page_breaks(connection: sqlite3.Connection, passages: Sequence[int]) -> dict[int, int]:
    """Of each passage that covers two pages, where in its document's text the second one begins."""
    read = connection.execute(
        "SELECT p.id, json_extract(d.page_starts, '$[' || (p.page_end - 1) || ']') "
        "FROM passages AS p JOIN documents AS d ON d.id = p.document "
        f"WHERE p.id IN ({','.join('?' * len(passages))}) AND p.page_end > p.page_start",
        passages,
    )
    return dict(read)


def _headers(connection: sqlite3.Connection, rows: Iterable[tuple[Any, ...]]) -> dict[int, str]:
    """Of each passage that begins in the middle of a table, that table's first two lines, if they are not far above."""
    headers = {}
    for passage, _, text, start, *_ in rows:
        if start and text.startswith("|"):
            first = max(0, start - FARTHEST_HEADER)
            pieces = connection.execute(
                "SELECT t.start, t.text FROM texts AS t JOIN passages AS p ON p.document = t.document "
                "WHERE p.id = ? AND t.start < ? AND t.start + length(t.text) > ? ORDER BY t.start",
                (passage, start, first),
            ).fetchall()
            offset = pieces[0][0]
            above = "".join(piece for _, piece in pieces)[first - offset : start - offset]
            if found := _TABLE_ABOVE.search(above if first else f"\n{above}"):
                headers[passage] = found[1]
    return headers


def _settled(connection: sqlite3.Connection, ranking: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """`ranking` with neighbours of one score by address and place, not by when they were indexed: copies of a text."""
    rows = connection.execute(
        "SELECT p.id, d.uri, p.n FROM passages AS p JOIN documents AS d ON d.id = p.document "
        f"WHERE p.id IN ({','.join('?' * len(ranking))})",
        [passage for passage, _ in ranking],
    )
    places = {passage: (uri, n) for passage, uri, n in rows}
    settled: list[tuple[int, float]] = []
    for _, equals in groupby(ranking, key=lambda entry: entry[1]):
        settled += sorted(equals, key=lambda entry: places[entry[0]])
    return settled


def _matches(ranking: Sequence[tuple[int, float]]) -> dict[int, Match]:
    return {passage: Match(rank, _short(score)) for rank, (passage, score) in enumerate(ranking, 1)}


def _passage(
    row: tuple[Any, ...],
    page_break: int | None,
    header: str = "",
    score: float | None = None,
    coverage: float | None = None,
    lexical: Match | None = None,
    semantic: Match | None = None,
) -> Passage:
    _, n, text, start, end, page_start, page_end, document_id, version, title, uri = row
    return Passage(
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
        page_break=page_break,
        header=header,
        score=score,
        coverage=coverage,
        lexical=lexical,
        semantic=semantic,
    )


def _short(score: float) -> float:
    return float(f"{score:.4g}")  # in a tiny index BM25 gives millionths


def _beginnings(connection: sqlite3.Connection, owner: str, where: Filter, limit: int) -> list[Passage]:
    sql, values = condition(owner, where)
    read = connection.execute(
        "SELECT p.id FROM passages AS p JOIN documents AS d ON d.id = p.document "
        f"WHERE {sql} ORDER BY p.n, d.uri LIMIT ?",
        (*values, limit),
    )
    first = [passage for (passage,) in read]
    rows, breaks = _rows(connection, first), _page_breaks(connection, first)
    return [_passage(rows[passage], breaks.get(passage)) for passage in first]


def _count(connection: sqlite3.Connection, owner: str, among: Sequence[str] | None) -> int:
    row = connection.execute(
        "SELECT count(*) FROM documents WHERE owner = :owner AND state = 'ready'"
        " AND (:among IS NULL OR document_id IN (SELECT value FROM json_each(:among)))",
        {"owner": owner, "among": None if among is None else json.dumps(among)},
    ).fetchone()
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
