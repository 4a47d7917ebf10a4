from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.documents import Document
from millstream.documents.split import OVERLAP, SIZE, Chunk, split

SENTENCE = "This is sentence number {} of a text that is long enough to be split. "

TEXTS = st.lists(
    st.sampled_from(
        ["Word", "a sentence that goes on for a while. ", "One. ", "Two! ", "\n", "\n\n", "# Heading\n", "- item\n",
         "| a | b |\n", "| --- | :-: |\n",
         "```\ncode\n```\n", " ", "é🎉", "x" * 700, "Dr. ", "1. ", "\t", "no end " * 90, "~~~\n"]
    ),
    max_size=40,
).map("".join)  # fmt: skip


def chunks(text: str, pages: tuple[int, ...] = ()) -> list[Chunk]:
    return list(split(Document("t", text, pages)))


def test_sentences_are_packed_and_overlap() -> None:
    text = "".join(SENTENCE.format(n) for n in range(60))
    found = chunks(text)
    assert all(600 < chunk.end - chunk.start <= SIZE for chunk in found[:-1])
    for before, after in pairwise(found):
        assert 0 < before.end - after.start <= OVERLAP
        assert text[after.start :].startswith("This is sentence")
        assert text[before.start : before.end].endswith("split.")


def test_a_short_text_is_one_passage() -> None:
    assert chunks("  One. Two.\n\nThree ") == [Chunk(2, 18)]


def test_a_heading_stays_with_what_follows_it() -> None:
    text = "".join(SENTENCE.format(n) for n in range(13)) + "\n\n# The next part\n\n" + "more " * 40 + "end."
    first, second = chunks(text)
    assert "# The next part" not in text[first.start : first.end]
    assert "# The next part\n\nmore more" in text[second.start : second.end]


def test_a_new_section_begins_a_new_passage() -> None:
    sections = [f"## Part {n}\n\n" + SENTENCE.format(n) * 5 for n in range(3)]
    text = "\n".join(sections)
    assert [text[chunk.start : chunk.end] for chunk in chunks(text)] == [section.strip() for section in sections]


def test_a_short_section_shares_its_passage_with_the_next() -> None:
    first, second = chunks("# One\n\nShort.\n\n# Two\n\n" + SENTENCE.format(1) * 4 + "\n\n# Three\n\nThe end.")
    assert (first.start, second.end - second.start) == (0, len("# Three\n\nThe end."))


@pytest.mark.parametrize("size", range(0, 1000, 7))
def test_what_leads_a_table_stays_with_its_rows(size: int) -> None:
    head = "| name | what |\n|---|:-:|"
    text = "word " * (size // 5) + f"\n\n{head}\n" + "| a row | of words that go on |\n" * 30
    for chunk in chunks(text):
        assert not text[chunk.start : chunk.end].endswith(("| what |", head))


def test_pages_are_kept_and_at_most_one_page_break_is_crossed() -> None:
    text = "".join(f"Page {page} is short. " for page in range(1, 6))
    pages = tuple(text.index(f"Page {page}") for page in range(1, 6))
    found = chunks(text, pages)
    assert (found[0].page_start, found[0].page_end) == (1, 2)
    assert all(chunk.page_end - chunk.page_start <= 1 for chunk in found if chunk.page_end and chunk.page_start)
    assert {page for chunk in found for page in (chunk.page_start, chunk.page_end)} == {1, 2, 3, 4, 5}


@given(TEXTS, st.lists(st.floats(0, 1), max_size=5))
def test_passages_hold_all_of_the_text_within_its_limits(text: str, breaks: list[float]) -> None:
    pages = (0, *sorted(round(at * len(text)) for at in breaks)) if breaks else ()
    found = chunks(text, pages)
    held = bytearray(len(text))
    last = -1
    for chunk in found:
        assert 0 <= chunk.start < chunk.end <= len(text)
        assert chunk.end - chunk.start <= SIZE
        assert chunk.start > last
        last = chunk.start
        assert not text[chunk.start].isspace()
        assert not text[chunk.end - 1].isspace()
        held[chunk.start : chunk.end] = b"x" * (chunk.end - chunk.start)
        if pages:
            assert chunk.page_start is not None
            assert chunk.page_end is not None
            assert pages[chunk.page_start - 1] <= chunk.start
            assert pages[chunk.page_end - 1] < chunk.end
    assert all(held[i] or text[i].isspace() for i in range(len(text)))


@pytest.mark.parametrize(
    ("unit", "begins"),
    [
        ("- Item {} of this list is one thing and goes on\n  over a second line, without any stop\n", "- Item"),
        ("| Row {} of this table | has cells that belong together. As a whole. |\n", "| Row"),
        ("    line_{} = of_this_code('is one. Whole. Thing.')\n", "line_"),
    ],
)
def test_items_rows_and_lines_of_code_are_never_cut(unit: str, begins: str) -> None:
    body = "".join(unit.format(n) for n in range(60))
    text = f"```\n{body}```\n" if begins == "line_" else body
    last_words = unit.format(0).split()[-1]
    found = chunks(text)
    assert len(found) > 3
    for chunk in found:
        part = text[chunk.start : chunk.end].removeprefix("```\n").removesuffix("\n```")
        assert part.lstrip().startswith(begins)
        assert part.rstrip().endswith(last_words)
