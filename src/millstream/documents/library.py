"""The documents of a serving process: brought up to date in the background, with progress to show."""

import asyncio
import logging
import queue
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from millstream.documents.catalogue import Catalogue, Place
from millstream.documents.folders import Root, is_where_it_was, location_of, path_of
from millstream.documents.pool import ReadAhead, ReaderPool, Readers
from millstream.documents.sync import Failure, Progress, Report, sync, sync_with
from millstream.documents.uploads import FOLDER, Uploads
from millstream.documents.watch import Watcher
from millstream.errors import Conflict, MillstreamError, NotFound
from millstream.search.sqlite import SqliteIndex
from millstream.search.writer import Absent, IndexWriter

T = TypeVar("T")

logger = logging.getLogger("millstream")

MAX_FAILURES = 100  # shown with the progress; the list of documents has them all
_RETRY_S = 1.0  # between attempts while another process writes the index
_AHEAD = 2  # uploads that are read or have been and wait to be written, for each reading process
_BEGIN_S = 10.0  # a person waits so long until a removal has its turn

Job = Callable[[IndexWriter], None]


class Indexing(msgspec.Struct, frozen=True):
    """`count` documents can be found now; file `done` of `total` has been dealt with. `none`: there are none.

    `pages_per_second` and `seconds_left` are those of the sync that is under way; `waiting` uploads are not in it.
    """

    count: int
    state: Literal["none", "indexing", "ready"]
    done: int
    total: int
    failed: list[Failure]
    waiting: int = 0
    pages_per_second: float | None = None
    seconds_left: float | None = None


