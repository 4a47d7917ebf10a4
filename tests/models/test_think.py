import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.models.think import ThinkSplitter


def tell_apart(*pieces: str) -> tuple[str, str]:
    splitter = ThinkSplitter()
    told = [splitter.feed(piece) for piece in pieces] + [splitter.flush()]
    return "".join(reasoning for reasoning, _ in told), "".join(text for _, text in told)


@pytest.mark.parametrize(
    ("content", "reasoning", "text"),
    [
        ("Hello", "", "Hello"),
        ("<think>hm</think>Hello", "hm", "Hello"),
        ("<think>\nhm\n</think>\n\nHello\n", "hm\n", "Hello\n"),
        ("\n \t<think>hm</think>Hello", "hm", "Hello"),
        ("<think></think>Hello", "", "Hello"),
        ("<think>\n\n</think>\n\nHello", "", "Hello"),
        ("<think>never closed", "never closed", ""),
        ("<think>nearly closed</thin", "nearly closed</thin", ""),
        ("<think>a < b </ c</think>Hello", "a < b </ c", "Hello"),
        ("<thinking> is a word", "", "<thinking> is a word"),
        ("<thi", "", "<thi"),
        ("  <b>bold</b>", "", "  <b>bold</b>"),
        ("Say <think>this</think>", "", "Say <think>this</think>"),
        ("<think>a</think>\n<think>b</think>", "a", "<think>b</think>"),
        ("<think>a</think> b", "a", " b"),
        ("", "", ""),
    ],
)
def test_a_think_at_the_very_start_is_reasoning(content: str, reasoning: str, text: str) -> None:
    assert tell_apart(content) == (reasoning, text)
    assert tell_apart(*content) == (reasoning, text)


def test_text_is_not_held_back() -> None:
    splitter = ThinkSplitter()
    assert splitter.feed("H") == ("", "H")
    assert splitter.decided


def test_reasoning_is_held_back_no_longer_than_it_may_be_a_tag() -> None:
    splitter = ThinkSplitter()
    assert splitter.feed("<think>so </t") == ("so ", "")
    assert splitter.feed("he fox") == ("</the fox", "")


contents = st.lists(
    st.sampled_from(["<think>", "</think>", "<", "</", "think", ">", "\n", "\r", " ", "word", "🦊", "<thi", "nk>"]),
    max_size=12,
).map("".join)


@given(content=contents, places=st.lists(st.integers(0, 1000), max_size=8))
def test_any_chunking_tells_the_same_apart(content: str, places: list[int]) -> None:
    ends = sorted(place % (len(content) + 1) for place in places)
    pieces = [content[start:end] for start, end in zip([0, *ends], [*ends, len(content)], strict=True)]
    assert tell_apart(*pieces) == tell_apart(content)
