"""Where citation marks may stand in Markdown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.marks import place_marks
from millstream.snapshot import CitationState


def marked(markdown: str, *ends: int) -> str:
    citations = [CitationState(n, 0, end) for n, end in enumerate(ends, 1)]
    return place_marks(markdown, citations, lambda citation: f"[{citation.n}]")


@pytest.mark.parametrize(
    ("markdown", "end", "expected"),
    [
        ("So it is. Next.", 9, "So it is.[1] Next."),
        ("**So it is.** Next.", 13, "**So it is.**[1] Next."),
        ("So it is.  \nNext.", 12, "So it is.[1]  \nNext."),
        ("🎉 so. Next", 5, "🎉 so.[1] Next"),
        ("| a | b |\n|---|---|\n| c | d |", 29, "| a | b |\n|---|---|\n| c | d[1] |"),
        ("```\ncode\n```\n", 12, "```\ncode\n```\n"),
        ("Title\n=====\n", 11, "Title\n=====\n"),
        ("# \nSo.", 1, "# \nSo."),
        ("", 0, ""),
        ("So.", 99, "So.[1]"),
    ],
)
def test_a_mark_stands_behind_its_statement_where_it_changes_nothing(markdown: str, end: int, expected: str) -> None:
    assert marked(markdown, end) == expected


def test_marks_of_one_place_stand_in_their_order() -> None:
    assert marked("So. Thus.", 9, 3, 3) == "So.[2][3] Thus.[1]"


@given(st.text(alphabet="ab* |`~\n-=🎉", max_size=60), st.lists(st.integers(0, 70), max_size=5))
def test_marks_only_ever_add(markdown: str, ends: list[int]) -> None:
    placed = place_marks(markdown, [CitationState(n, 0, end) for n, end in enumerate(ends)], lambda _: "§")
    assert placed.replace("§", "") == markdown
    assert placed.count("§") <= len(ends)
