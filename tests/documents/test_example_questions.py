"""Example questions made from the documents."""

from pathlib import Path

import pytest

from millstream.documents.catalogue import Beginning, Catalogue
from millstream.documents.examples import example_questions, examples_in
from millstream.documents.sync import sync
from millstream.search.sqlite import SqliteIndex


def test_what_documents_ask_themselves_comes_first_in_turns() -> None:
    first = Beginning("FAQ", "# FAQ\n\n## How do I **stop** an answer?\n\nSo.\n\n- Who pays for dental care?\n")
    second = Beginning("Mills", "1. Why does a mill turn?\n\n# Mills\n\n## The sluice\n")
    assert examples_in([first, second]) == [
        "How do I stop an answer?",
        "Why does a mill turn?",
        "Who pays for dental care?",
        "What is “FAQ” about?",
    ]


def test_without_questions_headings_and_titles_make_some() -> None:
    mills = Beginning("Mills", "# Mills\n\n## Introduction\n\n## The sluice\n\n```\n## no heading\n```\n### 1.2\n")
    assert examples_in([mills]) == ["What does “Mills” say about “The sluice”?", "What is “Mills” about?"]


@pytest.mark.parametrize(
    "line", ["Really?", "and so on, or what else is there?", "x" * 120 + " is that so?", "Is it? Is it not so, then?"]
)
def test_what_is_no_question_by_itself_is_none(line: str) -> None:
    assert examples_in([Beginning("T", line)]) == ["What is “T” about?"]


def test_there_are_four_at_most_and_each_once() -> None:
    same = Beginning("T", "Why does it turn?\n" * 9)
    assert examples_in([same, same]) == ["Why does it turn?", "What is “T” about?"]
    assert len(examples_in([Beginning(f"T{n}", "") for n in range(9)])) == 4
    assert examples_in([]) == []


async def test_each_owner_has_their_own(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "leave.md").write_text("# Leave\n\n¿Cuántos días de vacaciones hay?\n")
    index = SqliteIndex(tmp_path / "index.db")
    sync([tmp_path / "docs"], index, "ann")
    catalogue = Catalogue(index.path)
    assert await example_questions(catalogue, "ann") == ["¿Cuántos días de vacaciones hay?", "What is “Leave” about?"]
    assert await example_questions(catalogue, "bob") == []
    await index.close()
