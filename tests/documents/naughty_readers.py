"""A reader that does what the file tells it to: a stand-in for a library that meets a file which breaks it."""

import ctypes
import os
import signal

from millstream.documents import Document, Source
from millstream.documents.formats import Format, register


def read_naughty(source: Source) -> Document:
    match source.data.split():
        case [b"spin"]:
            while True:
                pass
        case [b"wait"]:
            signal.pause()
        case [b"deaf"]:
            for number in (signal.SIGALRM, signal.SIGPROF):
                signal.signal(number, signal.SIG_IGN)
            while True:
                signal.pause()
        case [b"eat", megabytes]:
            return Document("", f"{len(bytearray(int(megabytes) * 1_000_000))} bytes")
        case [b"crash"]:
            ctypes.string_at(0)
        case [b"exit"]:
            os._exit(0)
        case [b"raise"]:
            raise KeyError("a")
        case [b"print"]:
            print("not an answer", flush=True)  # noqa: T201
            os.write(1, b"nor this")
        case [b"environment"]:
            return Document("", " ".join(sorted(os.environ)))
    return Document("", f"process {os.getpid()}")


register(Format("naughty", (".naughty",), "text/plain", read_naughty, lambda head: head.startswith(b"naughty:")))
