"""Markdown piece by piece."""

import copy

import pytest
from emulator import Emulator
from hypothesis import given, settings
from markdown_texts import CUTS, MARKDOWN, cut
from rich.console import Console, Group, RenderableType

from millstream.cli import pieces
from millstream.cli.pieces import Pieces, pieces_of


def shown(*renderables: RenderableType, columns: int = 60) -> Emulator:
    emulator = Emulator(columns, 20)
    emulator.console.print(Group(*renderables))
    return emulator


def text(markdown: str, columns: int = 60) -> str:
    return "\n".join(shown(*pieces_of(markdown), columns=columns).text[:-1])


@given(MARKDOWN, CUTS)
@settings(deadline=None, max_examples=300)
def test_however_a_text_is_cut_its_pieces_are_those_of_the_whole(markdown: str, cuts: list[int]) -> None:
    growing = Pieces()
    finished = [piece for chunk in cut(markdown, cuts) for piece in growing.add(chunk)]
    assert shown(*finished, *growing.rest()).shown == shown(*pieces_of(markdown)).shown


@given(MARKDOWN)
@settings(deadline=None, max_examples=200)
def test_the_pieces_have_the_words_of_the_whole(markdown: str) -> None:
    whole = copy.copy(pieces._markdown)
    whole.parsed = pieces._parser.parse(markdown)
    assert "\n".join(shown(whole, columns=200).text).split() == text(markdown, 200).split()


def test_blocks_are_apart_and_items_are_not() -> None:
    assert text("One\nline.\n\n- a\n  - b\n- c\n\n\n1. d\n1. e\n\n---\n> f\n\n# g") == (
        "\nOne line.\n\n • a\n    • b\n • c\n\n 1 d\n 2 e\n\n" + "-" * 60 + "\n\n▌ f\n\n" + " " * 29 + "g"
    )


def test_lines_are_not_filled_with_blanks() -> None:
    """They would break where a terminal becomes narrower, and be copied with the text."""
    console = Console(width=60, force_terminal=True, _environ={"TERM": "xterm-256color"})
    with console.capture() as printed:
        console.print(
            *pieces_of("# One\n\ntwo `three`\n\n- four\n\n> five\n\n| six |\n|---|\n| seven |\n"), sep="", end=""
        )
    assert [line for line in printed.get().split("\n") if line.endswith(" ")] == []


@pytest.mark.parametrize(
    ("markdown", "said"),
    [
        ("A List<String> and <b>.", "\nA List<String> and <b>."),
        ("[here](http://x.y/?q=1)", "\nhere (http://x.y/?q=1)"),
        ("![a mill](http://x.y/m.png)", "\n!a mill (http://x.y/m.png)"),
        ("See [it][1].\n\n[1]: http://x.y", "\nSee [it][1].\n\n[1]: http://x.y"),
    ],
)
def test_what_the_model_wrote_is_there_to_be_seen(markdown: str, said: str) -> None:
    assert text(markdown) == said


def test_an_item_is_finished_by_the_next_and_its_number_goes_on() -> None:
    growing = Pieces()
    assert growing.add("3. a\n3. b") == []
    assert shown(*growing.add("\n")).text[:-1] == ["", " 3 a"]
    assert shown(*growing.add("3. c\n")).text[:-1] == [" 4 b"]
    assert shown(*growing.add("\nEnd.\n")).text[:-1] == [" 5 c"]


def test_code_is_finished_in_stretches_before_empty_lines_and_keeps_its_colours() -> None:
    code = '"""\n' + "x\n" * 20 + "\n" + "y\n" * 30 + '"""\n'
    markdown = f"```python\n{code}```\n"
    growing = Pieces()
    finished = [piece for line in markdown.splitlines(keepends=True) for piece in growing.add(line)]
    assert shown(*finished).text[2:-1] == [' """', *[" x"] * 20]
    whole = shown(*pieces_of(markdown)).shown
    assert [line[1].fg for line in whole[2:-2] if len(line) > 1 and line[1].data != " "] == [whole[3][1].fg] * 52


def test_what_is_parsed_grows_as_the_text_does(monkeypatch: pytest.MonkeyPatch) -> None:
    parse, parsed = pieces._parser.parse, 0

    def counted(text: str) -> object:
        nonlocal parsed
        parsed += len(text)
        return parse(text)

    monkeypatch.setattr(pieces._parser, "parse", counted)
    for part in ("Some words.\n\n", "- item\n", "1. item\n\n", "```\n" + "x\n" * 9 + "```\n\n"):
        costs = []
        for times in (100, 200):
            growing, parsed = Pieces(), 0
            for line in (part * times).splitlines(keepends=True):
                growing.add(line)
            costs.append(parsed)
        assert costs[1] == pytest.approx(2 * costs[0], rel=0.05), part
