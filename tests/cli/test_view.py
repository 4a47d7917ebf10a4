"""An answer in a terminal as it happens."""

import itertools
import re
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from commands import until
from emulator import Emulator
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_texts import CUTS, MARKDOWN, cut

from millstream.cli import view
from millstream.cli.view import AnswerView
from millstream.events import (
    AnyEvent,
    Citation,
    ReasoningDelta,
    RunFailed,
    RunFinished,
    RunStopped,
    Source,
    StepFinished,
    StepStarted,
    TextDelta,
    TextFinished,
    ToolFinished,
    ToolStarted,
)

BEFORE: list[AnyEvent] = [
    StepStarted(step_id="s1", name="search", label="Searching…"),
    StepFinished(step_id="s1", label="Found 1", elapsed_ms=5),
    Source(n=1, source_id="s", document_id="d", version="v", title="Mill", uri="mill.md", snippet=""),
    ReasoningDelta(text="Hm. " * 200),
]


def after(text: str) -> list[AnyEvent]:
    return [Citation(n=1, start=0, end=len(text)), TextFinished(reason="stop"), RunFinished()]


def shown(events: list[AnyEvent], columns: int, lines: int, looks: Iterator[bool]) -> Emulator:
    """The terminal after these events, which was drawn anew wherever `looks` says so."""
    emulator = Emulator(columns, lines)
    with AnswerView(emulator.console) as answer:
        for event in events:
            answer.show(event)
            if next(looks):
                answer.seen()
    return emulator


@given(
    MARKDOWN,
    CUTS,
    st.lists(st.booleans(), min_size=1, max_size=5),
    st.integers(20, 90),
    st.integers(4, 30),
    st.booleans(),
)
@settings(deadline=None, max_examples=150)
def test_however_an_answer_came_the_terminal_shows_it_as_if_it_had_come_at_once(
    text: str, cuts: list[int], looks: list[bool], columns: int, lines: int, tool: bool
) -> None:
    called = [ToolStarted(tool_id="t", name="look", arguments={"at": 1}), ToolFinished(tool_id="t", output=2)]
    deltas: list[AnyEvent] = [TextDelta(text=chunk) for chunk in cut(text, cuts)]
    begun: list[AnyEvent] = [TextDelta(text="So.\n\nThen\n"), *(called if tool else [])]
    came = shown([*BEFORE, *begun, *deltas, *after(text)], columns, lines, itertools.cycle(looks))
    once = shown([*BEFORE, *begun, TextDelta(text=text), *after(text)], columns, lines, itertools.repeat(False))
    assert came.shown == once.shown


def test_steps_and_tools_then_the_answer_then_its_sources() -> None:
    text = "It **grinds**."
    events: list[AnyEvent] = [
        *BEFORE,
        ToolStarted(tool_id="t1", name="look", arguments={"at": "mill"}),
        ToolFinished(tool_id="t1", output=2),
        ToolStarted(tool_id="t2", name="weigh", arguments={}),
        ToolFinished(tool_id="t2", error="too heavy"),
        TextDelta(text=text),
        *after(text),
    ]
    assert shown(events, 60, 20, itertools.repeat(True)).text == [
        "✓ Found 1 (5 ms)",
        '✓ look(at="mill")',
        "✗ weigh(): too heavy",
        "",
        "It grinds. [1]",
        "",
        "[1] Mill (mill.md)",
        "",
    ]


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ([RunStopped(seen=4)], "Stopped."),
        ([RunFailed(code="x", message="No credit.", retryable=False)], "No credit."),
        ([TextFinished(reason="length"), RunFinished()], "The answer reached its length limit."),
    ],
)
def test_an_answer_that_is_not_complete_is_told_as_such(end: list[AnyEvent], said: str) -> None:
    events: list[AnyEvent] = [TextDelta(text="Half"), *end]
    assert shown(events, 60, 20, itertools.repeat(False)).text == ["", "Half", "", said, ""]


def test_what_goes_on_is_shown_with_its_seconds_until_it_ends() -> None:
    emulator = Emulator(60, 20)
    with AnswerView(emulator.console) as answer:
        answer.show(StepStarted(step_id="s1", name="search", label="Searching…"))
        answer.show(ToolStarted(tool_id="t1", name="look", arguments={}))
        answer.show(ReasoningDelta(text="Hm.\n" * 9))
        answer.seen()
        assert [re.sub(r"\d+ s", "… s", line[2:]) for line in emulator.text[:2]] == ["Searching… … s", "look() … s"]
        assert emulator.text[2:] == ["Hm.", "Hm.", "Hm.", ""]
        answer.show(StepFinished(step_id="s1", label="Found 1", elapsed_ms=5))
        answer.show(ToolFinished(tool_id="t1"))
        answer.show(TextDelta(text="Be"))
        answer.seen()
        assert emulator.text == ["✓ Found 1 (5 ms)", "✓ look()", "", "Be", ""]


def test_who_leaves_in_the_middle_keeps_what_there_was() -> None:
    emulator = Emulator(60, 20)
    with AnswerView(emulator.console) as answer:
        answer.show(StepStarted(step_id="s1", name="search", label="Searching…"))
        answer.show(TextDelta(text="Half\\\n" * 29 + "Half"))
    assert emulator.text == ["", *["Half"] * 30, ""]


def test_what_has_been_seen_is_on_the_screen() -> None:
    emulator = Emulator(60, 20)
    with AnswerView(emulator.console) as answer:
        answer.show(TextDelta(text="**Half** of"))
        assert answer.seen() == 11
        assert emulator.text == ["", "Half of", ""]


def test_it_is_drawn_after_a_pause_that_is_longer_where_drawing_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a clock of our own, of which the drawings take these seconds."""
    clock, drawings, pauses = 0.0, iter([0.001, 2, 0.001]), []

    class Left(threading.Event):
        def wait(self, pause: float | None = None) -> bool:
            pauses.append(pause)
            answer.show(TextDelta(text="word "))
            return len(pauses) > 3

    def draw(*renderables: object) -> None:
        nonlocal clock
        clock += next(drawings)

    monkeypatch.setattr(view, "time", SimpleNamespace(monotonic=lambda: clock))
    answer = AnswerView(Emulator(60, 20).console)
    answer._left = Left()
    answer._tail.draw = draw  # type: ignore[assignment]
    answer._keep_drawing()
    assert pauses == pytest.approx([0.05, 0.05, 8, 0.05])


def test_it_is_drawn_without_being_asked() -> None:
    emulator = Emulator(60, 20)
    with AnswerView(emulator.console) as answer:
        answer.show(TextDelta(text="Half"))
        until(lambda: emulator.text[1:2] == ["Half"])
