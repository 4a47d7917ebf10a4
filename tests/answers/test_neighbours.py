import msgspec
from hypothesis import given
from hypothesis import strategies as st

from millstream.answers.neighbours import GAP, LONGEST, joined
from millstream.search import Passage

TEXT = "".join(f"Sentence number {n}. " for n in range(400))


def cut(start: int, end: int, page: int | None = None, document: str = "d", last_page: int | None = None) -> Passage:
    return Passage(
        f"{document}.{start}",
        document,
        "v",
        "T",
        "u",
        TEXT[start:end],
        start=start,
        end=end,
        page_start=page,
        page_end=last_page or page,
    )


def test_overlapping_neighbours_become_one_at_the_better_ones_place() -> None:
    other = cut(0, 100, document="e")
    both = joined([cut(900, 1900), other, cut(0, 1000)], 5)
    assert [(one.start, one.end, one.text) for one in both] == [(0, 1900, TEXT[:1900]), (0, 100, TEXT[:100])]
    assert both[0].source_id == "d.900"


def test_what_is_joined_has_the_header_of_its_beginning() -> None:
    first, second = (msgspec.structs.replace(cut(*at), header=f"header at {at[0]}") for at in ((10, 100), (90, 200)))
    for found in ([first, second], [second, first]):
        (one,) = joined(found, 5)
        assert (one.start, one.header) == (10, "header at 10")


def test_neighbours_that_touch_are_joined_and_others_not() -> None:
    assert len(joined([cut(0, 100), cut(100 + GAP, 200)], 5)) == 1
    assert len(joined([cut(0, 100), cut(101 + GAP, 200)], 5)) == 2


def test_what_does_not_fit_stays_apart() -> None:
    assert len(joined([cut(0, 1500), cut(1400, LONGEST)], 5)) == 1
    assert len(joined([cut(0, 1500), cut(1400, LONGEST + 1)], 5)) == 2


def test_a_source_crosses_one_page_break_at_most() -> None:
    assert len(joined([cut(0, 100, 1), cut(90, 200, 2)], 5)) == 1
    assert len(joined([cut(0, 100, 1, last_page=2), cut(90, 200, 2, last_page=3)], 5)) == 2


def test_a_neighbour_takes_no_place_of_another_source() -> None:
    found = [cut(0, 100), cut(1000, 1100), cut(90, 200), cut(2000, 2100)]
    assert [one.start for one in joined(found, 2)] == [0, 1000]
    assert joined(found, 2)[0].end == 200


def test_passages_without_a_place_are_left_alone() -> None:
    nowhere = Passage("s", "d", "v", "T", "u", "text")
    assert joined([nowhere, nowhere], 5) == [nowhere, nowhere]


@given(st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 1000)), max_size=12), st.integers(1, 6))
def test_joined_text_is_that_of_the_document(spans: list[tuple[int, int]], most: int) -> None:
    passages = [cut(start, start + length) for start, length in spans]
    kept = joined(passages, most)
    assert len(kept) <= most
    for one in kept:
        assert one.start is not None
        assert one.end is not None
        assert len(one.text) == one.end - one.start
        assert "".join(one.text.split()) == "".join(TEXT[one.start : one.end].split()) or "\n" in one.text


def test_what_is_joined_over_a_page_break_knows_where_it_is() -> None:
    (ends_with_its_page,) = joined([cut(0, 100, 1), cut(100, 200, 2)], 5)
    assert (ends_with_its_page.page_start, ends_with_its_page.page_end, ends_with_its_page.page_break) == (1, 2, 100)
    crossing = msgspec.structs.replace(cut(50, 150, 1, last_page=2), page_break=120)
    (joined_to_one,) = joined([cut(0, 100, 1), crossing], 5)
    assert joined_to_one.page_break == 120
    (on_one_page,) = joined([cut(0, 100, 1), cut(100, 200, 1)], 5)
    assert on_one_page.page_break is None
