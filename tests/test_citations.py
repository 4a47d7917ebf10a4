from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from millstream.citations import CitationMarks, Mark


def run(text: str, sources: int = 3, cuts: list[int] | None = None) -> tuple[str, list[Mark]]:
    """The cleaned text and the marks; checks on the way that a mark never comes before its statement."""
    marks = CitationMarks(sources)
    out: list[str | Mark] = []
    edges = [0, *sorted(cuts or []), len(text)]
    for start, end in pairwise(edges):
        out += marks.feed(text[start:end])
    out += marks.flush()
    clean = ""
    found: list[Mark] = []
    for piece in out:
        if isinstance(piece, str):
            clean += piece
        else:
            assert 0 <= piece.start <= piece.end <= len(clean)
            found.append(piece)
    return clean, found


def cited(text: str, sources: int = 3) -> list[tuple[int, str]]:
    clean, marks = run(text, sources)
    return [(mark.n, clean[mark.start : mark.end]) for mark in marks]


def test_what_arrives_between_two_marks_is_one_piece() -> None:
    text = "Call `f(x)` and [y] or `g`."
    assert CitationMarks(5).feed(text) == [text]


@pytest.mark.parametrize(
    ("text", "clean", "statements"),
    [
        ("Staff get 20 days [1].", "Staff get 20 days.", [(1, "Staff get 20 days")]),
        ("Staff get 20 days. [1]", "Staff get 20 days.", [(1, "Staff get 20 days.")]),
        ("Staff get 20 days.[1] More.", "Staff get 20 days. More.", [(1, "Staff get 20 days.")]),
        ("First. Second [2]. Third.", "First. Second. Third.", [(2, "Second")]),
        ("A is 20 [1] and B is 30 [2].", "A is 20 and B is 30.", [(1, "A is 20"), (2, "and B is 30")]),
        ("Both [1][2].", "Both.", [(1, "Both"), (2, "Both")]),
        ("Both [1] [2].", "Both.", [(1, "Both"), (2, "Both")]),
        ("Both [1], [2].", "Both.", [(1, "Both"), (2, "Both")]),
        ("Both [1, 2].", "Both.", [(1, "Both"), (2, "Both")]),
        ("Both [1]. [2]", "Both.", [(1, "Both"), (2, "Both")]),
        ("Twice [1][1].", "Twice.", [(1, "Twice")]),
        ("Wrong [9].", "Wrong.", []),
        ("Half wrong [1, 9] [0].", "Half wrong.", [(1, "Half wrong")]),
        ("Dr. Smith, e.g. at 3.5 [1].", "Dr. Smith, e.g. at 3.5.", [(1, "Dr. Smith, e.g. at 3.5")]),
        ("# Head\nText [1]", "# Head\nText", [(1, "Text")]),
        ("Intro.\n\n- one [1]\n- two [2]\n", "Intro.\n\n- one\n- two\n", [(1, "one"), (2, "two")]),
        ("1. one\n2. two [2]", "1. one\n2. two", [(2, "two")]),
        ("A line\nthat goes on [1]", "A line\nthat goes on", [(1, "A line\nthat goes on")]),
        ("Text.\n\n[1]", "Text.\n\n", [(1, "Text.")]),
        ("> quoted [1]", "> quoted", [(1, "quoted")]),
        ("| a | b |\n|---|---|\n| x | 5 [1] |", "| a | b |\n|---|---|\n| x | 5 |", [(1, "5")]),
        ("[1] leads.", " leads.", [(1, "")]),
        ("“Quoted.” Then more [1].", "“Quoted.” Then more.", [(1, "Then more")]),
        ("Grüße 🎉 an alle [1].", "Grüße 🎉 an alle.", [(1, "Grüße 🎉 an alle")]),
        ("According to the book [1]: yes.", "According to the book: yes.", [(1, "According to the book")]),
        ("Great![1]", "Great!", [(1, "Great!")]),
        ("A stray ` backtick.\n\nNext block [1].", "A stray ` backtick.\n\nNext block.", [(1, "Next block")]),
        ("Code `x[2]` ends [1].", "Code `x[2]` ends.", [(1, "Code `x[2]` ends")]),
        ("```\na[1]\n```\nAfter [1].", "```\na[1]\n```\nAfter.", [(1, "After")]),
        ("```a[1]``` inline [1].", "```a[1]``` inline.", [(1, "```a[1]``` inline")]),
        ("A [link](http://x) then [1].", "A [link](http://x) then.", [(1, "A [link](http://x) then")]),
    ],
)  # fmt: skip
def test_a_mark_becomes_a_citation_of_its_statement(text: str, clean: str, statements: list[tuple[int, str]]) -> None:
    assert run(text)[0] == clean
    assert cited(text) == statements


