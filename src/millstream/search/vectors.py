"""The semantic half of a search: the nearest vectors of an index, found by their signs and rescored exactly.

The vectors are in the index file. In memory is one bit per dimension: 48 bytes of a passage instead of 768. The
passages whose signs differ least from the question's (Hamming distance) are compared with it exactly. While all vectors
together are small, they are in memory whole and nothing is approximate.
"""

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from millstream.search import Filter
from millstream.search.filters import documents_matching

EXACT_BYTES = 32 * 1024 * 1024  # float32 vectors up to this are kept whole: 21,000 passages of 384 dimensions
CANDIDATES = 200  # rescored exactly, at least
CANDIDATES_PER_HIT = 4
ROWS_PER_CANDIDATE = (
    1000  # the more vectors, the more of them differ by as few signs: of 1,000,000, 200 miss one in ten
)
FEEDBACK_WEIGHT = 0.5  # of the mean of the feedback against the question
_BLOCK = 32_768  # rows compared at a time
_FETCH = 2_048  # rows read at a time
_KEPT_FILTERS = 16
_DEAD = 0.25  # of the rows in memory: then those of removed documents are cleared out
_FARTHEST = np.iinfo(np.uint16).max

Floats = NDArray[np.float32]


@dataclass
class _Rows:
    """What is in memory of the first `count` rows of each array; arrays are as long as they have been made.

    `signs[w, i]` is word w of row i. Rows are only ever appended, so a reader's `count` stays true while others append.
    """

    dimensions: int
    count: int = 0
    seqs: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    documents: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    signs: NDArray[np.uint64] = field(default_factory=lambda: np.empty((0, 0), np.uint64))
    exact: Floats | None = None


