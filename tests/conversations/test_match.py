"""The words around what was searched for."""

from hypothesis import given
from hypothesis import strategies as st

from millstream.conversations.match import CHARACTERS, match_in


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
