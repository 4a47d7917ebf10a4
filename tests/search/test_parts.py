import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.search.parts import LONGEST, MOST, question_parts


@pytest.mark.parametrize(
    ("question", "parts"),
    [
        (
            "What is the notice period, and how long is parental leave?",
            ["What is the notice period", "how long is parental leave"],
        ),
        (
            "How many days of leave? And who approves business trips?",
            ["How many days of leave", "who approves business trips"],
        ),
        (
            "Who approves trips abroad and can I book the flight myself?",
            ["Who approves trips abroad", "can I book the flight myself"],
        ),
        (
            "Does the Silver Plan pay for glasses and what does the plan pay for fillings?",
            ["Does the Silver Plan pay for glasses", "what does the plan pay for fillings (Silver Plan)"],
        ),
        (
            "What does the Silver Plan cost, and what does the Gold Plan cost?",
            ["What does the Silver Plan cost", "what does the Gold Plan cost"],
        ),
    ],
)
def test_what_is_asked_at_once_is_taken_apart(question: str, parts: list[str]) -> None:
    assert question_parts(question) == parts


@pytest.mark.parametrize(
    "question",
    [
        "How many days of leave and holiday are there?",
        "When and how do I file a claim?",
        "Is it possible to say when and how it will stop?",
        "What is it, and how long is parental leave?",
        "What do I do when my card is lost and the office is closed?",
        "notice period",
        "",
    ],
)
def test_one_question_stays_whole(question: str) -> None:
    assert question_parts(question) == [question]


def test_a_pasted_page_is_not_taken_apart() -> None:
    pasted = "What is the notice period? " * (LONGEST // 20)
    assert question_parts(pasted) == [pasted]


@given(st.lists(st.sampled_from(["what", "and", "red", "Plan", "?", ",", "how", " ", "oak", "is"]), max_size=60))
def test_there_are_a_few_parts_and_none_is_empty(words: list[str]) -> None:
    question = " ".join(words)
    parts = question_parts(question)
    assert 1 <= len(parts) <= MOST
    assert len(parts) == 1 or all(part.strip() for part in parts)
