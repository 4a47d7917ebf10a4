"""Make the vectors that an index lacks, in the background: its documents are found by their words meanwhile.

One process at a time does. It may be killed at any point: what is committed stays, and the next one goes on. A vector
is stored only if its passage is still there, so documents may be changed and removed meanwhile.
"""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from millstream.database import connect
from millstream.errors import MillstreamError
from millstream.search.embed import Embedder, Vectors
from millstream.search.vectors import set_aside, stored

logger = logging.getLogger("millstream")

T = TypeVar("T")

STEP = 128  # passages that are read, embedded and committed at a time
LOOK_EVERY_S = 1.0  # for what other processes put into the index
TRY_AGAIN_S = 60.0  # after a failure that may pass

_MISSING = """
SELECT p.id, p.document, p.text
FROM passages AS p
JOIN documents AS d ON d.id = p.document AND d.state = 'ready'
LEFT JOIN vectors AS v ON v.passage = p.id AND v.model = ?
WHERE p.id > ? AND v.seq IS NULL
ORDER BY p.id LIMIT ?
"""
_STORE = """
INSERT OR REPLACE INTO vectors (passage, document, model, vector)
SELECT id, document, ?, ? FROM passages WHERE id = ? AND document = ?
"""
_COUNT = """
SELECT count(*) FROM passages AS p JOIN documents AS d ON d.id = p.document AND d.state = 'ready'
"""


