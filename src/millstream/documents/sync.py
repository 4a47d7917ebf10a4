"""Bring the index in step with folders and files: new and changed ones in, deleted ones out, the rest untouched."""

import contextlib
import itertools
import os
import stat
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from hashlib import sha256
from pathlib import Path
from typing import Literal

import msgspec

from millstream.documents import Document, UnreadableDocument
from millstream.documents.folders import File, Listing, Root, expand, is_settled, list_files, path_of, printable
from millstream.documents.formats import title_from_name
from millstream.documents.limits import Limits
from millstream.documents.pool import ReaderPool, Readers
from millstream.documents.split import SPLIT_VERSION
from millstream.documents.worker import (
    Answer,
    Reading,
    Refusal,
    cannot_be_opened,
    check_regular,
    open_at_once,
    too_long,
)
from millstream.search.sqlite import SqliteIndex
from millstream.search.writer import Absent, FileFacts, IndexWriter, Known

READ_VERSION = 3  # a new number makes every document be read anew at its next sync
_HASH_BYTES = 1 << 20
_AHEAD = 2  # files in the making for each reading process: so many texts are in memory at most

Outcome = Literal["added", "changed", "unchanged", "renamed", "removed", "failed", "ignored"]


class Failure(msgspec.Struct, frozen=True):
    """`uri` names the file as the index would; `reason` is a sentence for a person."""

    uri: str
    reason: str


class Progress(msgspec.Struct, frozen=True):
    """File `done` of `total` has been dealt with; so have `bytes_done` of `bytes_total`, in `elapsed_s` seconds.

    `reason` says why it failed, or what of it could not be read.
    """

    done: int
    total: int
    uri: str
    outcome: Outcome
    reason: str = ""
    pages: int = 0
    bytes_done: int = 0
    bytes_total: int = 0
    elapsed_s: float = 0.0

    @property
    def seconds_left(self) -> float | None:
        """An estimate by bytes, once there is something to estimate by."""
        if self.bytes_done <= 0 or self.elapsed_s < 1:
            return None
        return self.elapsed_s * (self.bytes_total - self.bytes_done) / self.bytes_done


class Report(msgspec.Struct):
    """What a sync did, in files; `ignored` are hidden files, formats that are not supported, and files that a person
    removed from the index. `passages` and `pages` are those of added and changed files; `reading_s` is the CPU time
    that reading them took.
    """

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    renamed: int = 0
    removed: int = 0
    ignored: int = 0
    passages: int = 0
    pages: int = 0
    reading_s: float = 0.0
    failed: list[Failure] = msgspec.field(default_factory=list)


def sync(
    sources: Sequence[Path | Root],
    index: SqliteIndex,
    owner: str = "local",
    on_progress: Callable[[Progress], None] = lambda progress: None,
    *,
    pool: ReaderPool | None = None,
    again: bool = False,
    interlude: Callable[[IndexWriter], None] = lambda writer: None,
) -> Report:
    """Indexes the documents of these folders (with all below them), patterns and files for `owner`.

    Blocks, for minutes with many documents: call it in a thread beside an event loop. Each document is replaced at once
    for every reader; stopping half-way leaves a sound index, and the next sync goes on. A document that cannot be read
    is reported, and what the index held of it stays. Only documents below `sources` are ever removed. With `again`,
    files are read though they have not changed. `interlude` is called between files and may write too. Without a
    `pool`, reading processes are started with the default limits and ended at the end.
    Raises InputError when a source does not exist, Conflict when another sync is writing the index.
    """
    roots = expand(sources)
    with contextlib.ExitStack() as stack:
        writer = stack.enter_context(index.writer())
        pool = pool or stack.enter_context(ReaderPool())
        return sync_with(writer, roots, index.path.parent, owner, on_progress, pool, again=again, interlude=interlude)


def sync_with(
    writer: IndexWriter,
    roots: Sequence[Root],
    data_folder: Path,
    owner: str,
    on_progress: Callable[[Progress], None],
    pool: Readers,
    *,
    again: bool = False,
    interlude: Callable[[IndexWriter], None] = lambda writer: None,
) -> Report:
    """`sync` for whoever has the writer already; what lies in `data_folder` is no document."""
    return _Sync(writer, owner, on_progress, pool, again, interlude).run(roots, data_folder)


class _Decided(msgspec.Struct, frozen=True):
    """What became of a file, and why, or what of it could not be read."""

    outcome: Outcome
    reason: str = ""


class _Waiting(msgspec.Struct, frozen=True):
    file: File
    digest: bytes
    answer: Future[Answer]


