import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.sentences import sentences


def split(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("Dr. Smith pays 3.5 %, e.g. for Nov. 5. Then more.", ["Dr. Smith pays 3.5 %, e.g. for Nov. 5.", "Then more."]),
        ("He said “Stop.” She left.", ["He said “Stop.”", "She left."]),
        ("J. R. Smith and I. Nobody else.", ["J. R. Smith and I.", "Nobody else."]),
        ("Built in 1985. Sold in 10. Gone.", ["Built in 1985.", "Sold in 10.", "Gone."]),
        ("Acme Inc. sells. acme.com too.", ["Acme Inc. sells. acme.com too."]),
        ("一つ。二つ！", ["一つ。", "二つ！"]),
        ("", []),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert split(text) == expected


@given(st.text(alphabet='aB1. !?\n"”。'))
def test_nothing_but_white_space_lies_between_sentences(text: str) -> None:
    assert "".join("".join(split(text)).split()) == "".join(text.split())
