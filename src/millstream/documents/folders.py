"""Which files there are: below folders, behind patterns, one by one."""

import glob
import os
import re
import stat
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import msgspec

from millstream.documents.formats import HEAD_BYTES, is_candidate, suffixes
from millstream.documents.worker import open_at_once
from millstream.errors import InputError

# A file that changed within this before it was looked at may change again and look the same: clocks of file systems
# are coarse.
_SETTLED_NS = 2_000_000_000
_ESCAPED_BYTE = re.compile(r"\\udc([89a-f][0-9a-f])")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_WILDCARDS = frozenset("*?[")

LEADS_OUT = (
    "This link leads out of the folder, and links are followed inside of it only. "
    "Put a copy of the file here, or name the place that it leads to as well."
)


class Root(msgspec.Struct, frozen=True):
    """A folder or file to be indexed, and the uri that it is shown under. With `takes_all` each file below the folder
    counts as named: somebody put it there on purpose, whatever it is.
    """

    path: Path
    uri: str
    takes_all: bool = False


class File(msgspec.Struct, frozen=True):
    """`status` is None for what is not there or cannot be looked at; `is_named`: it was asked for by its own name.
    A file with a `refusal` is not to be opened, and that is why.
    """

    path: Path
    uri: str
    status: os.stat_result | None
    is_named: bool
    refusal: str = ""

    @property
    def location(self) -> str:
        return location_of(self.path)

    @property
    def size(self) -> int:
        return self.status.st_size if self.status else 0

    @property
    def stamp(self) -> str:
        return stamp_of(self.status) if self.status else ""


class Listing(msgspec.Struct):
    """`unlisted` are folders that could not be read, with the reason: nothing below them is known to be deleted."""

    roots: list[Root] = []
    files: dict[str, File] = {}
    unlisted: list[tuple[Path, str, str]] = []
    ignored: int = 0

    def covers(self, location: str) -> bool:
        """Whether a file there would have been listed."""
        path = Path(location)
        return any(path.is_relative_to(location_of(root.path)) for root in self.roots) and not any(
            path.is_relative_to(location_of(folder)) for folder, _, _ in self.unlisted
        )


def expand(sources: Sequence[Path | Root]) -> list[Root]:
    """The sources with patterns (`*.pdf`, `**/notes`) replaced by what they match now.

    Raises InputError for what does not exist or matches nothing.
    """
    found: list[Path | Root] = []
    for source in sources:
        if isinstance(source, Root):
            found.append(source)
        elif not _WILDCARDS.isdisjoint(str(source)) and not source.exists():
            matches = [Path(match) for match in sorted(glob.glob(str(source), recursive=True))]
            if not matches:
                raise InputError(f"Nothing matches {str(source)!r}. Check the pattern and sync again.")
            found += matches
        else:
            found.append(source)
    return [source if isinstance(source, Root) else _existing(source) for source in found]


def list_files(
    roots: Sequence[Root], *, without: Path | None = None, indexed: Collection[str] = frozenset()
) -> Listing:
    """All files of these folders and files that may be documents, but those below `without` (the data folder).

    What is `indexed`, by its location, counts as named where its kind would be passed over: so it came in.
    """
    return _Walk(roots, without, indexed).listing


def is_where_it_was(path: Path, uri: str) -> bool:
    """Whether a document's file still lies in the folder that was synced, the one that `uri` begins with: somebody may
    have put a link in its place that leads elsewhere.
    """
    folder = path.parents[uri.count("/") - 1] if "/" in uri else path
    return path.is_file() and _target(path).is_relative_to(folder)


def stamp_of(status: os.stat_result) -> str:
    """Two equal stamps of a file mean that nobody has changed it in between."""
    return ".".join(map(str, (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)))


def is_settled(status: os.stat_result, now_ns: int) -> bool:
    return max(status.st_mtime_ns, status.st_ctime_ns) < now_ns - _SETTLED_NS


