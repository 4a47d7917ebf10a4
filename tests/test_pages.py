import msgspec
import pytest

from millstream.pages import cited_page
from millstream.search import Passage

FIRST = "Twenty days of holiday are paid each year. They may be carried"
SECOND = " over into spring. Dental care is paid by the plan in full."
PASSAGE = Passage(
    "s", "d", "v", "T", "u", FIRST + SECOND, page_start=7, page_end=8, start=100, end=100 + len(FIRST + SECOND),
    page_break=100 + len(FIRST),
)  # fmt: skip


@pytest.mark.parametrize(
    ("statement", "page"),
    [
        ("> Twenty days of holiday\n> are paid each year.", 7),
        ("Dental care is **paid** by the plan in full.", 8),
        ("They may be carried over into spring.", 7),  # where it begins
        ("The health plan pays for dental care.", 8),
        ("Staff have twenty paid days of holiday a year.", 7),
        ("Parking is free.", None),
        ("", None),
    ],
)
def test_a_statement_is_on_the_page_that_says_it(statement: str, page: int | None) -> None:
    assert cited_page(statement, PASSAGE) == page


def test_a_passage_of_one_page_or_none_needs_no_other() -> None:
    assert cited_page("Dental care", msgspec.structs.replace(PASSAGE, page_break=None, page_end=7)) is None
    assert cited_page("Dental care", Passage("s", "d", "v", "T", "u", FIRST)) is None
