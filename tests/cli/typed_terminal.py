"""A command at a terminal: what a person types and what they see, through a pseudo-terminal."""

import contextlib
import os
import pty
import re
import select
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

from commands import PATIENCE_S, environment

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\r")

CTRL_C, CTRL_D, CTRL_BACKSLASH = "\x03", "\x04", "\x1c"


class Terminal:
    """`shown` is all that was printed, without control sequences."""

    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self.process = process
        self._master = master
        self._raw = b""
        self._read_to = 0

    @property
    def shown(self) -> str:
        return _CONTROL.sub("", self._raw.decode(errors="replace"))

    def expect(self, text: str) -> None:
        """Returns when `text` has been shown since what was expected before."""
        end = time.monotonic() + PATIENCE_S
        while (at := self.shown.find(text, self._read_to)) < 0:
            assert time.monotonic() < end, f"{text!r} was not shown, but: {self.shown[self._read_to :]!r}"
            self._read()
        self._read_to = at + len(text)

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def ended(self) -> int:
        while self._read():
            pass
        return self.process.wait(PATIENCE_S)

    def _read(self) -> bool:
        """Whether there may be more."""
        if not select.select([self._master], [], [], 0.1)[0]:
            return self.process.poll() is None
        try:
            data = os.read(self._master, 65536)
        except OSError:  # Linux: the other end is closed
            return False
        self._raw += data
        return bool(data)


@contextlib.contextmanager
def terminal(folder: Path, *arguments: str, **variables: str) -> Iterator[Terminal]:
    """`millstream ARGUMENTS` at a terminal of 100 columns and 30 lines."""
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (30, 100))
    process = subprocess.Popen(
        [sys.executable, "-m", "millstream", *arguments],
        cwd=folder,
        env=environment(folder, TERM="xterm-256color", **variables),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        preexec_fn=_take_terminal,
    )
    os.close(slave)
    try:
        yield Terminal(process, master)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(PATIENCE_S)
        os.close(master)


def _take_terminal() -> None:
    """Makes standard input the controlling terminal, so that Ctrl-C arrives as a signal."""
    import fcntl

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
