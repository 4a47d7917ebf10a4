"""The reading processes: started when there is something to read, replaced when a file has ended one."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import msgspec

from millstream.documents.limits import CLOCK_FACTOR, Limits
from millstream.documents.worker import LENGTH, Answer, Ask, Orders, Reading, Refusal, pack, too_large_for

DEFAULT_LIMITS = Limits()
DEFAULT_PROCESSES = min(4, os.cpu_count() or 1)
_GRACE_S = 5.0
# What a reading process needs of its parent's environment: nothing that holds a secret.
_ENVIRONMENT = ("PATH", "PYTHONHOME", "LANG", "LC_ALL", "VIRTUAL_ENV", "TMPDIR", "LD_LIBRARY_PATH")


class Readers(Protocol):
    """Reads files, `processes` at a time."""

    @property
    def limits(self) -> Limits: ...

    @property
    def processes(self) -> int: ...

    def submit(self, path: Path, name: str) -> Future[Answer]:
        """The file's text and passages, or why there are none. Fails only with CancelledError, when they close."""
        ...


class ReaderPool:
    """`processes` files are read at a time. One pool may be used by many threads."""

    def __init__(
        self, limits: Limits = DEFAULT_LIMITS, processes: int = DEFAULT_PROCESSES, modules: Sequence[str] = ()
    ) -> None:
        self.limits = limits
        self.processes = processes
        self._orders = pack(Orders(limits, tuple(modules)))
        self._threads = ThreadPoolExecutor(processes, "millstream-reader")
        self._idle: list[subprocess.Popen[bytes]] = []
        self._busy: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._is_closed = False

    def submit(self, path: Path, name: str) -> Future[Answer]:
        """See `Readers.submit`."""
        return self._threads.submit(self._read, path, name)

    def read(self, path: Path, name: str) -> Answer:
        return self.submit(path, name).result()

    @property
    def is_busy(self) -> bool:
        return bool(self._busy)

    def rest(self) -> None:
        """Ends the idle processes, which hold memory; others are started when there is something to read."""
        with self._lock:
            idle, self._idle = self._idle, []
        for process in idle:
            _end(process)

    def close(self) -> None:
        """Gives up what is being read and what waits for its turn."""
        with self._lock:
            self._is_closed = True
            for process in self._busy:
                process.kill()
        self._threads.shutdown(cancel_futures=True)
        self.rest()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self, path: Path, name: str) -> Answer:
        ask = pack(Ask(os.fsencode(path), name.encode("utf-8", "replace").decode()))
        answer, status = self._attempt(ask)
        if answer is None and status == -signal.SIGKILL:  # from outside, perhaps not on this file's account
            answer, status = self._attempt(ask, fresh=True)
        return answer or Refusal(self._why_it_died(status), False, True)

    def _attempt(self, ask: bytes, *, fresh: bool = False) -> tuple[Answer | None, int]:
        """The answer, or how the process ended instead of answering."""
        process = self._take(fresh=fresh)
        try:
            answer = _exchange(process, ask, self.limits.seconds * CLOCK_FACTOR + _GRACE_S)
        except TimeoutError:  # it keeps its own time; this is for one that has lost even that
            process.kill()
            self._give_back(process, is_usable=False)
            return None, -signal.SIGALRM
        except OSError:  # it has ended while nothing was asked of it
            answer = None
        self._give_back(process, is_usable=answer is not None and not answer.is_last)
        if self._is_closed:
            raise CancelledError
        return answer, process.returncode or 0

    def _take(self, *, fresh: bool = False) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._is_closed:
                raise CancelledError
            process = self._start() if fresh or not self._idle else self._idle.pop()
            self._busy.add(process)
        return process

    def _give_back(self, process: subprocess.Popen[bytes], *, is_usable: bool) -> None:
        with self._lock:
            self._busy.discard(process)
            if is_usable:
                self._idle.append(process)
        if not is_usable:
            _end(process)

    def _start(self) -> subprocess.Popen[bytes]:
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        # It imports what we can import, and nothing that happens to lie in the working folder (-P).
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "millstream.documents.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        assert process.stdin is not None
        process.stdin.write(self._orders)
        process.stdin.flush()
        return process

    def _why_it_died(self, status: int) -> str:
        limits = self.limits
        if status in (-signal.SIGPROF, -signal.SIGALRM):
            limit = f"{limits.seconds:g} seconds, which is the limit (MILLSTREAM_READ_SECONDS)"
            return f"Reading it takes longer than {limit}."
        if status == -signal.SIGKILL:
            return too_large_for(limits)
        return (
            "It is damaged, or takes more memory than the limit (MILLSTREAM_READ_MEMORY_MB): "
            "the process that read it came to a sudden end."
        )


class ReadAhead:
    """`Readers` that have begun with one file; whoever submits it gets that answer, unless it has changed meanwhile."""

    def __init__(self, readers: Readers, path: Path) -> None:
        self.limits = readers.limits
        self.processes = readers.processes
        self._readers = readers
        self._facts = _facts(path)
        self.answer = readers.submit(path, path.name)

    def submit(self, path: Path, name: str) -> Future[Answer]:
        """See `Readers.submit`."""
        return self.answer if _facts(path) == self._facts else self._readers.submit(path, name)


def _facts(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def _exchange(process: subprocess.Popen[bytes], ask: bytes, timeout_s: float) -> Answer | None:
    """None when it ends instead of answering; OSError when it had ended before, TimeoutError when it does neither."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(ask)
    process.stdin.flush()
    answered = select.poll()
    answered.register(process.stdout, select.POLLIN)
    if not answered.poll(timeout_s * 1000):
        raise TimeoutError
    head = process.stdout.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    length = LENGTH.unpack(head)[0]
    body = process.stdout.read(length)
    return msgspec.msgpack.decode(body, type=Reading | Refusal) if len(body) == length else None


def _end(process: subprocess.Popen[bytes]) -> None:
    """Closing its input ends an idle process; one that does not is killed."""
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
    process.stdout.close()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
