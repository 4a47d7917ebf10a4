"""Files that people send: kept below the data folder, one folder for each owner, under names that are safe."""

import contextlib
import os
import re
import secrets
import shutil
import threading
import unicodedata
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from millstream.errors import Conflict, InputError

FOLDER = "uploads"
_OWNER = ".owner"
_INCOMING = ".incoming-"
_MAX_NAME_BYTES = 120
_MAX_SUFFIX_BYTES = 12
_UNSAFE = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*\u202a-\u202e\u2066-\u2069]')


class Uploads:
    """The folder `uploads` in the data folder. It is made with the first upload."""

    def __init__(self, data: Path) -> None:
        self._root = data.resolve() / FOLDER
        self._keeping = threading.Lock()

    def folder(self, owner: str) -> Path:
        return self._root / sha256(owner.encode()).hexdigest()[:32]

    def owners(self) -> dict[str, Path]:
        """Who has uploaded something → their folder."""
        if not self._root.is_dir():
            return {}
        marks = sorted(self._root.glob(f"*/{_OWNER}"))
        return {mark.read_text(): mark.parent for mark in marks}

    def count(self, owner: str) -> int:
        return len(self._names(owner))

    def path(self, owner: str, name: str) -> Path:
        """Where an upload of this name is kept; the same name is the same document. Raises InputError."""
        return self.folder(owner) / safe_name(name)

    def holds(self, location: Path) -> bool:
        return location.is_relative_to(self._root)

    @contextlib.contextmanager
    def receiving(self, owner: str) -> Iterator[tuple[Path, BinaryIO]]:
        """A file to write an upload into; unless it is `keep`-t, it is deleted at the end."""
        folder = self.folder(owner)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / _OWNER).write_text(owner)
        path = folder / f"{_INCOMING}{secrets.token_hex(8)}"
        try:
            with open(path, "xb") as stream:
                yield path, stream
        finally:
            path.unlink(missing_ok=True)

    def keep(self, received: Path, owner: str, name: str, most: int) -> Path:
        """Puts a received file in its place, whole and at once. Raises Conflict when it would be one of more than
        `most`, however many are received at a time.
        """
        path = self.path(owner, name)
        with self._keeping:
            if not path.exists() and self.count(owner) >= most:
                raise too_many_uploads(most)
            os.replace(received, path)
        return path

    def clean(self) -> None:
        """Removes what a server that died was receiving."""
        for received in self._root.glob(f"*/{_INCOMING}*"):
            received.unlink(missing_ok=True)

    def free_bytes(self) -> int:
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        return shutil.disk_usage(self._root).free

    def _names(self, owner: str) -> list[str]:
        try:
            return [name for name in os.listdir(self.folder(owner)) if not name.startswith(".")]
        except FileNotFoundError:
            return []


def too_many_uploads(most: int) -> Conflict:
    return Conflict(
        f"There are {most} uploads, which is the limit (MILLSTREAM_UPLOADS): remove some.", code="too-many-uploads"
    )


def safe_name(name: str) -> str:
    """The last part of `name` as a file may be called on any system. Raises InputError when nothing is left of it.

    Where something had to be changed, a few letters of a hash keep two names apart.
    """
    normal = unicodedata.normalize("NFC", name.encode("utf-8", "replace").decode())
    base = PurePosixPath(normal.replace("\\", "/")).name
    kept = _UNSAFE.sub("_", base).strip(" .")
    if not kept.strip("_"):
        raise InputError("A file needs a name, such as `handbook.pdf`.", code="no-name")
    if kept == base and len(kept.encode()) <= _MAX_NAME_BYTES:
        return kept
    mark = sha256(base.encode()).hexdigest()[:6]
    suffix = PurePosixPath(kept).suffix
    if len(suffix.encode()) > _MAX_SUFFIX_BYTES:
        suffix = ""
    room = _MAX_NAME_BYTES - len(mark) - 1 - len(suffix.encode())
    stem = kept.removesuffix(suffix).encode()[:room].decode("utf-8", "ignore")
    return f"{stem}-{mark}{suffix}"
