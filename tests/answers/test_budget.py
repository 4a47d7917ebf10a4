import msgspec
from hypothesis import given
from hypothesis import strategies as st

from millstream.answers.budget import SOURCE_TOKENS, recent, tokens, within_budget
from millstream.models import ChatMessage
from millstream.search import Passage

SENTENCE = "Every employee has twenty days of leave. "


def passage(text: str, title: str = "T") -> Passage:
    return Passage("s", "d", "v", title, "u", text, start=10, end=10 + len(text))


def cost(one: Passage) -> int:
    return SOURCE_TOKENS + tokens(one.title) + tokens(one.text)


def test_tokens_are_four_characters_of_ascii_and_one_of_all_else() -> None:
    assert [tokens(text) for text in ("", "a", "abcd", "abcde", "日本語", "über")] == [0, 1, 1, 2, 3, 2]


def test_passages_are_kept_whole_as_long_as_they_fit() -> None:
    a, b = passage(SENTENCE * 20), passage(SENTENCE * 30)
    room = cost(a) + cost(b)
    assert within_budget([a, b], room) == [a, b]
    kept = within_budget([a, b], room - 1)
    assert kept[0] == a
    assert kept[1].text == (SENTENCE * 29).rstrip()


def test_a_passage_that_is_cut_ends_with_a_sentence_and_knows_where() -> None:
    (cut,) = within_budget([passage(SENTENCE * 50)], 200)
    assert cut.text.endswith("leave.")
    assert cut.end == 10 + len(cut.text)


def test_the_header_of_a_table_takes_its_room() -> None:
    whole = passage(SENTENCE * 20)
    headed = msgspec.structs.replace(whole, header="| name |\n|---|")
    room = cost(whole) + tokens(f"{headed.header}\n")
    assert within_budget([headed], room) == [headed]
    assert within_budget([headed], room - 1) != [headed]


def test_no_scrap_of_a_passage_is_kept() -> None:
    assert within_budget([passage(SENTENCE * 50)], SOURCE_TOKENS + 40) == []
    assert within_budget([passage("x" * 1000)], 200) == []


@given(st.lists(st.text(alphabet="aé. ", max_size=900), max_size=5), st.integers(-5, 900))
def test_the_room_is_never_exceeded(texts: list[str], room: int) -> None:
    assert sum(map(cost, within_budget([passage(text) for text in texts], room))) <= max(0, room)


def test_the_oldest_messages_are_left_out_first() -> None:
    one, two, three = (
        ChatMessage("user", "1" * 40),
        ChatMessage("assistant", "2" * 40),
        ChatMessage("user", "3" * 40),
    )
    assert recent([one, two, three], 42) == [one, two, three]
    assert recent([one, two, three], 41) == [three]  # an answer alone would lack its question
    assert recent([one, two, three], 1) == [three]


def test_what_is_cut_before_its_second_page_is_no_longer_on_it() -> None:
    text = "This sentence is one of several. " * 30
    two = msgspec.structs.replace(passage(text), start=500, end=500 + len(text), page_start=4, page_end=5)
    for page_break, pages in ((1400, (4, 4, None)), (600, (4, 5, 600))):
        (part,) = within_budget([msgspec.structs.replace(two, page_break=page_break)], 200)
        assert (part.end or 0) < 1400
        assert (part.page_start, part.page_end, part.page_break) == pages
