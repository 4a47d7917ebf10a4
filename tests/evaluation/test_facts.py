import pytest

from millstream.evaluation.facts import facts, holds


def test_facts_are_numbers_and_names_that_the_question_lacks() -> None:
    truth = "The plan of Northwind pays $1,500 to Anna Smith on 5 May 2024. Everybody else pays. [plan.pdf#page=7]"
    assert facts(truth, "What does Northwind pay in 2024?") == ["1,500", "5", "Anna", "Smith", "May"]


@pytest.mark.parametrize(
    ("answer", "fact", "there"),
    [
        ("It pays 1500 dollars.", "1,500", True),
        ("It pays 15,000 dollars.", "1,500", False),
        ("anna is paid", "Anna", True),
        ("Annabel is paid", "Anna", False),
    ],
)
def test_a_fact_is_found_in_any_form(answer: str, fact: str, there: bool) -> None:
    assert holds(answer, fact) is there