def location_of(path: Path) -> str:
    """The absolute path as text, which a file name need not be."""
    return str(path).encode("utf-8", "backslashreplace").decode("utf-8")


def path_of(location: str) -> Path:
    """`location_of` turned back."""
    return Path(_ESCAPED_BYTE.sub(lambda match: chr(0xDC00 + int(match[1], 16)), location))


def printable(name: str) -> str:
    """File names may hold bytes that are no text, line ends, and commands to a terminal; each becomes "?"."""
    return _CONTROL.sub("?", name.encode("utf-8", "replace").decode("utf-8"))


def _target(path: Path) -> Path:
    """Where `path` leads when all links are followed; one in a circle leads to itself."""
    return Path(os.path.realpath(path))


def _existing(source: Path) -> Root:
    try:
        path = source.resolve(strict=True)
    except (OSError, RuntimeError):
        raise InputError(f"There is no folder or file {str(source)!r}. Check its name and sync again.") from None
    return Root(path, path.name)


class _Walk:
    def __init__(self, roots: Sequence[Root], without: Path | None, indexed: Collection[str]) -> None:
        self._indexed = indexed
        self.listing = Listing(list(roots), {}, [])
        self._without = without
        self._targets = [_target(root.path) for root in roots]
        self._known_suffixes = suffixes()
        self._visited: set[tuple[int, int]] = set()  # folders, so that links in a circle come to an end
        for root in roots:
            if root.path.is_dir():
                self._enter(root)
            else:
                self._add(root.path, root.uri, True)

    def _enter(self, root: Root) -> None:
        waiting = [(root.path, root.uri)]
        while waiting:
            folder, uri = waiting.pop()
            try:
                status = folder.stat()
                entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
            except OSError as error:
                reason = f"This folder cannot be read: {error.strerror or 'unknown reason'}."
                self.listing.unlisted.append((folder, printable(uri), reason))
                continue
            if (status.st_dev, status.st_ino) in self._visited:
                continue
            self._visited.add((status.st_dev, status.st_ino))
            below = []
            for entry in entries:
                path, entry_uri = folder / entry.name, f"{uri}/{entry.name}" if uri else entry.name
                if entry.name.startswith(".") or path == self._without:
                    self.listing.ignored += 1
                elif entry.is_symlink() and self._leads_out(path):
                    refused = File(path, printable(entry_uri), None, False, LEADS_OUT)
                    self.listing.files.setdefault(refused.location, refused)
                elif _ask(entry.is_dir):
                    below.append((path, entry_uri))
                else:
                    self._add(path, entry_uri, root.takes_all)
            waiting += reversed(below)

    def _leads_out(self, link: Path) -> bool:
        """What is reached from a folder by a link but lies elsewhere was not meant to be shown, and may be a secret."""
        target = _target(link)
        return not any(target.is_relative_to(root) for root in self._targets)

    def _add(self, path: Path, uri: str, is_named: bool) -> None:
        try:
            status = path.stat()
        except OSError:
            status = None
        if not is_named and path.suffix.lower() not in self._known_suffixes and not _may_be_a_document(path, status):
            if location_of(path) not in self._indexed:
                self.listing.ignored += 1
                return
            is_named = True
        file = File(path, printable(uri), status, is_named)
        named = self.listing.files.get(file.location)
        if named is None:
            self.listing.files[file.location] = file
        elif is_named:
            self.listing.files[file.location] = msgspec.structs.replace(named, is_named=True)


def _ask(question: Callable[[], bool]) -> bool:
    try:
        return question()
    except OSError:  # a link in a circle: it is neither
        return False


def _may_be_a_document(path: Path, status: os.stat_result | None) -> bool:
    if status is None or not stat.S_ISREG(status.st_mode):
        return False
    try:
        with open(path, "rb", opener=open_at_once) as stream:
            return is_candidate(stream.read(HEAD_BYTES), path.name)
    except OSError:
        return False
