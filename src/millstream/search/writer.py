"""Writing to `index.db` while others read and write it: short transactions, and nothing half done is ever seen."""

import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import msgspec

from millstream.database import check_writable, connect
from millstream.documents import Document
from millstream.documents.folders import printable
from millstream.documents.split import Chunk
from millstream.errors import Conflict
from millstream.search.words import indexed

HOLD_MS = 20  # the write lock is given back as soon as it has been held so long: after 50 ms at the very most
_LOCK_TIMEOUT_S = 3.0
_PIECE = 100_000  # code points of text in one row
_BATCH = 64  # statements made before the lock is taken

_Statement = tuple[str, tuple[object, ...]]

_INSERT_PASSAGE = """
INSERT INTO passages (document, n, title, text, start, "end", page_start, page_end) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
_EMBEDDED = """
SELECT p.id, p.text FROM passages AS p JOIN documents AS d ON d.id = p.document
WHERE d.owner = ? AND d.location = ? AND d.state = 'ready' AND EXISTS (SELECT 1 FROM vectors WHERE passage = p.id)
"""
_CARRY_VECTOR = """
INSERT INTO vectors (passage, document, model, vector) SELECT ?, ?, model, vector FROM vectors WHERE passage = ?
"""


class Known(msgspec.Struct, frozen=True):
    """A document that is in the index: its row, its version, how it is shown, and its file's stamp."""

    id: int
    document_id: str
    version: str
    uri: str
    title: str
    stamp: str


class Absent(msgspec.Struct, frozen=True):
    """A file that is not in the index, and why: it could not be read, or a person removed it.

    `version` tells when a new attempt may come to another end.
    """

    document_id: str
    uri: str
    state: Literal["failed", "removed"]
    version: str
    stamp: str
    reason: str


class FileFacts(msgspec.Struct, frozen=True):
    """`size` is in bytes, `modified` in milliseconds since 1970; `stamp` changes whenever the file may have."""

    format: str = ""
    size: int = 0
    modified: int = 0
    stamp: str = ""


_NO_FACTS = FileFacts()