class _Sync:
    def __init__(
        self,
        writer: IndexWriter,
        owner: str,
        on_progress: Callable[[Progress], None],
        pool: Readers,
        again: bool,
        interlude: Callable[[IndexWriter], None],
    ) -> None:
        self._writer = writer
        self._owner = owner
        self._on_progress = on_progress
        self._pool = pool
        self._again = again
        self._interlude = interlude
        self._report = Report()
        self._begun = time.monotonic()
        self._done = 0
        self._bytes_done = 0

    def run(self, roots: Sequence[Root], data_folder: Path) -> Report:
        self._known = self._writer.known(self._owner)
        listing = list_files(roots, without=data_folder, indexed=self._known.keys())
        self._report.ignored = listing.ignored
        self._absent = self._writer.absent(self._owner)
        self._keep_uris(listing)
        self._total = len(listing.files)
        self._bytes_total = sum(file.size for file in listing.files.values())
        self._gone = self._without_file(listing, self._known)
        for _, uri, reason in listing.unlisted:
            self._report.failed.append(Failure(uri, reason))
            self._on_progress(self._progress(uri, _Decided("failed", reason)))
        for file, decided in self._in_order(iter(listing.files.values())):
            self._tell(file, decided)
            self._interlude(self._writer)
        self._remove(listing)
        return self._report

    def _in_order(self, files: Iterator[File]) -> Iterator[tuple[File, _Decided]]:
        """Each file with what became of it. While one is written, the next ones are being read."""
        waiting: deque[_Waiting | tuple[File, _Decided]] = deque()
        for file in itertools.chain(files, (None,)):
            if file is not None:
                waiting.append(self._begin(file))
            reading = sum(isinstance(one, _Waiting) for one in waiting)
            while waiting and (file is None or reading >= _AHEAD * self._pool.processes or self._is_done(waiting[0])):
                first = waiting.popleft()
                if isinstance(first, _Waiting):
                    reading -= 1
                    yield first.file, self._finish(first)
                else:
                    yield first

    @staticmethod
    def _is_done(one: "_Waiting | tuple[File, _Decided]") -> bool:
        return not isinstance(one, _Waiting) or one.answer.done()

    def _begin(self, file: File) -> "_Waiting | tuple[File, _Decided]":
        """Decides by what is known, by the file's stamp or its content; else has it read."""
        location = file.location
        known, absent = self._known.get(location), self._absent.get(location)
        if absent is not None and absent.state == "removed" and not file.is_named:
            self._report.ignored += 1
            return file, _Decided("ignored")
        if file.refusal:
            return file, self._refused(file)
        stamp = self._stamp(file)
        if known and not self._again and known.stamp and known.stamp == stamp and absent is None:
            return file, self._unchanged(file, known, stamp)
        try:
            digest = _digest(file, self._pool.limits)
        except UnreadableDocument as error:
            return file, self._failed(file, str(error), b"")
        except OSError as error:
            return file, self._failed(file, cannot_be_opened(error), b"")
        version = _version(digest)
        if not self._again:
            if known and known.version == version:
                return file, self._unchanged(file, known, stamp)
            if known is None and (moved := self._moved(version)) is not None:
                return file, self._renamed(file, moved, stamp)
            if absent is not None and absent.state == "failed" and absent.version == self._attempt(digest):
                return file, self._failed(file, absent.reason, digest)
        return _Waiting(file, digest, self._pool.submit(file.path, file.path.name))

    def _finish(self, waiting: _Waiting) -> _Decided:
        file, answer = waiting.file, waiting.answer.result()
        if isinstance(answer, Refusal):
            if answer.is_unsupported and not file.is_named:
                self._report.ignored += 1
                return _Decided("ignored")
            return self._failed(file, answer.reason, waiting.digest)
        return self._write(file, answer)

    def _write(self, file: File, reading: Reading) -> _Decided:
        known = self._known.get(file.location)
        status = file.status
        facts = FileFacts(
            reading.format, file.size, status.st_mtime_ns // 1_000_000 if status else 0, self._settled_stamp(file)
        )
        document = Document(reading.title, reading.text, reading.pages, reading.remark)
        self._report.passages += self._writer.replace(
            self._owner, file.location, file.uri, _version(reading.digest), document, reading.chunks, facts
        )
        self._report.pages += len(reading.pages)
        self._report.reading_s += reading.cpu_s
        if known:
            self._report.changed += 1
            return _Decided("changed", reading.remark)
        self._report.added += 1
        return _Decided("added", reading.remark)

    def _unchanged(self, file: File, known: Known, stamp: str) -> _Decided:
        stamp = self._settled_stamp(file) if known.stamp != stamp else stamp
        if (known.uri, known.stamp) != (file.uri, stamp) or file.location in self._absent:
            self._writer.rename(known, self._owner, file.location, file.uri, known.title, stamp)
        self._report.unchanged += 1
        return _Decided("unchanged")

    def _keep_uris(self, listing: Listing) -> None:
        """A file that is named itself stays below the folder that it was indexed with."""
        for location, file in listing.files.items():
            held = self._known.get(location) or self._absent.get(location)
            if file.is_named and held is not None:
                listing.files[location] = msgspec.structs.replace(file, uri=held.uri)

    def _moved(self, version: str) -> tuple[str, Known] | None:
        """A document whose file is gone and whose content was this one's: the file has another name now."""
        if candidates := self._gone.get(version):
            return candidates.pop()
        elsewhere = self._elsewhere.get(version)
        while elsewhere:
            location = elsewhere.pop()
            if not os.path.lexists(path_of(location)):
                return location, self._known[location]
        return None

    def _renamed(self, file: File, moved: tuple[str, Known], stamp: str) -> _Decided:
        location, known = moved
        named_after_file = known.title == printable(title_from_name(Path(location).name))
        title = printable(title_from_name(file.path.name)) if named_after_file else known.title
        self._writer.rename(known, self._owner, file.location, file.uri, title, self._settled_stamp(file))
        del self._known[location]
        self._report.renamed += 1
        return _Decided("renamed")

    def _refused(self, file: File) -> _Decided:
        """Unlike that of a file that became unreadable, what the index holds of it does not stay."""
        known = self._known.pop(file.location, None)
        if known:
            self._writer.remove([known])
        return self._failed(file, file.refusal, b"")

    def _failed(self, file: File, reason: str, digest: bytes) -> _Decided:
        known = self._known.get(file.location)
        document_id = known.document_id if known else self._writer.document_id(self._owner, file.location)
        absent = Absent(document_id, file.uri, "failed", self._attempt(digest), "", reason)
        if self._absent.get(file.location) != absent:
            self._writer.set_absent(self._owner, file.location, absent)
        return _Decided("failed", reason)

    def _attempt(self, digest: bytes) -> str:
        """The same content under the same limits fails for the same reason, and is not tried again."""
        return sha256(_version(digest).encode() + msgspec.json.encode(self._pool.limits)).hexdigest() if digest else ""

    def _stamp(self, file: File) -> str:
        return f"{READ_VERSION}.{SPLIT_VERSION}.{file.stamp}"

    def _settled_stamp(self, file: File) -> str:
        """Empty for a file that has changed just now: the next sync looks at its content."""
        return self._stamp(file) if file.status and is_settled(file.status, self._looked_ns) else ""

    def _without_file(self, listing: Listing, known: dict[str, Known]) -> dict[str, list[tuple[str, Known]]]:
        """Version → the documents that have lost their file. Of those outside of the listing nobody knows yet whether
        they have: a folder may have been renamed.
        """
        self._looked_ns = time.time_ns()
        self._elsewhere: dict[str, list[str]] = defaultdict(list)
        gone: dict[str, list[tuple[str, Known]]] = defaultdict(list)
        for location, document in known.items():
            if location in listing.files:
                continue
            if listing.covers(location):
                gone[document.version].append((location, document))
            else:
                self._elsewhere[document.version].append(location)
        return gone

    def _remove(self, listing: Listing) -> None:
        deleted = [document for documents in self._gone.values() for _, document in documents]
        self._writer.remove(deleted)
        self._report.removed = len(deleted)
        self._writer.forget_absent(
            self._owner,
            [location for location in self._absent if location not in listing.files and listing.covers(location)],
        )
        for document in deleted:
            self._on_progress(self._progress(document.uri, _Decided("removed")))

    def _tell(self, file: File, decided: _Decided) -> None:
        self._done += 1
        self._bytes_done += file.size
        if decided.outcome == "failed":
            self._report.failed.append(Failure(file.uri, decided.reason))
        self._on_progress(self._progress(file.uri, decided))

    def _progress(self, uri: str, decided: _Decided) -> Progress:
        return Progress(
            self._done,
            self._total,
            uri,
            decided.outcome,
            decided.reason,
            self._report.pages,
            self._bytes_done,
            self._bytes_total,
            time.monotonic() - self._begun,
        )


def _version(digest: bytes) -> str:
    return sha256(b"%d.%d\n" % (READ_VERSION, SPLIT_VERSION) + digest).hexdigest()


def _digest(file: File, limits: Limits) -> bytes:
    """SHA-256 of the content. Raises UnreadableDocument before reading what would not be read anyway, and OSError."""
    if file.status is not None and not stat.S_ISREG(file.status.st_mode):
        raise UnreadableDocument("It is not a regular file.")
    if file.size > limits.file_mb * 1e6:
        raise UnreadableDocument(too_long(limits))
    digest = sha256()
    with open(file.path, "rb", opener=open_at_once) as stream:
        check_regular(stream.fileno())
        while piece := stream.read(_HASH_BYTES):
            digest.update(piece)
    return digest.digest()