class Embedding(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far the vectors of an index are: `done` of `total` passages have one of `model`.

    `off`: there is no embedder. `elsewhere`: another process is making them. `failed`: `error` says why; it is tried
    again. `per_second` is the rate of this process.
    """

    state: Literal["off", "embedding", "elsewhere", "failed", "ready"]
    model: str | None = None
    done: int = 0
    total: int = 0
    per_second: float | None = None
    error: str | None = None


class Backfill:
    """For one event loop. `progress` may be read at any time."""

    def __init__(
        self,
        path: Path,
        embedder: Embedder | None,
        on_progress: Callable[[Embedding], None] = lambda progress: None,
        *,
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._path = path
        self._embedder = embedder
        self._on_progress = on_progress
        self._look_every_s = look_every_s
        self._told: str | None = None  # the failure that was logged last
        # One thread for all of it: a connection is never closed while a cancelled call still uses it.
        self._thread = ThreadPoolExecutor(1, "millstream-backfill")
        self.progress = Embedding("off") if embedder is None else Embedding("ready", embedder.name)

    async def run(self) -> Embedding:
        """Embeds until nothing is missing. Cancelling loses one step at most. Raises ModelError, ConfigurationError."""
        if self._embedder is None:
            return self.progress
        work = await self._in_thread(_Work, self._path, self._embedder.name)
        try:
            if await self._in_thread(work.lock):
                await self._embed(work, self._embedder)
            else:
                await self._report(work, "elsewhere")
        finally:
            await self._in_thread(work.close)
        return self.progress

    async def follow(self) -> None:
        """Runs whenever something is missing, until cancelled. A failure is logged, shown and tried again."""
        if self._embedder is None:
            return
        try:
            await self._watch()
        finally:
            await asyncio.to_thread(self._thread.shutdown)

    async def _watch(self) -> None:
        watch = await self._in_thread(connect, self._path)
        try:
            seen = None
            while True:
                now = await self._in_thread(_data_version, watch)
                if now != seen or self.progress.state in ("failed", "elsewhere"):
                    seen = now
                    await self._run_and_tell()
                await asyncio.sleep(TRY_AGAIN_S if self.progress.state == "failed" else self._look_every_s)
        finally:
            await self._in_thread(watch.close)

    async def _in_thread(self, job: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, job, *arguments)

    async def _run_and_tell(self) -> None:
        assert self._embedder is not None
        found = "new documents are found"
        try:
            await self.run()
            found = "documents are found"
            if self.progress.total > 0:
                await self._embedder.load()
        except Exception as error:
            reason, expected = _reason(error)
            if reason != self._told:
                logger.error("%s by their words alone: %s", found, reason, exc_info=None if expected else error)
            self._told = reason
            self._show(msgspec.structs.replace(self.progress, state="failed", error=reason))
        else:
            self._told = None

    async def _embed(self, work: "_Work", embedder: Embedder) -> None:
        began, made = time.monotonic(), 0
        await self._report(work, "embedding")
        while passages := await self._in_thread(work.missing):
            vectors = await embedder.embed([text for _, _, text in passages])
            await self._in_thread(work.store, passages, vectors)
            made += len(passages)
            await self._report(work, "embedding", made / (time.monotonic() - began))
        await self._report(work, "ready")

    async def _report(
        self, work: "_Work", state: Literal["embedding", "elsewhere", "ready"], per_second: float | None = None
    ) -> None:
        done, total = await self._in_thread(work.count)
        if state == "elsewhere" and done >= total:
            state = "ready"
        self._show(Embedding(state, work.model, done, total, per_second))

    def _show(self, progress: Embedding) -> None:
        self.progress = progress
        self._on_progress(progress)


def missing_vectors(path: Path, embedder: Embedder | None) -> int:
    """How many passages that can be found have no vector of `embedder` yet; none without an embedder. Blocks."""
    if embedder is None:
        return 0
    work = _Work(path, embedder.name)
    try:
        done, total = work.count()
    finally:
        work.close()
    return total - done


class _Work:
    """The index's side of it; all methods block."""

    def __init__(self, path: Path, model: str) -> None:
        self.model = model
        self._connection = connect(path)
        # As the writer's lock: the system releases it however its holder dies.
        self._lock = sqlite3.connect(
            path.with_suffix(".embedding.lock"), timeout=0, isolation_level=None, check_same_thread=False
        )
        self._after = 0

    def lock(self) -> bool:
        """False when another process embeds this index."""
        try:
            self._lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError:
            return False
        return True

    def close(self) -> None:
        self._connection.close()
        self._lock.close()

    def missing(self) -> list[tuple[int, int, str]]:
        """(passage, document, text) of some that lack a vector. Looks from the start again when the end is reached."""
        found = self._look()
        if not found and self._after:
            self._after = 0
            found = self._look()
        if found:
            self._after = found[-1][0]
        return found

    def store(self, passages: Sequence[tuple[int, int, str]], vectors: Vectors) -> None:
        """Leaves out what was removed in the meantime. Vectors that earlier models made of these passages go."""
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            model = self._model_row(vectors.shape[1])
            self._connection.executemany(
                _STORE,
                [
                    (model, vector, passage, document)
                    for (passage, document, _), vector in zip(passages, stored(vectors), strict=True)
                ],
            )

    def count(self) -> tuple[int, int]:
        """Passages with a vector of this model, and all that can be found."""
        (total,) = self._connection.execute(_COUNT).fetchone()
        (done,) = self._connection.execute(
            "SELECT count(*) FROM vectors AS v JOIN documents AS d ON d.id = v.document AND d.state = 'ready' "
            "WHERE v.model = (SELECT id FROM models WHERE name = ?)",
            (self.model,),
        ).fetchone()
        return done, total

    def _look(self) -> list[tuple[int, int, str]]:
        row = self._connection.execute("SELECT id FROM models WHERE name = ?", (self.model,)).fetchone()
        return self._connection.execute(_MISSING, (row[0] if row else -1, self._after, STEP)).fetchall()

    def _model_row(self, dimensions: int) -> int:
        row = self._connection.execute("SELECT id, dimensions FROM models WHERE name = ?", (self.model,)).fetchone()
        if row is not None and row[1] != dimensions:
            set_aside(self._connection, self.model, row[1])
            row = None
        if row is None:
            cursor = self._connection.execute(
                "INSERT INTO models (name, dimensions) VALUES (?, ?)", (self.model, dimensions)
            )
            assert cursor.lastrowid is not None
            return cursor.lastrowid
        return int(row[0])


def _reason(error: Exception) -> tuple[str, bool]:
    """What failed, in words, and whether that was to be expected."""
    if isinstance(error, MillstreamError):
        return error.message, True
    if isinstance(error, sqlite3.OperationalError):
        return f"index.db cannot be written: {error}", True
    return f"{type(error).__name__}: {error}", False


def _data_version(connection: sqlite3.Connection) -> int:
    """Changes whenever another connection has committed (https://sqlite.org/pragma.html#pragma_data_version)."""
    version: int = connection.execute("PRAGMA data_version").fetchone()[0]
    return version
