"""Bring the index in step with folders and files: new and changed ones in, deleted ones out, the rest untouched."""

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Literal

import msgspec

from millstream.documents import UnreadableDocument
from millstream.documents.read import READERS, read_document
from millstream.documents.split import SPLIT_VERSION, split
from millstream.errors import InputError
from millstream.search.sqlite import SqliteIndex
from millstream.search.writer import IndexWriter, Known

MAX_FILE_BYTES = 100_000_000

Outcome = Literal["added", "changed", "unchanged", "removed", "failed"]


class Failure(msgspec.Struct, frozen=True):
    """`uri` names the file as the index would; `reason` is a sentence for a person."""

    uri: str
    reason: str


class Progress(msgspec.Struct, frozen=True):
    """File `done` of `total` has been dealt with."""

    done: int
    total: int
    uri: str
    outcome: Outcome


class Report(msgspec.Struct):
    """What a sync did, in files; `ignored` are hidden files and formats that are not supported.

    `passages` and `pages` are those of added and changed files.
    """

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    ignored: int = 0
    passages: int = 0
    pages: int = 0
    failed: list[Failure] = msgspec.field(default_factory=list)


class _File(msgspec.Struct, frozen=True):
    path: Path
    uri: str


def sync(
    sources: Sequence[Path],
    index: SqliteIndex,
    owner: str = "local",
    on_progress: Callable[[Progress], None] = lambda progress: None,
    *,
    max_file_bytes: int = MAX_FILE_BYTES,
) -> Report:
    """Indexes the documents of these folders (with all below them) and files for `owner`.

    Blocks, for minutes with many documents: call it in a thread beside an event loop. Each document is replaced at once
    for every reader; stopping half-way leaves a sound index. A document that cannot be read is reported, and what the
    index held of it stays. Only documents below `sources` are ever removed.
    Raises InputError when a source does not exist, Conflict when another sync is writing the index.
    """
    roots = [_existing(source) for source in sources]
    with index.writer() as writer:
        return _Sync(writer, owner, on_progress, max_file_bytes).run(roots)


def _existing(source: Path) -> Path:
    try:
        root = source.resolve(strict=True)
    except (OSError, RuntimeError):
        raise InputError(f"There is no folder or file {str(source)!r}. Check its name and sync again.") from None
    if root.is_file() and root.suffix.lower() not in READERS:
        raise InputError(
            f"The format of {root.name!r} is not supported. Supported are {', '.join(sorted(READERS))} files, "
            "and folders with such files in them."
        )
    return root


class _Sync:
    def __init__(
        self, writer: IndexWriter, owner: str, on_progress: Callable[[Progress], None], max_file_bytes: int
    ) -> None:
        self._writer = writer
        self._owner = owner
        self._on_progress = on_progress
        self._max_file_bytes = max_file_bytes
        self._report = Report()
        self._visited: set[tuple[int, int]] = set()  # folders, so that links in a circle come to an end
        self._unlisted: list[Path] = []  # folders that could not be read: nothing below them is known to be deleted

    def run(self, roots: Sequence[Path]) -> Report:
        files = {_location(file.path): file for root in roots for file in self._files(root)}
        known = self._writer.known(self._owner)
        for done, (location, file) in enumerate(files.items(), 1):
            try:
                outcome = self._update(file, location, known.get(location))
            except UnreadableDocument as error:
                outcome = self._failed(file.uri, str(error))
            except OSError as error:
                outcome = self._failed(file.uri, f"It cannot be opened: {error.strerror or 'unknown reason'}.")
            self._on_progress(Progress(done, len(files), file.uri, outcome))
        deleted = {
            location: document
            for location, document in known.items()
            if location not in files and self._is_deleted(Path(location), roots)
        }
        self._writer.remove(list(deleted.values()))
        self._report.removed = len(deleted)
        for document in deleted.values():
            self._on_progress(Progress(len(files), len(files), document.uri, "removed"))
        return self._report

    def _files(self, root: Path) -> Iterator[_File]:
        if root.is_file():
            yield _File(root, _printable(root.name))
        else:
            yield from self._walk(root, root.name)

    def _walk(self, folder: Path, uri: str) -> Iterator[_File]:
        try:
            status = folder.stat()
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            self._unlisted.append(folder)
            self._failed(uri, f"This folder cannot be read: {error.strerror or 'unknown reason'}.")
            return
        if (status.st_dev, status.st_ino) in self._visited:
            return
        self._visited.add((status.st_dev, status.st_ino))
        for entry in entries:
            path, entry_uri = folder / entry.name, f"{uri}/{entry.name}" if uri else entry.name
            if entry.name.startswith("."):
                self._report.ignored += 1
            elif entry.is_dir():
                yield from self._walk(path, entry_uri)
            elif path.suffix.lower() not in READERS:
                self._report.ignored += 1
            else:
                yield _File(path, _printable(entry_uri))

    def _update(self, file: _File, location: str, known: Known | None) -> Outcome:
        data = self._read(file.path)
        version = sha256(b"%d\n" % SPLIT_VERSION + data).hexdigest()
        if known and known.version == version:
            if known.uri != file.uri:
                self._writer.rename(known, file.uri)
            self._report.unchanged += 1
            return "unchanged"
        document = read_document(data, file.path.name)
        self._report.passages += self._writer.replace(
            self._owner, location, file.uri, version, document, split(document)
        )
        self._report.pages += len(document.pages)
        if known:
            self._report.changed += 1
            return "changed"
        self._report.added += 1
        return "added"

    def _read(self, path: Path) -> bytes:
        with open(path, "rb", opener=_open_at_once) as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise UnreadableDocument("It is not a regular file.")
            data = stream.read(self._max_file_bytes + 1)
        if len(data) > self._max_file_bytes:
            raise UnreadableDocument(f"It is larger than {self._max_file_bytes / 1e6:g} MB, which is the limit.")
        return data

    def _failed(self, uri: str, reason: str) -> Outcome:
        self._report.failed.append(Failure(_printable(uri), reason))
        return "failed"

    def _is_deleted(self, location: Path, roots: Sequence[Path]) -> bool:
        return any(location.is_relative_to(_location(root)) for root in roots) and not any(
            location.is_relative_to(_location(folder)) for folder in self._unlisted
        )


def _open_at_once(path: str, flags: int) -> int:
    """Opening a named pipe would wait for somebody to write into it."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _location(path: Path) -> str:
    """The absolute path as text, which a file name need not be."""
    return str(path).encode("utf-8", "backslashreplace").decode("utf-8")


def _printable(uri: str) -> str:
    """File names may hold bytes that are no text; they become "?"."""
    return uri.encode("utf-8", "replace").decode("utf-8")