@pytest.mark.parametrize(
    "text",
    [
        "Inline `a[1]` and ``b ` [2]`` code.",
        "`a code span\nover two lines [1]`",
        "```python\nx = a[1]\n```",
        "  ```\n  a[1]\n  ```",
        "- ```\n  a[1]\n  ```",
        "~~~\na[1]\n```\nb[2]\n~~~",
        "````\n```\na[1]\n````",
        "```\nnever closed [1]\n\n[2]",
        "[1](http://example.com)",
        "![1](picture.png)",
        "[1]: http://example.com",
        "See [the book][1].",
        "![a picture][2]",
        'See [x](http://example.com/[1] "or [2]").',
        r"Escaped \[1] bracket.",
        "In [2024] and [a] and [ ] and [x] and [^1] and [1-2] and [].",
        "Unfinished [1",
        "Trailing blanks   ",
        "[" * 100,
        "[1, " * 40,
        "`" * 100,
    ],
)
def test_what_is_not_a_mark_passes_byte_for_byte(text: str) -> None:
    assert run(text) == (text, [])


def test_without_sources_everything_passes() -> None:
    assert run("Staff [1].", sources=0) == ("Staff [1].", [])


def test_plain_text_is_given_out_at_once() -> None:
    marks = CitationMarks(2)
    assert marks.feed("Staff get") == ["Staff get"]
    assert marks.feed(" 20") == [" 20"]
    assert marks.feed(" ") == []
    assert marks.feed("days") == [" days"]
    assert marks.feed(" [1") == []
    assert marks.feed("]") == []
    assert marks.feed(".") == [Mark(1, 0, 17), "."]


def test_marks_stand_in_the_order_of_the_text() -> None:
    assert CitationMarks(2).feed("A [1]. B [2]. C") == ["A", Mark(1, 0, 1), ". B", Mark(2, 3, 4), ". C"]


TRICKY = st.lists(
    st.sampled_from(
        ["[1]", "[2]", "[9]", "[1, 2]", "[", "]", "(", ")", "`", "``", "```", "~~~", "\n", "\n\n", " ", "  ",
         ". ", ".", ",", ", ", "Word", "word", "- ", "1. ", "# ", "| ", ":", "!", "\\", "[text]", "](", "é",
         "🎉", "\t", "> ", "1", "x" * 50]
    ),
    max_size=40,
).map("".join)  # fmt: skip


@settings(max_examples=400)
@given(TRICKY, st.lists(st.floats(0, 1), max_size=12))
@example("`a ` b ` [1] `\n- [2]", [])
def test_any_chunking_gives_the_same(text: str, cuts: list[float]) -> None:
    whole = run(text)
    assert run(text, cuts=[round(cut * len(text)) for cut in cuts]) == whole
    assert run(text, cuts=list(range(len(text)))) == whole


@given(TRICKY)
def test_only_marks_and_the_blanks_before_them_are_lost(text: str) -> None:
    clean, _ = run(text)
    of_marks = str.maketrans("", "", "[]0123456789,; \t")
    assert clean.translate(of_marks) == text.translate(of_marks)


@given(TRICKY)
def test_at_most_64_characters_are_held_back(text: str) -> None:
    marks = CitationMarks(3)
    given_out = 0
    for end, character in enumerate(text, 1):
        given_out += sum(len(piece) for piece in marks.feed(character) if isinstance(piece, str))
        assert len(run(text[:end])[0]) - given_out <= 64


def test_long_answers_cost_no_more_per_token() -> None:
    """The looked-back window is bounded: marks late in a long answer still find their sentence."""
    words = "Nothing here cites anything at all. " * 2000
    clean, marks = run(words + "This does [1].", cuts=list(range(0, len(words), 5)))
    assert [clean[mark.start : mark.end] for mark in marks] == ["This does"]
