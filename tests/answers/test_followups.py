import pytest

from millstream.answers.followups import followups_from, headings
from millstream.search import Passage

TEXT = """# Leave and holidays

Employees have twenty days of leave a year, and more when they are older than fifty years of age.

Sick Leave
Whoever is ill is paid in full for six weeks, and after that by the insurance of the state.
Page 12
How do I apply?
Whoever wants to take leave fills in the form and hands it to the manager two weeks before.
- An item
Everybody"""


def passage(text: str, title: str = "Handbook") -> Passage:
    return Passage("s", "d", "v", title, "u", text)


def test_headings_are_marked_lines_and_short_ones_above_a_paragraph() -> None:
    assert list(headings(TEXT)) == ["Leave and holidays", "Sick Leave", "How do I apply?"]


def test_headings_become_questions() -> None:
    assert followups_from([passage(TEXT)], ["What about the weather?"]) == [
        "What do the documents say about “Leave and holidays”?",
        "What do the documents say about “Sick Leave”?",
        "How do I apply?",
    ]


def test_what_was_asked_and_what_the_title_says_are_no_questions() -> None:
    assert followups_from([passage(TEXT, "Leave and Holidays")], ["How do I apply for sick leave?"]) == []


@pytest.mark.parametrize("text", ["", "no headings", "# One"])
def test_without_headings_there_are_no_questions(text: str) -> None:
    assert followups_from([passage(text)], []) == []


def test_there_are_three_questions_at_most() -> None:
    many = "\n\n".join(f"# Topic {word}\n\nText." for word in ("apples", "pears", "plums", "nuts"))
    assert len(followups_from([passage(many)], [])) == 3
