"""The lines on a terminal that still change, and what is printed above them."""

import io
import re

import pytest
from emulator import Emulator
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from millstream.cli.tail import Tail

LINES = st.lists(st.sampled_from(["a", "b", "word " * 3, "x" * 20, "水車" * 5, ""]), max_size=14)


@given(st.lists(st.tuples(LINES, LINES)), st.integers(10, 24), st.integers(3, 9))
@settings(deadline=None)
def test_whatever_was_drawn_in_between_what_is_printed_stays(
    drawings: list[tuple[list[str], list[str]]], columns: int, lines: int
) -> None:
    emulator, printed = Emulator(columns, lines), Emulator(columns, lines)
    tail = Tail(emulator.console)
    for finished, changing in drawings:
        tail.draw([Text(line) for line in finished], [Text(line) for line in changing])
        for line in finished:
            printed.console.print(Text(line))
    if drawings:
        above = printed.text[:-1]
        assert emulator.text[: len(above)] == above
    tail.draw([], [])
    assert emulator.text == printed.text


def test_the_last_lines_of_what_is_too_long_are_shown() -> None:
    emulator = Emulator(20, 6)
    tail = Tail(emulator.console)
    tail.draw([], [Text(str(n)) for n in range(10)])
    assert emulator.text == ["6", "7", "8", "9", ""]
    tail.draw([Text(str(n)) for n in range(10)], [])
    assert emulator.text == [*map(str, range(10)), ""]


class Out(io.StringIO):
    def taken(self) -> str:
        """What has been written since the last time."""
        said = self.getvalue()
        self.seek(0)
        self.truncate()
        return said


@pytest.fixture
def out() -> Out:
    return Out()


@pytest.fixture
def tail(out: Out) -> Tail:
    return Tail(Console(file=out, force_terminal=True, width=40, height=10, _environ={"TERM": "xterm-256color"}))


def test_lines_that_stay_are_not_written_again(tail: Tail, out: Out) -> None:
    tail.draw([], [Text("first"), Text("second")])
    out.taken()
    tail.draw([Text("first")], [Text("second, longer"), Text("third")])
    assert out.taken() == "\x1b[1A\x1b[J\x1b[?7lsecond, longer\nthird\n\x1b[?7h"
    tail.draw([], [Text("second, longer"), Text("third")])
    assert out.taken() == ""


def test_nothing_is_erased_from_the_top_of_the_screen_on(tail: Tail, out: Out) -> None:
    """Terminals such as tmux keep what is erased from there: every drawing would be found above the answer."""
    for n in range(20):
        tail.draw([], [Text(f"{n} {line}") for line in range(n)])
    went_up = {int(rows) for rows in re.findall(r"\x1b\[(\d+)A", out.taken())}
    assert max(went_up) == 8


def test_a_terminal_that_became_narrower_has_broken_the_lines(tail: Tail, out: Out) -> None:
    tail.draw([], [Text("x" * 30), Text("y" * 20)])
    tail._console.width = 20
    out.taken()
    tail.draw([], [Text("z")])
    assert out.taken().startswith("\x1b[3A")


def test_a_terminal_that_cannot_go_back_gets_what_is_finished(out: Out) -> None:
    tail = Tail(Console(file=out, force_terminal=True, width=40, height=10, _environ={"TERM": "dumb"}))
    tail.draw([], [Text("gro")])
    tail.draw([Text("grown")], [Text("more")])
    assert out.taken() == "grown\n"
