"""The documents of a serving process: brought up to date in the background, with progress to show."""

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from millstream.documents.sync import Failure, Progress, Report, sync
from millstream.errors import MillstreamError
from millstream.search.sqlite import SqliteIndex

logger = logging.getLogger("millstream")


class Indexing(msgspec.Struct, frozen=True):
    """`count` documents can be found now; file `done` of `total` has been dealt with. `none`: there are none."""

    count: int
    state: Literal["none", "indexing", "ready"]
    done: int
    total: int
    failed: list[Failure]


class _Abandoned(Exception):
    """The process is closing; what was committed stays, the rest is indexed next time."""


class Library:
    """At most one sync at a time. `report` is that of the last one."""

    def __init__(self, index: SqliteIndex) -> None:
        self._index = index
        self._task: asyncio.Task[None] | None = None
        self._progress: Progress | None = None
        self._closing = False
        self.report: Report | None = None
        self.error: MillstreamError | None = None

    def start(self, documents: Sequence[Path], owner: str) -> asyncio.Task[None]:
        """Begins to index in a thread. Raises RuntimeError while one is under way."""
        if self._task is not None and not self._task.done():
            raise RuntimeError("documents are being indexed already")
        self._task = asyncio.create_task(self._sync(documents, owner), name="millstream-sync")
        return self._task

    async def progress(self, owner: str) -> Indexing:
        indexing = self._task is not None and not self._task.done()
        count = await self._index.document_count(owner=owner)
        progress, report = self._progress, self.report
        return Indexing(
            count=count,
            state="indexing" if indexing else "ready" if count else "none",
            done=progress.done if progress else 0,
            total=progress.total if progress else 0,
            failed=list(report.failed) if report else [],
        )

    async def close(self) -> None:
        """Ends a sync after the file that it is reading."""
        self._closing = True
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _sync(self, documents: Sequence[Path], owner: str) -> None:
        try:
            self.report = await asyncio.to_thread(sync, documents, self._index, owner, self._on_progress)
        except _Abandoned:
            pass
        except MillstreamError as error:
            self.error = error
            logger.error("the documents could not be indexed: %s", error.message)

    def _on_progress(self, progress: Progress) -> None:
        if self._closing:
            raise _Abandoned
        self._progress = progress