class Library:
    """At most one sync at a time; short jobs (an upload, a removal) come in between its files."""

    def __init__(
        self, index: SqliteIndex, pool: ReaderPool | None = None, uploads: Uploads | None = None, watch_s: float = 2.0
    ) -> None:
        self._index = index
        self._pool = pool or ReaderPool()
        self._watch_s = watch_s
        self._jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._wanted = asyncio.Event()
        self._syncs: list[tuple[Sequence[Path | Root], str, asyncio.Future[None]]] = []
        self._working: asyncio.Task[None] | None = None
        self._watching: list[asyncio.Task[None]] = []
        self._uploading: set[asyncio.Task[None]] = set()
        # The texts of uploads that wait to be written are in memory.
        self._ahead = asyncio.Semaphore(_AHEAD * self._pool.processes)
        self._syncing = False
        self._progress: Progress | None = None
        self._closing = False
        self.uploads = uploads or Uploads(index.path.parent)
        self.catalogue = Catalogue(index.path)
        self.waiting: dict[tuple[str, str], str] = {}  # (owner, document_id) → uri of uploads that are not read yet
        self.report: Report | None = None
        self.error: MillstreamError | None = None

    def open(self) -> None:
        """Goes on with uploads that a server left unread."""
        self.uploads.clean()
        for owner, folder in self.uploads.owners().items():
            self.start([Root(folder, FOLDER, takes_all=True)], owner)

    def start(self, documents: Sequence[Path | Root], owner: str, *, watch: bool = False) -> asyncio.Future[None]:
        """Indexes these documents when those before them are; with `watch`, again whenever something changes there."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if watch:
            self._watching.append(asyncio.create_task(self._watch(documents, owner, done), name="millstream-watch"))
        else:
            self._enqueue(documents, owner, done)
        return done

    async def progress(self, owner: str) -> Indexing:
        count = await self._index.document_count(owner=owner)
        failures = await self.catalogue.failures(owner, MAX_FAILURES)
        progress = self._progress
        is_under_way = self._syncing and progress is not None and progress.elapsed_s > 0
        return Indexing(
            count=count,
            state="indexing" if self._syncing or self._syncs else "ready" if count else "none",
            done=progress.done if progress else 0,
            total=progress.total if progress else 0,
            failed=[Failure(*failure) for failure in failures],
            waiting=sum(waiting_owner == owner for waiting_owner, _ in self.waiting),
            pages_per_second=round(progress.pages / progress.elapsed_s, 1) if progress and is_under_way else None,
            seconds_left=_rounded(progress.seconds_left) if progress and is_under_way else None,
        )

    def read_upload(self, path: Path, owner: str, document_id: str) -> asyncio.Future[None]:
        """Indexes a file that was uploaded. The task is done when it can be found, or is known to be unreadable."""
        root = Root(path, f"{FOLDER}/{path.name}")
        self.waiting[owner, document_id] = root.uri
        reading = asyncio.create_task(self._read_upload(root, owner, document_id), name="millstream-upload")
        self._uploading.add(reading)
        reading.add_done_callback(self._uploading.discard)
        return reading

    async def _read_upload(self, root: Root, owner: str, document_id: str) -> None:
        """A file that takes long to read keeps neither the index nor other uploads waiting."""
        async with self._ahead:
            readers = await asyncio.to_thread(ReadAhead, self._pool, root.path)
            await asyncio.wait([asyncio.wrap_future(readers.answer)])

            def write(writer: IndexWriter) -> None:
                try:
                    self._sync_now(writer, root, owner, again=False, readers=readers)
                finally:
                    self.waiting.pop((owner, document_id), None)

            await self._submit(write)

    async def settled(self) -> None:
        """Returns when there is nothing to do any more."""
        while (working := {*self._uploading, *({self._working} if self._working else ())}) and not all(
            task.done() for task in working
        ):
            await asyncio.wait(working)

    async def original(self, place: Place) -> Path:
        """The file of a document. Raises NotFound when it is no longer there."""
        path = path_of(place.location)
        if not await asyncio.to_thread(is_where_it_was, path, place.uri):
            raise NotFound("The file of this document is no longer there.", code="no-original")
        return path

    async def read_again(self, document_id: str, owner: str) -> None:
        """Reads a document's file though it has not changed. Raises NotFound, and Conflict as `remove` does."""
        place = await self.catalogue.place(document_id, owner)
        root = Root(await self.original(place), place.uri)
        await self._soon(partial(self._sync_now, root=root, owner=owner, again=True))

    async def remove(self, document_id: str, owner: str) -> None:
        """Takes a document out of the index, see the function `remove`. Raises NotFound, and Conflict while others keep
        the index from being written.
        """
        place = await self.catalogue.place(document_id, owner)
        await self._soon(lambda writer: remove(writer, self.uploads, owner, document_id, path_of(place.location)))

    async def close(self) -> None:
        """Gives up the file that is being read; what was committed stays, the rest is indexed next time."""
        self._closing = True
        for task in self._watching:
            task.cancel()
        await asyncio.to_thread(self._pool.close)
        if self._working is not None:
            await asyncio.wait([self._working])
        for uploading in self._uploading:
            uploading.cancel()
        await asyncio.gather(*self._watching, *self._uploading, return_exceptions=True)

    def _enqueue(self, documents: Sequence[Path | Root], owner: str, done: asyncio.Future[None]) -> None:
        self._syncs.append((documents, owner, done))
        self._wake()

    def _submit(self, job: Callable[[IndexWriter], T]) -> asyncio.Future[T]:
        """The job's result, once a writer has done it."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()

        def run(writer: IndexWriter) -> None:
            try:
                result = job(writer)
            except BaseException as error:
                loop.call_soon_threadsafe(_fail, done, error)
                if not isinstance(error, MillstreamError | CancelledError):
                    logger.exception("a document could not be indexed")
            else:
                loop.call_soon_threadsafe(_succeed, done, result)

        self._jobs.put(run)
        self._wake()
        return done

    async def _soon(self, job: Callable[[IndexWriter], T]) -> T:
        """The job's result. One that cannot be begun in time is withdrawn, and never happens. Raises Conflict."""
        begun: Future[None] = Future()

        def run(writer: IndexWriter) -> T:
            if not begun.set_running_or_notify_cancel():
                raise CancelledError
            return job(writer)

        done = self._submit(run)
        await asyncio.wait([done], timeout=_BEGIN_S)
        if not done.done() and begun.cancel():
            raise Conflict("Other documents are being indexed: try again in a moment.", code="sync-running")
        return await done

    def _wake(self) -> None:
        self._wanted.set()
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work(), name="millstream-sync")

    async def _work(self) -> None:
        """Until nothing is to be done: jobs first, then one sync, during which jobs go on."""
        while not self._closing:
            self._wanted.clear()
            if not self._jobs.empty():
                await asyncio.to_thread(self._run_jobs_alone)
            elif self._syncs:
                documents, owner, done = self._syncs[0]
                self._syncing = True
                try:
                    await asyncio.to_thread(self._sync, documents, owner)
                finally:
                    self._syncing = False
                    self._syncs.pop(0)
                    if not done.done():
                        done.set_result(None)
            elif not self._wanted.is_set():
                await asyncio.to_thread(self._pool.rest)
                if not self._wanted.is_set():
                    return

    def _sync(self, documents: Sequence[Path | Root], owner: str) -> None:
        while not self._closing:
            try:
                self.report = sync(
                    documents, self._index, owner, self._on_progress, pool=self._pool, interlude=self._run_jobs
                )
                self.error = None
            except CancelledError:
                return  # the process is closing
            except Conflict:
                time.sleep(_RETRY_S)
                continue
            except MillstreamError as error:
                self.error = error
                logger.error("the documents could not be indexed: %s", error.message)
            except (sqlite3.Error, OSError) as error:
                logger.error("the documents could not be indexed: %s", error)
            return

    def _run_jobs_alone(self) -> None:
        """As soon as the index can be written: a full disk, say, delays uploads and loses none."""
        told = ""
        while not self._closing:
            try:
                with self._index.writer() as writer:
                    self._run_jobs(writer)
                return
            except CancelledError:
                return  # the process is closing
            except (Conflict, sqlite3.Error, OSError) as error:
                if not isinstance(error, Conflict) and str(error) != told:
                    told = str(error)
                    logger.error("the index cannot be written, it is tried again: %s", told)
                time.sleep(_RETRY_S)

    def _run_jobs(self, writer: IndexWriter) -> None:
        if self._closing:
            raise CancelledError
        while True:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return
            job(writer)

    def _sync_now(
        self, writer: IndexWriter, root: Root, owner: str, *, again: bool, readers: Readers | None = None
    ) -> None:
        sync_with(
            writer, [root], self._index.path.parent, owner, lambda progress: None, readers or self._pool, again=again
        )

    async def _watch(self, documents: Sequence[Path | Root], owner: str, done: asyncio.Future[None]) -> None:
        watcher = await asyncio.to_thread(Watcher, documents, self._index.path.parent, self._watch_s)
        self._enqueue(documents, owner, done)  # behind the first look: what changes from now on is noticed
        while True:
            await watcher.changed()
            await self.start(documents, owner)

    def _on_progress(self, progress: Progress) -> None:
        self._progress = progress


def remove(writer: IndexWriter, uploads: Uploads, owner: str, document_id: str, location: Path) -> None:
    """Takes a document or a failed file out; what was uploaded is deleted, other files stay and are not indexed again
    until they are named themselves.
    """
    at = location_of(location)
    held = writer.at(owner, document_id)
    uri = held[1].uri if held else ""
    if uploads.holds(location):
        location.unlink(missing_ok=True)
        writer.forget_absent(owner, [at])
    else:
        writer.set_absent(owner, at, Absent(document_id, uri, "removed", "", "", ""))
    if held:
        writer.remove([held[1]])


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


def _succeed(done: asyncio.Future[T], result: T) -> None:
    if not done.done():
        done.set_result(result)


def _fail(done: asyncio.Future[T], error: BaseException) -> None:
    if not done.done():
        done.set_exception(asyncio.CancelledError() if isinstance(error, CancelledError) else error)
        done.exception()  # whoever asked may have left
