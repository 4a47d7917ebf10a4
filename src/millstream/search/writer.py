"""Writing to `index.db` while others read and write it: short transactions, and nothing half done is ever seen."""

import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from millstream.documents import Document
from millstream.documents.split import Chunk
from millstream.errors import Conflict
from millstream.search.schema import connect

HOLD_MS = 20  # the write lock is given back as soon as it has been held so long: after 50 ms at the very most
_LOCK_TIMEOUT_S = 3.0
_PIECE = 100_000  # code points of text in one row
_BATCH = 64  # statements made before the lock is taken

_Statement = tuple[str, tuple[object, ...]]

_INSERT_PASSAGE = """
INSERT INTO passages (document, n, title, text, start, "end", page_start, page_end) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""


class Known(msgspec.Struct, frozen=True):
    """A document that is in the index: its row, its version and the uri it was given."""

    id: int
    version: str
    uri: str


class IndexWriter:
    """The one writer of an index, for as long as the `with` block lasts. All its methods block."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # A database of its own as the lock between processes: the system releases it however its holder dies.
        self._lock = sqlite3.connect(
            path.with_suffix(".lock"), timeout=_LOCK_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )

    def __enter__(self) -> Self:
        try:
            self._lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError:
            self._lock.close()
            raise Conflict(
                "Another sync is writing this index. Wait until it has finished, then sync again.", code="sync-running"
            ) from None
        self._connection = connect(self._path)
        self._remove_leftovers()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()
        self._lock.close()

    def known(self, owner: str) -> dict[str, Known]:
        """Location → what the index holds of it."""
        rows = self._connection.execute(
            "SELECT location, id, version, uri FROM documents WHERE owner = ? AND state = 'ready'", (owner,)
        )
        return {location: Known(*row) for location, *row in rows}

    def replace(
        self, owner: str, location: str, uri: str, version: str, document: Document, chunks: Iterable[Chunk]
    ) -> int:
        """Puts a document in the place of what was at `location`, at once for every reader. Returns its passages."""
        document_id = sha256(f"{owner}\n{location}".encode()).hexdigest()[:32]
        title, text = _storable(document.title), _storable(document.text)
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            row = self._connection.execute(
                "INSERT INTO documents (owner, location, document_id, uri, title, version, state, pages) "
                "VALUES (?, ?, ?, ?, ?, ?, 'loading', ?)",
                (owner, location, document_id, uri, title, version, len(document.pages)),
            ).lastrowid
        pieces = (
            ("INSERT INTO texts VALUES (?, ?, ?)", (row, start, text[start : start + _PIECE]))
            for start in range(0, len(text), _PIECE)
        )
        self._in_short_transactions(pieces)
        count = self._in_short_transactions(
            (_INSERT_PASSAGE, (row, n, title, text[chunk.start : chunk.end], *msgspec.structs.astuple(chunk)))
            for n, chunk in enumerate(chunks)
        )
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute(
                "UPDATE documents SET state = 'old' WHERE owner = ? AND location = ? AND state = 'ready'",
                (owner, location),
            )
            self._connection.execute("UPDATE documents SET state = 'ready' WHERE id = ?", (row,))
        self._remove_leftovers()
        return count

    def rename(self, known: Known, uri: str) -> None:
        """Shows a document under another uri; its text has not changed."""
        self._connection.execute("UPDATE documents SET uri = ? WHERE id = ?", (uri, known.id))

    def remove(self, known: Sequence[Known]) -> None:
        """Takes documents out of the index, each at once for every reader."""
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(
                "UPDATE documents SET state = 'old' WHERE id = ?", [(document.id,) for document in known]
            )
        self._remove_leftovers()

    def _remove_leftovers(self) -> None:
        """Removes what nobody sees: old versions, and new ones whose writer died."""
        self._in_short_transactions(self._removals())

    def _removals(self) -> Iterator[_Statement]:
        for (document,) in self._rows("SELECT id FROM documents WHERE state <> 'ready'"):
            for passage in self._rows("SELECT id FROM passages WHERE document = ?", document):
                yield "DELETE FROM passages WHERE id = ?", passage
            for piece in self._rows("SELECT document, start FROM texts WHERE document = ?", document):
                yield "DELETE FROM texts WHERE document = ? AND start = ?", piece
            yield "DELETE FROM documents WHERE id = ?", (document,)

    def _rows(self, query: str, *values: object) -> list[tuple[object, ...]]:
        return self._connection.execute(query, values).fetchall()

    def _in_short_transactions(self, statements: Iterable[_Statement]) -> int:
        """Executes the statements, committing whenever the lock has been held for HOLD_MS. Returns how many they were.

        Statements are made (text is split, rows are looked up) while nothing is locked.
        """
        remaining = iter(statements)
        batch: list[_Statement] = []
        count = 0
        while batch := [*batch, *islice(remaining, _BATCH - len(batch))]:
            with self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                until = time.monotonic() + HOLD_MS / 1000
                done = 0
                while done < len(batch) and (done == 0 or time.monotonic() < until):
                    self._connection.execute(*batch[done])
                    done += 1
            count += done
            del batch[:done]
        return count


def _storable(text: str) -> str:
    """SQLite's text is UTF-8, which has no half surrogate pairs: each becomes one "?", so that spans still hold."""
    return text.encode("utf-8", "replace").decode("utf-8")
