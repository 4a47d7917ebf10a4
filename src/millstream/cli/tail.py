"""The last lines on a terminal, which still change. Only what has changed is written again, so nothing flickers."""

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.text import Text

# A line that the terminal shows wider than it was counted must not break in two, or all above it were miscounted.
_NO_WRAP, _WRAP = "\x1b[?7l", "\x1b[?7h"


class Tail:
    """Whatever else is printed meanwhile is printed by it. After `draw([], [])` nothing of the tail is left."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lines: list[str] = []  # on the screen; the cursor is below them

    def draw(self, finished: Sequence[RenderableType], changing: Sequence[RenderableType]) -> None:
        """Prints `finished` for good, and below it the tail: the last lines of `changing`, as many as there is room."""
        # Not from the top of the screen on: what is erased from there some terminals keep, and would keep each drawing.
        room = 0 if self._console.is_dumb_terminal else max(1, self._console.height - 2)
        printed = self._rendered(finished)
        tail = self._rendered(changing)[-room:] if room else []
        kept = self._kept(printed + tail)
        rows = sum(self._rows(line) for line in self._lines[kept:])
        back = f"\x1b[{min(rows, room)}A\x1b[J" if rows else ""
        new = "".join(tail[max(0, kept - len(printed)) :])
        self._console.file.write("".join([back, *printed[kept:], *([_NO_WRAP, new, _WRAP] if new else [])]))
        self._console.file.flush()
        self._lines = tail

    def _kept(self, lines: list[str]) -> int:
        """How many of the tail's lines stay where they are when it becomes `lines`."""
        same = (n for n, (old, new) in enumerate(zip(self._lines, lines, strict=False)) if old != new)
        return next(same, min(len(self._lines), len(lines)))

    def _rows(self, line: str) -> int:
        """On the screen: a terminal that has become narrower has broken longer lines."""
        return max(1, -(-Text.from_ansi(line).cell_len // self._console.width))

    def _rendered(self, renderables: Sequence[RenderableType]) -> list[str]:
        with self._console.capture() as captured:
            self._console.print(Group(*renderables))
        return [f"{line}\n" for line in captured.get().split("\n")[:-1]]