class VectorTable:
    """The vectors that `model` made, of one index file. Any thread may use it with a connection of its own."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._lock = threading.Lock()
        self._rows: _Rows | None = None
        self._model_row = -1
        self._last_seq = 0
        self._allowed: OrderedDict[tuple[str, Filter], tuple[int, NDArray[np.bool_]]] = OrderedDict()

    def refresh(self, connection: sqlite3.Connection) -> int:
        """Takes up what was added to the index since. Returns how many vectors there are."""
        last = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'vectors'").fetchone()
        if last is None:
            return 0
        with self._lock:
            if last[0] > self._last_seq:
                self._load(connection, last[0])
            return self._rows.count if self._rows else 0

    @property
    def dimensions(self) -> int | None:
        """Of the vectors in memory; None where there are none."""
        return self._rows.dimensions if self._rows else None

    def nearest(
        self,
        connection: sqlite3.Connection,
        query: Floats,
        owner: str,
        where: Filter,
        limit: int,
        *,
        floor: float,
        feedback: Sequence[int] = (),
    ) -> list[tuple[int, float]]:
        """(passage, cosine with `query`) of the `limit` nearest in the documents that match, none below `floor`.

        Nearest first: to `query`, or with `feedback` (passages that are likely good) to the question moved towards
        these (Rocchio 1971), which finds what is said in the documents' words rather than in the question's.
        """
        rows = self._rows
        if rows is None or not rows.count or query.shape != (rows.dimensions,):
            return []
        towards = self._moved(connection, query, feedback)
        rows = _Rows(rows.dimensions, rows.count, rows.seqs, rows.documents, rows.signs, rows.exact)
        allowed = self._allowed_documents(connection, owner, where)
        among = allowed[np.minimum(rows.documents[: rows.count], len(allowed) - 1)]
        if rows.exact is not None:
            scores = rows.exact[: rows.count] @ towards
            scores[~among] = -np.inf
            candidates = _largest(scores, limit)
        else:
            distances = _hamming(rows, towards)
            distances[~among] = _FARTHEST
            candidates = _smallest(
                distances, max(CANDIDATES, CANDIDATES_PER_HIT * limit, rows.count // ROWS_PER_CANDIDATE)
            )
        candidates = candidates[among[candidates]]
        found = self._rescored(connection, [int(seq) for seq in rows.seqs[candidates]], query, towards)
        return [(passage, cosine) for passage, cosine in found if cosine >= floor][:limit]

    def share_of(self, connection: sqlite3.Connection, passages: Sequence[int]) -> float:
        """How many of `passages` have a vector, from 0 to 1; 1 for none. They have not yet while vectors are made."""
        if not passages:
            return 1.0
        (count,) = connection.execute(
            f"SELECT count(*) FROM vectors WHERE +model = ? AND passage IN ({','.join('?' * len(passages))})",
            (self._model_row, *passages),
        ).fetchone()
        return float(count / len(passages))

    # "+model" keeps SQLite from the index of models, by which it would look at every vector.
    def _moved(self, connection: sqlite3.Connection, query: Floats, feedback: Sequence[int]) -> Floats:
        if not feedback:
            return query
        read = connection.execute(
            f"SELECT vector FROM vectors WHERE +model = ? AND passage IN ({','.join('?' * len(feedback))})",
            (self._model_row, *feedback),
        ).fetchall()
        if not read:
            return query
        vectors = np.frombuffer(b"".join(vector for (vector,) in read), "<f2").reshape(len(read), -1)
        moved = query + FEEDBACK_WEIGHT * vectors.astype(np.float32).mean(axis=0)
        unit: Floats = moved / np.linalg.norm(moved)
        return unit

    def _load(self, connection: sqlite3.Connection, last: int) -> None:
        model = connection.execute("SELECT id, dimensions FROM models WHERE name = ?", (self._model,)).fetchone()
        if model is None or model[0] != self._model_row:
            self._rows, self._last_seq, self._model_row = None, 0, model[0] if model else -1
        if model is not None:
            rows = self._rows or _Rows(model[1])
            cursor = connection.execute(
                "SELECT seq, document, vector FROM vectors WHERE model = ? AND seq > ? AND seq <= ? ORDER BY seq",
                (model[0], self._last_seq, last),
            )
            while read := cursor.fetchmany(_FETCH):
                _append(rows, read)
            self._rows = rows
        self._last_seq = last

    def _allowed_documents(self, connection: sqlite3.Connection, owner: str, where: Filter) -> NDArray[np.bool_]:
        """Index: a document's row number; one more entry, False, stands for all that are higher."""
        (change,) = connection.execute("SELECT n FROM changes").fetchone()
        key = (owner, where)
        with self._lock:
            known = self._allowed.get(key)
            if known is not None and known[0] == change:
                self._allowed.move_to_end(key)
                return known[1]
        documents = np.array(documents_matching(connection, owner, where), np.int64)
        allowed = np.zeros(int(documents.max(initial=0)) + 2, np.bool_)
        allowed[documents] = True
        with self._lock:
            self._allowed[key] = (change, allowed)
            if len(self._allowed) > _KEPT_FILTERS:
                self._allowed.popitem(last=False)
            self._clear_out(connection)
        return allowed

    def _clear_out(self, connection: sqlite3.Connection) -> None:
        """Drops the rows of documents that are gone, when they have become many."""
        rows = self._rows
        if rows is None:
            return
        (stored,) = connection.execute("SELECT count(*) FROM vectors WHERE model = ?", (self._model_row,)).fetchone()
        if rows.count - stored <= _DEAD * rows.count:
            return
        seqs = connection.execute("SELECT seq FROM vectors WHERE model = ?", (self._model_row,)).fetchall()
        alive = np.flatnonzero(np.isin(rows.seqs[: rows.count], np.array(seqs, np.int64).ravel()))
        self._rows = _Rows(
            rows.dimensions,
            len(alive),
            rows.seqs[alive],
            rows.documents[alive],
            np.ascontiguousarray(rows.signs[:, alive]),
            None if rows.exact is None else rows.exact[alive],
        )

    def _rescored(
        self, connection: sqlite3.Connection, seqs: Sequence[int], query: Floats, towards: Floats
    ) -> list[tuple[int, float]]:
        """(passage, cosine with `query`), the nearest to `towards` first. What was removed meanwhile drops out."""
        if not seqs:
            return []
        read = connection.execute(
            f"SELECT passage, vector FROM vectors WHERE +model = ? AND seq IN ({','.join('?' * len(seqs))})",
            (self._model_row, *seqs),
        ).fetchall()
        if not read:
            return []
        vectors = np.frombuffer(b"".join(vector for _, vector in read), "<f2").reshape(len(read), -1)
        cosines = vectors.astype(np.float32) @ np.stack([towards, query], axis=1)
        passages = [passage for passage, _ in read]
        order = sorted(range(len(read)), key=lambda i: (-cosines[i, 0], passages[i]))
        return [(passages[i], float(cosines[i, 1])) for i in order]