def connect_to_write(path: Path) -> sqlite3.Connection:
    """A connection to the index with what its triggers need. Raises as `connect`."""
    connection = connect(path)
    connection.execute("PRAGMA trusted_schema=ON")  # else triggers may not call a function of ours
    connection.create_function("indexed", 1, indexed, deterministic=True)
    return connection


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
            check_writable(self._lock, self._path.with_suffix(".lock").name)
            self._lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            self._lock.close()
            if "locked" not in str(error):
                raise  # a full disk
            raise Conflict(
                "Another sync is writing this index. Wait until it has finished, then sync again.", code="sync-running"
            ) from None
        self._connection = connect_to_write(self._path)
        try:
            check_writable(self._connection, self._path.name)
        except BaseException:
            self.__exit__(None, None, None)
            raise
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
            "SELECT location, id, document_id, version, uri, title, stamp FROM documents "
            "WHERE owner = ? AND state = 'ready'",
            (owner,),
        )
        return {location: Known(*row) for location, *row in rows}

    def absent(self, owner: str) -> dict[str, Absent]:
        """Location → why it is not in the index, or why it is not in its newest version."""
        rows = self._connection.execute(
            "SELECT location, document_id, uri, state, version, stamp, reason FROM absent WHERE owner = ?", (owner,)
        )
        return {location: Absent(*row) for location, *row in rows}

    def replace(
        self,
        owner: str,
        location: str,
        uri: str,
        version: str,
        document: Document,
        chunks: Iterable[Chunk],
        facts: FileFacts = _NO_FACTS,
    ) -> int:
        """Puts a document in the place of what was at `location`, at once for every reader. Returns its passages.

        Passages whose text is as it was keep their vectors.
        """
        document_id = self.document_id(owner, location)
        title, text = printable(" ".join(document.title.split())), _storable(document.text)
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            row = self._connection.execute(
                "INSERT INTO documents (owner, location, document_id, uri, title, version, state, pages, page_starts, "
                "remark, format, size, modified, stamp) VALUES (?, ?, ?, ?, ?, ?, 'loading', ?, ?, ?, ?, ?, ?, ?)",
                (owner, location, document_id, uri, title, version, len(document.pages),
                 msgspec.json.encode(document.pages).decode(), document.remark, *msgspec.structs.astuple(facts)),
            ).lastrowid  # fmt: skip
        pieces = (
            ("INSERT INTO texts VALUES (?, ?, ?)", (row, start, text[start : start + _PIECE]))
            for start in range(0, len(text), _PIECE)
        )
        self._in_short_transactions(pieces)
        count = self._in_short_transactions(
            (_INSERT_PASSAGE, (row, n, title, text[chunk.start : chunk.end], *msgspec.structs.astuple(chunk)))
            for n, chunk in enumerate(chunks)
        )
        self._in_short_transactions(self._carried(owner, location, row))
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute(
                "UPDATE documents SET state = 'old' WHERE owner = ? AND location = ? AND state = 'ready'",
                (owner, location),
            )
            self._connection.execute("UPDATE documents SET state = 'ready' WHERE id = ?", (row,))
            self._connection.execute("DELETE FROM absent WHERE owner = ? AND location = ?", (owner, location))
        self._remove_leftovers()
        return count

    def _carried(self, owner: str, location: str, row: int | None) -> Iterator[_Statement]:
        """The vectors of the version that is shown, for the passages of the new one in `row` that have the same text.

        Texts are compared by their hash, so that no more than one of them is in memory.
        """
        embedded = {_hash(text): passage for passage, text in self._connection.execute(_EMBEDDED, (owner, location))}
        if not embedded:
            return
        texts = self._connection.execute("SELECT id, text FROM passages WHERE document = ?", (row,))
        for passage, digest in [(passage, _hash(text)) for passage, text in texts]:
            if digest in embedded:
                yield _CARRY_VECTOR, (passage, row, embedded[digest])

    def document_id(self, owner: str, location: str) -> str:
        """That of the document at this location, or the one that it will have."""
        return document_id_at(self._connection, owner, location)

    def at(self, owner: str, document_id: str) -> tuple[str, Known] | None:
        """The location and what the index holds of a document."""
        rows = self._rows(
            "SELECT location, id, document_id, version, uri, title, stamp FROM documents "
            "WHERE owner = ? AND document_id = ? AND state = 'ready'",
            owner,
            document_id,
        )
        return next(((str(location), Known(*row)) for location, *row in rows), None)  # type: ignore[arg-type]

    def rename(self, known: Known, owner: str, location: str, uri: str, title: str, stamp: str) -> None:
        """Shows a document, whose content is the same, at another place, under another uri and title."""
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute(
                "UPDATE documents SET location = ?, uri = ?, title = ?, stamp = ? WHERE id = ?",
                (location, uri, title, stamp, known.id),
            )
            self._connection.execute("DELETE FROM absent WHERE owner = ? AND location = ?", (owner, location))
        if title != known.title:
            passages = self._rows("SELECT id FROM passages WHERE document = ?", known.id)
            self._in_short_transactions(
                ("UPDATE passages SET title = ? WHERE id = ?", (title, passage)) for (passage,) in passages
            )

    def set_absent(self, owner: str, location: str, absent: Absent) -> None:
        """Remembers why a file is not in the index."""
        with self._connection:
            self._connection.execute(
                "INSERT OR REPLACE INTO absent (owner, location, document_id, uri, state, version, stamp, reason) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (owner, location, *msgspec.structs.astuple(absent)),
            )

    def forget_absent(self, owner: str, locations: Iterable[str]) -> None:
        """These files are no more, or are to be tried anew."""
        self._in_short_transactions(
            ("DELETE FROM absent WHERE owner = ? AND location = ?", (owner, location)) for location in locations
        )

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


def document_id_at(connection: sqlite3.Connection, owner: str, location: str) -> str:
    """That of the document at this location, else a new one that the location gives: a new index has the same."""
    held = connection.execute(
        "SELECT document_id FROM documents WHERE owner = ? AND location = ? AND state = 'ready'", (owner, location)
    ).fetchone()
    if held:
        return str(held[0])
    name = f"{owner}\n{location}"
    while True:  # a document that was moved away has taken its id with it
        document_id = sha256(name.encode()).hexdigest()[:32]
        taken = "SELECT 1 FROM documents WHERE document_id = ? AND state = 'ready'"
        if connection.execute(taken, (document_id,)).fetchone() is None:
            return document_id
        name += "\n"


def _hash(text: str) -> bytes:
    return sha256(text.encode()).digest()


def _storable(text: str) -> str:
    """SQLite's text is UTF-8, which has no half surrogate pairs: each becomes one "?", so that spans still hold."""
    return text.encode("utf-8", "replace").decode("utf-8")
