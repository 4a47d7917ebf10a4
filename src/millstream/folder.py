"""The data folder of the embedded default: made, checked, and locked by the one process that serves it."""

import fcntl
import os
from pathlib import Path

import msgspec

from millstream.errors import ConfigurationError

LOCK_FILE = "serve.lock"
# SQLite's locks and shared memory do not work reliably over these.
NETWORK_FILE_SYSTEMS = frozenset(
    {
        "nfs",
        "nfs4",
        "cifs",
        "smb",
        "smb2",
        "smb3",
        "smbfs",
        "9p",
        "afs",
        "ceph",
        "fuse.sshfs",
        "fuse.glusterfs",
        "lustre",
    }
)
_MOUNTS = Path("/proc/self/mounts")


class Serving(msgspec.Struct, omit_defaults=True):
    """What the lock file says of the process that holds the lock. `url` when it listens."""

    pid: int
    url: str | None = None


class DataFolder:
    """`lock` proves that no other process serves this folder: older leases are dead."""

    def __init__(self, path: Path) -> None:
        """Makes the folder, for its owner only. Raises ConfigurationError."""
        self.path = path
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"The data folder {path} cannot be made: {error.strerror}. Set MILLSTREAM_DATA to one that can."
            ) from error
        kind = file_system(path)
        if kind in NETWORK_FILE_SYSTEMS:
            raise ConfigurationError(
                f"The data folder {path} is on a network file system ({kind}), where SQLite loses data. "
                "Set MILLSTREAM_DATA to a folder on a local disk."
            )
        self._lock: int | None = None

    def lock(self) -> None:
        """Raises ConfigurationError when another process serves this folder."""
        try:
            lock = os.open(self.path / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigurationError(
                f"The data folder {self.path} cannot be written: {error.strerror}. Set MILLSTREAM_DATA to one that can."
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            other = serving(self.path)
            process = f"process {other.pid}" if other else "unknown process"
            where = f" at {other.url}" if other and other.url else ""
            raise ConfigurationError(
                f"Another Millstream ({process}{where}) serves the data folder {self.path}. "
                "With SQLite there is one server process: use that one, or set MILLSTREAM_DATA to another folder."
            ) from error
        self._lock = lock
        try:
            self.announce(None)
        except OSError as error:
            self.unlock()
            raise ConfigurationError(f"The data folder {self.path} cannot be written: {error.strerror}.") from error

    def announce(self, url: str | None) -> None:
        """Writes who serves this folder, and where, for other commands to find."""
        if self._lock is not None:
            os.ftruncate(self._lock, 0)
            os.pwrite(self._lock, msgspec.json.encode(Serving(os.getpid(), url)), 0)

    def unlock(self) -> None:
        if self._lock is not None:
            os.ftruncate(self._lock, 0)
            os.close(self._lock)
            self._lock = None


def serving(path: Path) -> Serving | None:
    """The process that serves the folder now, if one does."""
    try:
        lock = os.open(path / LOCK_FILE, os.O_RDWR)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        try:
            return msgspec.json.decode(os.pread(lock, 4096, 0), type=Serving)
        except msgspec.DecodeError:
            return None
    finally:
        os.close(lock)
    return None


def file_system(path: Path) -> str | None:
    """The type of the file system that holds `path`, where the system tells (Linux)."""
    try:
        mounts = _MOUNTS.read_text().splitlines()
    except OSError:
        return None
    target = path.resolve()
    best, kind = -1, None
    for line in mounts:
        _, mount, this, *_ = line.split(" ")
        mount = mount.replace("\\040", " ")
        if target.is_relative_to(mount) and len(mount) >= best:
            best, kind = len(mount), this
    return kind
