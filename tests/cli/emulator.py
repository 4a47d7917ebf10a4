"""A terminal that tells what is finally on it: all that was printed, what has scrolled away included."""

import io
from typing import Any

import pyte
from rich.console import Console


class Emulator:
    """`console` prints to a terminal of so many columns and lines; `console.size` may be changed."""

    def __init__(self, columns: int, lines: int) -> None:
        self._screen = pyte.HistoryScreen(columns, lines, history=100_000)
        self._stream = pyte.Stream(self._screen)
        self._screen.set_mode(pyte.modes.LNM)  # as the system's terminal driver makes of a line's end
        self.console = Console(
            file=_Into(self._stream), force_terminal=True, color_system="truecolor", width=columns, height=lines,
            highlight=False, legacy_windows=False, _environ={"TERM": "xterm-256color"},
        )  # fmt: skip

    @property
    def shown(self) -> list[list[Any]]:
        """The lines down to the cursor's, each its characters with their styles; blanks at their ends are left out."""
        rows = [*self._screen.history.top, *(self._screen.buffer[y] for y in range(self._screen.cursor.y + 1))]
        lines = []
        for row in rows:
            line = [row[x] for x in range(self._screen.columns)]
            while line and line[-1] == self._screen.default_char:
                line.pop()
            lines.append(line)
        return lines

    @property
    def text(self) -> list[str]:
        return ["".join(character.data for character in line).rstrip() for line in self.shown]


class _Into(io.StringIO):
    def __init__(self, stream: pyte.Stream) -> None:
        super().__init__()
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.feed(text)
        return len(text)
