import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.search.lexical import _quoted
from millstream.search.query import query_terms
from millstream.search.words import indexed, words

UNSPACED = st.text("休暇規程のーサポ々税휴가วันหยุด้ำ国𠀀", min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Paid Holiday, naïve", ["paid", "holiday", "naïve"]),
        ("有給休暇", ["有給", "給休", "休暇"]),
        ("税", ["税"]),
        ("You won't, he isn’t: ant's", ["you", "won't", "he", "isn’t", "ant", "s"]),
        ("PerksPlusの料金", ["perksplus", "の料", "料金"]),
        ("ปลาทู", ["ปลา", "ลาท"]),  # without its vowel marks
        ("!?", []),
    ],
)
def test_a_run_without_spaces_is_pairs_or_threes(text: str, found: list[str]) -> None:
    assert words(text) == found


@given(st.text(st.characters(max_codepoint=0x24F)))
def test_text_with_spaces_is_indexed_as_it_is(text: str) -> None:
    assert indexed(text) == text


@given(UNSPACED, UNSPACED, UNSPACED)
def test_any_part_of_a_text_is_found(before: str, part: str, after: str) -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE VIRTUAL TABLE terms USING fts5 (text, content = '', tokenize = 'porter unicode61')")
    connection.execute("INSERT INTO terms (rowid, text) VALUES (1, ?)", (indexed(before + part + after),))
    for word in words(part):
        assert connection.execute("SELECT rowid FROM terms WHERE terms MATCH ?", (_quoted(word),)).fetchall() == [(1,)]
    connection.close()


def test_pairs_that_only_ask_or_join_are_no_terms() -> None:
    assert query_terms("产品的保修期是多久？") == ["产品", "保修", "修期", "期是", "是多"]
    assert query_terms("休暇の日数とは") == ["休暇", "日数", "数と"]
    assert query_terms("什么") == ["什么"]


def test_a_contracted_negation_is_no_term() -> None:
    assert query_terms("What isn't covered, and who won?") == ["covered", "won"]
