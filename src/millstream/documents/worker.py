"""The process that reads files, one after the other: whatever a file does to it, the server does not notice.

It is asked on standard input and answers on standard output, each message led by its length. Its limits are set before
anything is read. A file that takes too long is ended by the system (SIGPROF, SIGALRM), also inside of a library.
"""

import os
import resource
import signal
import stat
import struct
import sys
import time
from hashlib import sha256
from importlib import import_module
from typing import BinaryIO

import msgspec

from millstream.documents import Source, UnreadableDocument, UnsupportedDocument
from millstream.documents.formats import read_document
from millstream.documents.limits import CLOCK_FACTOR, Limits
from millstream.documents.split import Chunk, split

LENGTH = struct.Struct("!Q")
_NICENESS = 5  # answering people comes before reading files


class Orders(msgspec.Struct, frozen=True):
    """The first message: what holds for all files. `modules` register formats when they are imported."""

    limits: Limits
    modules: tuple[str, ...] = ()


class Ask(msgspec.Struct, frozen=True, tag=True):
    path: bytes
    name: str


class Reading(msgspec.Struct, frozen=True, tag=True):
    """A file that was read. `digest` is the SHA-256 of the bytes that were; `cpu_s` what it took.

    `remark` says what of it was not.
    """

    digest: bytes
    format: str
    title: str
    text: str
    pages: tuple[int, ...]
    remark: str
    chunks: list[Chunk]
    cpu_s: float
    is_last: bool  # the process ends behind it, because this file has made it large


class Refusal(msgspec.Struct, frozen=True, tag=True):
    """A file that was not read. `is_unsupported`: it is of a kind that nobody reads."""

    reason: str
    is_unsupported: bool
    is_last: bool


Answer = Reading | Refusal


def main() -> None:
    """Answers until its standard input ends."""
    asked, answered = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not look like an answer
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business; it closes our input
    orders = msgspec.msgpack.decode(_receive(asked) or b"", type=Orders)
    _confine(orders.limits)
    for module in orders.modules:
        import_module(module)
    while (message := _receive(asked)) is not None:
        ask = msgspec.msgpack.decode(message, type=Ask)
        answer = _answer(ask, orders.limits)
        try:
            answered.write(pack(answer))
            answered.flush()
        except BrokenPipeError:
            return
        if answer.is_last:
            return


def pack(message: msgspec.Struct) -> bytes:
    body = msgspec.msgpack.encode(message)
    return LENGTH.pack(len(body)) + body


def _receive(stream: BinaryIO) -> bytes | None:
    head = stream.read(LENGTH.size)
    return stream.read(LENGTH.unpack(head)[0]) if len(head) == LENGTH.size else None


def _confine(limits: Limits) -> None:
    memory = limits.memory_mb * 1_000_000
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(_NICENESS)


def _answer(ask: Ask, limits: Limits) -> Answer:
    signal.setitimer(signal.ITIMER_PROF, limits.seconds)
    signal.setitimer(signal.ITIMER_REAL, limits.seconds * CLOCK_FACTOR)
    begun = time.process_time()
    try:
        return _read(ask, limits, begun)
    except UnreadableDocument as error:
        return Refusal(str(error), isinstance(error, UnsupportedDocument), _is_large(limits))
    except OSError as error:
        return Refusal(cannot_be_opened(error), False, False)
    except MemoryError:
        return Refusal(too_large_for(limits), False, True)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


def _read(ask: Ask, limits: Limits, begun: float) -> Reading:
    data = _bytes_of(ask.path, limits)
    document, format = read_document(Source(data, ask.name, limits))
    chunks = list(split(document))
    return Reading(
        sha256(data).digest(),
        format.name,
        document.title,
        document.text.encode("utf-8", "replace").decode(),  # half surrogate pairs are no text; each becomes one "?"
        document.pages,
        document.remark,
        chunks,
        time.process_time() - begun,
        _is_large(limits),
    )


def _bytes_of(path: bytes, limits: Limits) -> bytes:
    limit = int(limits.file_mb * 1e6)
    with open(path, "rb", opener=open_at_once) as stream:
        check_regular(stream.fileno())
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise UnreadableDocument(too_long(limits))
    return data


def _is_large(limits: Limits) -> bool:
    """Memory that is freed does not always return: a process that a large file has swollen is replaced."""
    return _peak_bytes() > limits.memory_mb * 1e6 / 3


def _peak_bytes() -> int:
    """Of this process alone: on Linux, `ru_maxrss` begins with what the process had that started this one."""
    try:
        with open("/proc/self/status") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass  # not Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def open_at_once(path: str | bytes, flags: int) -> int:
    """Opening a named pipe would wait for somebody to write into it."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def check_regular(descriptor: int) -> None:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise UnreadableDocument("It is not a regular file.")


def too_long(limits: Limits) -> str:
    return f"It is larger than {limits.file_mb:g} MB, which is the limit (MILLSTREAM_READ_FILE_MB)."


def too_large_for(limits: Limits) -> str:
    return (
        f"Reading it takes more than {limits.memory_mb} MB of memory, which is the limit (MILLSTREAM_READ_MEMORY_MB)."
    )


def cannot_be_opened(error: OSError) -> str:
    return f"It cannot be opened: {error.strerror or 'unknown reason'}."


if __name__ == "__main__":
    main()
