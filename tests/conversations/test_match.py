"""The words around what was searched for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.conversations.match import CHARACTERS, match_in, match_in_answer


def hits(text: str, *words: str) -> list[str]:
    found = match_in(text, words)
    return [found.text[start:end] for start, end in found.hits]


def test_a_hit_in_the_middle_of_a_long_text_is_shown_with_what_stands_around_it() -> None:
    found = match_in("a word " * 100 + "the mill turns " + "and on " * 100, ["mill"], "m1")
    assert found.text.startswith("…")
    assert found.text.endswith("…")
    assert "word the mill turns and" in found.text
    assert found.message_id == "m1"
    assert [found.text[start:end] for start, end in found.hits] == ["mill"]


def test_case_and_accents_do_not_count_and_the_last_word_may_be_a_beginning() -> None:
    assert hits("Das CAFÉ an der Mühle, Cafe-Müll", "café", "muh") == ["CAFÉ", "Mühle", "Cafe"]
    assert hits("snake_case", "case") == ["case"]
    assert hits("nothing", "mill") == []


@given(st.text(alphabet="mil é\n🎉", max_size=600), st.lists(st.text(alphabet="milé", min_size=1), max_size=3))
def test_every_hit_lies_in_the_text_that_is_shown(text: str, words: list[str]) -> None:
    found = match_in(text, words)
    assert len(found.text) <= CHARACTERS + 2
    assert found.text.strip("…") in text
    assert all(0 <= start < end <= len(found.text) for start, end in found.hits)


@pytest.mark.parametrize(
    ("answer", "shown", "hits"),
    [
        ("The **mill** is *old*.", "The mill is old.", ["mill"]),
        ("# The mill\n\n- one **wheel**\n- `two`", "The mill one wheel two", ["mill"]),
        ("It turns.\n\n- See [the mill](https://example.com/mill).", "…See the mill.", ["mill"]),
        ("See [this](https://example.com/mill).", "See [this](https://example.com/mill).", ["mill"]),
        ("2 * 3 mills * 4", "2 * 3 mills * 4", ["mills"]),
    ],
)
def test_a_hit_in_an_answer_is_shown_without_the_syntax_of_markdown(answer: str, shown: str, hits: list[str]) -> None:
    found = match_in_answer(answer, ["mill"], "m1")
    assert found.text == shown
    assert [found.text[start:end] for start, end in found.hits] == hits


def test_a_hit_far_into_a_long_answer_is_shown_with_what_stands_around_it() -> None:
    found = match_in_answer("**a** word " * 100 + "the **mill** turns " + "*and* on " * 100, ["mill"], "m1")
    assert "word the mill turns and on" in found.text
    assert found.text.startswith("…")
    assert found.text.endswith("…")
    assert "*" not in found.text


@given(st.text(alphabet="mil é\n🎉*[]()#-|`", max_size=900), st.lists(st.text(alphabet="milé", min_size=1), max_size=3))
def test_every_hit_in_an_answer_lies_in_the_text_that_is_shown(answer: str, words: list[str]) -> None:
    found = match_in_answer(answer, words, "m1")
    assert len(found.text) <= CHARACTERS + 2
    assert all(0 <= start < end <= len(found.text) for start, end in found.hits)
    assert bool(found.hits) == bool(match_in(answer, words).hits)