def set_aside(connection: sqlite3.Connection, model: str, dimensions: int) -> None:
    """Another model answers under the name of the one whose vectors have so many dimensions: those become an earlier
    model's, and are made anew as after any change of model.
    """
    connection.execute(
        "UPDATE models SET name = name || ' before #' || id WHERE name = ? AND dimensions = ?", (model, dimensions)
    )


def stored(vectors: Floats) -> list[bytes]:
    """Each row as the index stores it."""
    return [row.tobytes() for row in vectors.astype("<f2")]


def _append(rows: _Rows, read: Sequence[tuple[int, int, bytes]]) -> None:
    vectors = np.frombuffer(b"".join(vector for _, _, vector in read), "<f2").reshape(len(read), rows.dimensions)
    first, count = rows.count, rows.count + len(read)
    if count > len(rows.seqs):
        _grow(rows, max(count, len(rows.seqs) * 3 // 2))
    rows.seqs[first:count] = [seq for seq, _, _ in read]
    rows.documents[first:count] = [document for _, document, _ in read]
    rows.signs[:, first:count] = _signs(vectors).T
    if rows.exact is not None:
        if count * rows.dimensions * 4 > EXACT_BYTES:
            rows.exact = None
        else:
            rows.exact[first:count] = vectors
    rows.count = count


def _grow(rows: _Rows, capacity: int) -> None:
    def longer(old: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        new = np.empty(shape, old.dtype)
        if rows.count:
            new[..., : rows.count] = old[..., : rows.count]
        return new

    words = -(-rows.dimensions // 64)
    if rows.exact is not None or rows.count == 0:
        fitting = min(capacity, EXACT_BYTES // (4 * rows.dimensions))
        exact = np.empty((max(fitting, rows.count), rows.dimensions), np.float32)
        if rows.exact is not None:
            exact[: rows.count] = rows.exact[: rows.count]
        rows.exact = exact
    rows.seqs = longer(rows.seqs, (capacity,))
    rows.documents = longer(rows.documents, (capacity,))
    rows.signs = longer(rows.signs, (words, capacity))


def _signs(vectors: NDArray[np.float16]) -> NDArray[np.uint64]:
    """(n, dimensions) → (n, words): one bit per dimension, missing ones 0."""
    bits = np.packbits(vectors > 0, axis=1)
    padded = np.zeros((len(bits), -(-vectors.shape[1] // 64) * 8), np.uint8)
    padded[:, : bits.shape[1]] = bits
    return padded.view(np.uint64)


def _hamming(rows: _Rows, query: Floats) -> NDArray[np.uint16]:
    signs = _signs(query[np.newaxis].astype(np.float16))[0]
    distances = np.zeros(rows.count, np.uint16)
    for start in range(0, rows.count, _BLOCK):
        end = min(start + _BLOCK, rows.count)
        for word, sign in zip(rows.signs, signs, strict=True):
            distances[start:end] += np.bitwise_count(word[start:end] ^ sign)
    return distances


def _smallest(values: NDArray[np.uint16], count: int) -> NDArray[np.int64]:
    return np.argpartition(values, count)[:count] if count < len(values) else np.arange(len(values))


def _largest(values: Floats, count: int) -> NDArray[np.int64]:
    return np.argpartition(-values, count)[:count] if count < len(values) else np.arange(len(values))
