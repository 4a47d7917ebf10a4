from collections.abc import Sequence

import pytest

from millstream.citations import CitationMarks, Mark
from millstream.models import Finish, ModelOptions, Prompt, Text
from millstream.models.extractive import NOT_FOUND, ExtractiveModel, quote
from millstream.search import Passage

HANDBOOK = """# Paid leave

Holidays

- Twenty days a year
- **Sick leave** is paid in full for six weeks.

| Role | Days |
|------|------|
| All employees have | 20 days. |

Employees receive twenty days of paid holiday each year. They may carry five days over into
the next year, see [3] for the form.

```
employees.holiday = 20 paid days a year.
```

of paid holiday for employees each year. Parking is free for everybody."""


def passage(text: str, *, n: int = 1, document: str = "d1", coverage: float | None = None) -> Passage:
    return Passage(
        f"{document}.{n}",
        document,
        "v",
        f"Title of {document}",
        f"docs/{document}.md",
        text,
        start=n * 1000,
        coverage=coverage,
    )


async def answer(question: str, passages: Sequence[Passage], model: ExtractiveModel) -> list[object]:
    return [output async for output in model.stream(Prompt([], question, passages), ModelOptions())]


def test_whole_sentences_are_quoted_verbatim_with_their_marks() -> None:
    assert quote("How many days of paid holiday do employees receive each year?", [passage(HANDBOOK)]) == (
        "From **Title of d1**:\n\n> Employees receive twenty days of paid holiday each year. [1]"
    )


def test_headings_rows_code_and_half_sentences_are_never_quoted() -> None:
    quoted = quote("Is sick leave or holiday paid, and for how many weeks or days a year?", [passage(HANDBOOK)])
    for unwanted in ("# Paid", "Holidays\n", "Twenty days a year", "|", "employees.holiday", "of paid holiday for"):
        assert unwanted not in quoted
    assert "**Sick leave** is paid in full for six weeks. [1]" in quoted


def test_brackets_of_a_document_are_not_taken_for_marks() -> None:
    quoted = quote("carry days over into the next year form", [passage(HANDBOOK)])
    assert r"see \[3] for the form. [1]" in quoted
    pieces = CitationMarks(3).feed(quoted + "\n")
    assert [piece.n for piece in pieces if isinstance(piece, Mark)] == [1]


def test_sentences_stand_by_document_and_in_its_order() -> None:
    passages = [
        passage("The holiday plan covers dental care. Apples are red and very round.", n=2, document="a"),
        passage("A dental plan of another company is a different thing.", document="b"),
        passage("Our dental plan was begun in the year 1999.", n=1, document="a"),
    ]
    quoted = quote("dental plan", passages)
    assert quoted == (
        "From **Title of a**:\n\n"
        "> Our dental plan was begun in the year 1999. [3] The holiday plan covers dental care. [1]\n\n"
        "From **Title of b**:\n\n"
        "> A dental plan of another company is a different thing. [2]"
    )


def test_what_was_said_is_not_said_again() -> None:
    text = "Dental care is covered by the plan. Vision care is covered by it too."
    quoted = quote(
        "Is dental care covered by the plan?", [passage(text), passage(text, n=2), passage(text, document="b")]
    )
    assert quoted.count("Dental care is covered") == 1


@pytest.mark.parametrize(
    ("question", "passages"),
    [
        ("anything", []),
        ("", [passage(HANDBOOK)]),
        ("quantum entanglement", [passage(HANDBOOK)]),
        ("capital of France", [passage("The capital of the company is one million.", coverage=0.45)]),
        (
            "Who has won the cup of the world?",
            [passage("The company has won a cup for the best coffee.", coverage=0.2)],
        ),
        ("holidays", [passage("# Holidays\n\nTwenty days")]),
        ("paid holiday", [passage("of paid holiday for all employees each year.")]),
        ("paid holiday", [passage("Paid holiday for all employees each year")]),
    ],
)
def test_it_says_so_when_nothing_fits(question: str, passages: list[Passage]) -> None:
    assert quote(question, passages) == NOT_FOUND


async def test_words_come_at_a_reading_pace() -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    question = "How many days of paid holiday do employees receive each year?"
    *pieces, end = await answer(question, [passage(HANDBOOK)], ExtractiveModel(25, sleep))
    assert end == Finish("stop")
    assert "".join(piece.text for piece in pieces if isinstance(piece, Text)) == quote(question, [passage(HANDBOOK)])
    assert pauses == [1 / 25] * (len(pieces) - 1)
    assert len(pieces) > 10


async def test_without_a_pace_all_comes_at_once() -> None:
    outputs = await answer("holiday", [], ExtractiveModel(0))
    assert outputs == [Text(NOT_FOUND), Finish("stop")]


def test_a_sentence_right_below_its_heading_is_quoted_without_it() -> None:
    text = "# The alpha device. Which weighs little\nThe alpha device weighs three kilograms.\n## Tests"
    assert quote("How much does the alpha device weigh?", [passage(text)]) == (
        "From **Title of d1**:\n\n> The alpha device weighs three kilograms. [1]"
    )
