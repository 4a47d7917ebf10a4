from collections.abc import Sequence

import msgspec
import pytest

from millstream.citations import CitationMarks, Mark
from millstream.documents.readers.rows import piped, records
from millstream.models import Finish, ModelOptions, Prompt, Text
from millstream.models.extractive import NOT_FOUND, ExtractiveModel, quote
from millstream.search import Match, Passage

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
    assert quote("How many days of paid leave do employees receive each year?", [passage(HANDBOOK)]) == (
        "From **Title of d1**:\n\n> Employees receive twenty days of paid holiday each year. [1]"
    )


def test_code_and_half_sentences_are_never_quoted_nor_headings_as_sentences() -> None:
    quoted = quote("Is sick leave or holiday paid, and for how many weeks or days a year?", [passage(HANDBOOK)])
    for unwanted in ("# Paid", "Holidays\n", "employees.holiday", "of paid holiday for"):
        assert unwanted not in quoted
    assert "**Sick leave** is paid in full for six weeks. [1]" in quoted


def test_brackets_of_a_document_are_not_taken_for_marks() -> None:
    quoted = quote("Can days be carried over into the next year by a form?", [passage(HANDBOOK)])
    assert r"see \[3] for the form. [1]" in quoted
    pieces = CitationMarks(3).feed(quoted + "\n")
    assert {piece.n for piece in pieces if isinstance(piece, Mark)} == {1}


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
        ("holidays", [passage("# Holidays\n\nDays")]),
        ("How many days of holiday are there?", [passage("Holiday is for all, and each day of it is paid.")]),
        ("When were the holidays of 2019?", [passage("The holidays of the year 2020 were long for everybody.")]),
        ("Who won?", [passage("You won't be responsible for any of the costs. He won’t be either, in any case.")]),
        ("the", [passage("The holidays of the year are for all of the employees.")]),
        ("What isn't it?", [passage("It isn't what you would take it for at first.")]),
        ("paid holiday", [passage("of paid holiday for all employees each year.")]),
        ("paid holiday", [passage("Paid holiday for all employees each year")]),
    ],
)
def test_it_says_so_when_nothing_fits(question: str, passages: list[Passage]) -> None:
    assert quote(question, passages).startswith(NOT_FOUND)


def test_the_nearest_passages_are_offered_when_nothing_fits() -> None:
    pages = [msgspec.structs.replace(passage(HANDBOOK, n=n), page_start=n, page_end=n + n % 2) for n in (1, 2, 2, 3, 4)]
    assert quote("quantum entanglement", pages) == (
        f"{NOT_FOUND}\n\nThe nearest passages:\n\n- **Title of d1**, pages 1–2\n- **Title of d1**, page 2\n"
        "- **Title of d1**, pages 3–4"
    )
    assert quote("quantum entanglement", []) == NOT_FOUND


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


PLAN = """# The plan

Covered are:

- Gym memberships
- Lessons in skiing
- Sports team fees

Not covered are:

- Food and supplements

| Tier | Weeks of vacation |
|------|------|
| Standard | 2 weeks |
| Senior | 4 weeks |

Vacation Rules
Everybody takes the vacation before the end of the calendar year, unless it was agreed otherwise.
This must be agreed in writing."""


def test_a_question_that_holds_a_whole_heading_is_answered_from_below_it() -> None:
    text = """## Returning goods

Parcels can be handed in at any shop of ours. Money comes back within a week. Ask the staff for a receipt.

## Returning goods that are damaged

Whatever arrives broken is replaced within a month of that day."""
    assert quote("How does returning goods work?", [passage(text)]) == (
        "From **Title of d1**:\n\n> Parcels can be handed in at any shop of ours. [1] "
        "Money comes back within a week. [1] Ask the staff for a receipt. [1]"
    )


def test_an_item_is_quoted_below_what_introduces_it() -> None:
    assert quote("Are lessons in skiing covered?", [passage(PLAN)]) == (
        "From **Title of d1**:\n\n> Covered are:\n>\n> - Lessons in skiing [1]"
    )


PERKS = """What is Covered?

The programme pays for a wide range of fitness activities, including but not limited to:

- Gym memberships
- Fees of a sports team

What is Not Covered?

Beside all that is covered, there is a list of things that are not covered. These include:

- Travel expenses
- Food and supplements"""


@pytest.mark.parametrize("question", ["Are travel expenses covered?", "What isn't covered?", "What is not covered?"])
def test_a_lead_that_refers_back_comes_with_what_it_refers_to(question: str) -> None:
    quoted = quote(question, [passage(PERKS)])
    assert quoted.startswith(
        "From **Title of d1**:\n\n> Beside all that is covered, there is a list of things that are not covered. "
        "These include:\n>\n> - Travel expenses [1]"
    )
    assert quoted.count("Beside all") == 1
    assert "Gym" not in quoted


def test_what_is_covered_is_not_answered_by_what_is_not() -> None:
    quoted = quote("What is covered?", [passage(PERKS)])
    assert "- Gym memberships [1]" in quoted
    assert "Travel" not in quoted


@pytest.mark.parametrize(
    ("text", "lead"),
    [
        ("# Not covered\n\nThese include:\n\n- Travel expenses", ["**Not covered**", "These include:"]),
        ("## Not covered\n\n- Travel expenses", ["**Not covered**"]),
        ("Not covered\n\n- Travel expenses", ["**Not covered**"]),
        ("Covered are:\n\n- Food\n\n## Not covered\n\n- Travel expenses", ["**Not covered**"]),
        ("# Exclusions\n\nThe plan has some:\n\n- Travel expenses", ["**Exclusions**", "The plan has some:"]),
        ("The rules:\n\n- Not covered:\n  - Travel expenses", ["The rules:", "Not covered:"]),
        ("The rules:\n\n• Not covered:\n– Travel expenses", ["The rules:", "Not covered:"]),
        ("The rules:\n\n- Not covered:\n  - Food\n- Travel expenses", ["The rules:"]),
    ],
)
def test_an_item_is_quoted_below_all_that_gives_it_its_meaning(text: str, lead: list[str]) -> None:
    quotation = "\n>\n> ".join([*lead, "- Travel expenses [1]"])
    assert quote("travel expenses", [passage(text)]) == f"From **Title of d1**:\n\n> {quotation}"


def test_a_sentence_is_quoted_below_the_heading_that_negates_it() -> None:
    assert quote("travel expenses", [passage("# Exclusions\n\nTravel expenses of any kind.")]).endswith(
        "> **Exclusions**\n>\n> Travel expenses of any kind. [1]"
    )
    assert quote("travel expenses", [passage("# Expenses\n\nTravel expenses of any kind.")]).endswith(
        ":\n\n> Travel expenses of any kind. [1]"
    )


@pytest.mark.parametrize(
    "text",
    [
        "- Travel expenses of employees\n- Food",  # its lead is in the passage before
        "These include:\n\n- Travel expenses of employees",
        "that are not covered. These include:\n\n- Travel expenses of employees",
        "# Covered\n\n- Food\n\nThese also are not:\n\n- Travel expenses of employees",
    ],
)
def test_an_item_whose_lead_is_not_whole_is_not_quoted(text: str) -> None:
    assert quote("travel expenses of employees", [passage(text)]).startswith(NOT_FOUND)


def test_where_both_stand_the_question_chooses_what_is_and_what_is_not() -> None:
    text = "Parcels that are damaged can be returned. Parcels that are opened cannot be returned."
    assert quote("Which parcels can not be returned?", [passage(text)]).endswith(
        "> Parcels that are opened cannot be returned. [1]"
    )
    assert quote("Which parcels are never damaged?", [passage("Parcels of glass are often damaged.")]).endswith(
        "> Parcels of glass are often damaged. [1]"
    )


def test_the_heading_of_what_follows_is_no_part_of_an_item() -> None:
    text = """Wanted are:

- Experience with the sale of lamps and of all that belongs to the
Swedish home

- Knowledge of development processes and latest trends
Senior Manager of Sales"""
    assert quote("latest trends in development processes", [passage(text)]).endswith(
        "> - Knowledge of development processes and latest trends [1]"
    )
    assert "all that belongs to the Swedish home [1]" in quote("Sale of lamps?", [passage(text)])


def test_a_table_makes_no_heading_of_a_line_of_prose() -> None:
    prose = """We hope that this was of help in telling apart the plans of Northwind
Health Plus and Northwind Standard. We are sure of that."""
    assert quote("Northwind Standard plan", [passage(f"| {'Name | ' * 40}\n\n{prose}")]).endswith(
        "> We hope that this was of help in telling apart the plans of Northwind Health Plus and Northwind "
        "Standard. [1]"
    )


def test_a_row_is_quoted_below_the_heading_of_its_table() -> None:
    quoted = quote("How many weeks of vacation does a senior have?", [passage(PLAN)])
    assert quoted == (
        "From **Title of d1**:\n\n> | Tier | Weeks of vacation |\n> |------|------|\n> | Senior | 4 weeks [1] |"
    )
    (mark,) = [piece for piece in CitationMarks(1).feed(quoted + "\n") if isinstance(piece, Mark)]
    assert mark.n == 1


PRICES = [("Product", "Price", "Warranty"), ("Desk lamp", "149 EUR", "24 months"), ("Chair", "450 EUR", "60 months")]


@pytest.mark.parametrize(
    ("table", "quoted"),
    [
        (
            "\n\n".join(records(PRICES)),
            ["- Product: Chair; Price: 450 EUR; Warranty: 60 months [1]"],
        ),
        (
            "\n\n".join("\n".join(map(": ".join, zip(PRICES[0], row, strict=True))) for row in PRICES[1:]),  # JSON
            ["- Product: Chair; Price: 450 EUR; Warranty: 60 months [1]"],
        ),
        (
            "\n\n".join(
                records([("Product", "Note", "Price"), ("Lamp", "red", "9"), ("Chair", "oak; or: elm; ash", "4")])
            ),
            ["- Product: Chair; Note: oak; or: elm; ash; Price: 4 [1]"],
        ),
        (
            "\n".join(map(piped, PRICES)),
            ["| Product | Price | Warranty |", "|---|---|---|", "| Chair | 450 EUR | 60 months [1] |"],
        ),
    ],
    ids=["records", "JSON", "semicolons", "piped"],
)
def test_a_row_is_quoted_as_any_reader_writes_it(table: str, quoted: list[str]) -> None:
    text = f"# Prices\n\n{table}\n\nAsk for more."
    assert quote("What is the price of the chair?", [passage(text)]) == (
        "From **Title of d1**:\n\n" + "\n".join(f"> {line}" for line in quoted)
    )


def test_a_table_below_another_has_a_header_of_its_own() -> None:
    text = "Two.\n\n| Tier | Weeks |\n| Senior | 4 |\n\n| Town | Office |\n| Bern | Main street |"
    assert "| Town | Office |" in quote("office in Bern", [passage(text)])


def test_prose_with_a_colon_is_no_record() -> None:
    text = "Remember: the price of a chair is paid; the rest is free of charge for everybody."
    assert quote("price of a chair", [passage(text)]).endswith(f"> {text} [1]")


def test_the_rows_of_a_table_that_begins_above_are_quoted_below_its_header() -> None:
    header = "| Town | Office |\n|---|---|"
    text = "| Bern | Main street |\n| Thun | Mill lane |\n\n| Tier | Weeks |\n|---|---|\n| Senior | 4 |"
    above = msgspec.structs.replace(passage(text), header=header)
    for town, row in (("Bern", "| Bern | Main street [1] |"), ("Thun", "| Thun | Mill lane [1] |")):
        assert quote(f"office in {town}", [above]).endswith("> | Town | Office |\n> |---|---|\n> " + row)
    assert "> | Tier | Weeks |" in quote("weeks of a senior", [above])
    begun = passage(f"{header}\n{text}")
    assert "> | Town | Office |" in quote("office in Bern", [begun])


@pytest.mark.parametrize(
    "text",
    ["| Lamp | Chair |\n| Bern | Main street |\n", "Sizes:\n\n| 12 | 13 |\n| Bern | Main street |"],
    ids=["begins in the passage before", "numbers"],
)
def test_a_row_without_names_of_columns_is_not_quoted(text: str) -> None:
    assert quote("main street in Bern", [passage(text)]).startswith(NOT_FOUND)


@pytest.mark.parametrize(
    ("text", "question", "quoted"),
    [
        ("# 手册\n\n员工每年享有二十天带薪休假。产品的保修期为三年。", "产品的保修期是多久？", "产品的保修期为三年。"),
        ("製品の保証期間は三年です。「休暇は年間二十日です。」", "休暇は何日ですか？", "「休暇は年間二十日です。」"),
        ("保障范围：\n\n- 牙科治疗费用\n- 健身会员", "牙科治疗", "保障范围：\n>\n> - 牙科治疗费用"),
    ],
    ids=["Chinese", "Japanese", "item"],
)
def test_sentences_of_scripts_without_spaces_are_quoted(text: str, question: str, quoted: str) -> None:
    assert quote(question, [passage(text)]) == f"From **Title of d1**:\n\n> {quoted} [1]"


def test_a_heading_without_a_mark_is_not_part_of_the_sentence_below_it() -> None:
    quoted = quote("Until when is vacation taken in the calendar year?", [passage(PLAN)])
    assert "> Everybody takes the vacation before the end" in quoted


def test_a_sentence_that_refers_back_is_quoted_behind_the_one_before() -> None:
    quoted = quote("What must be agreed in writing?", [passage(PLAN)])
    assert "agreed otherwise. [1] This must be agreed in writing. [1]" in quoted


def test_a_misspelt_word_is_taken_for_the_one_that_is_meant() -> None:
    assert "- Sports team fees [1]" in quote("Are sprts team feees coverd?", [passage(PLAN)])


def test_the_document_that_the_question_names_is_preferred() -> None:
    one = msgspec.structs.replace(
        passage("Dental care is covered with a limit of 100 euros.", document="a"), title="Plus"
    )
    two = msgspec.structs.replace(
        passage("Dental care is covered up to 900 euros a year.", document="b"), title="Basic"
    )
    quoted = quote("Is dental care covered by the Basic plan?", [one, two])
    assert quoted.startswith("From **Basic**:\n\n> Dental care is covered up to 900 euros")
    assert quote("Is dental care covered?", [one, two]).startswith("From **Plus**:")


def test_a_better_passage_goes_first() -> None:
    one = passage("The dental plan pays for check-ups of everybody.", document="a")
    two = passage("The dental plan pays for fillings of everybody.", document="b")
    assert quote("What does the dental plan pay for?", [two, one]).index("fillings") < 60


def test_an_answer_names_a_few_sources_at_most() -> None:
    passages = [
        passage(f"The dental plan number {n} covers check-ups in town {n}.", document=f"d{n}") for n in range(9)
    ]
    quoted = quote("dental plan check-ups", passages)
    assert quoted.count("From **") == 3


def test_a_definition_is_quoted_before_other_uses() -> None:
    text = "Pay the deductible each year to your deductible account. A deductible is what you pay before the plan does."
    assert quote("What is a deductible?", [passage(text)]).endswith(
        "A deductible is what you pay before the plan does. [1]"
    )


def test_meanings_that_are_far_from_the_question_are_not_quoted() -> None:
    near = Match(1, 0.6)
    text = "Parking at the head office is free for visitors who come by car."
    asked = "Where do visitors leave their vehicles?"
    with_meaning = msgspec.structs.replace(passage(text, coverage=0.1), semantic=near)
    assert "Parking at the head office" in quote(asked, [with_meaning])
    far = msgspec.structs.replace(with_meaning, semantic=Match(1, 0.25))
    assert quote(asked, [far]).startswith(NOT_FOUND)


def near(n: int, coverage: float, cosine: float | None, reranked: float | None = None) -> Passage:
    return msgspec.structs.replace(
        passage(f"Parking costs {n} euros a month.", n=n, coverage=coverage),
        semantic=None if cosine is None else Match(1, cosine),
        reranked=reranked,
    )


@pytest.mark.parametrize(
    ("passages", "first"),
    [
        ([near(1, 0.5, 0.5), near(2, 0.6, 0.7), near(3, 0.9, 0.2)], [2, 3, 1]),
        ([near(1, 0.5, 0.5), near(2, 0.6, None), near(3, 0.3, 0.4)], [1, 2, 3]),  # counts as a cosine of 0.4
        ([near(1, 0.5, None), near(2, 0.9, None), near(3, 0.6, None)], [1, 2, 3]),
        ([near(1, 0.5, 0.5, 0.9), near(2, 0.6, 0.7, 0.8), near(3, 0.9, 0.2, 0.1)], [1, 2, 3]),
    ],
    ids=["nearest first", "without a cosine", "by words alone", "reranked"],
)
def test_where_sentences_fit_alike_the_nearest_passage_is_quoted(passages: list[Passage], first: list[int]) -> None:
    apart = [msgspec.structs.replace(each, document_id=f"d{n}") for n, each in enumerate(passages, 1)]
    quoted = quote("What does parking cost a month?", apart)
    assert [int(line.split("[")[1][0]) for line in quoted.splitlines() if line.startswith(">")] == first


def test_each_part_of_a_question_is_answered() -> None:
    passages = [
        passage("Dental treatment and the checks of teeth are paid by the silver plan of insurance.", document="a"),
        passage("Notice of two months is given by staff before they leave the company.", document="b"),
        passage("Teeth and dental treatment are a subject of the yearly insurance plan survey.", document="c"),
    ]
    quoted = quote("Which dental treatment of teeth does the plan pay, and how much notice does staff give?", passages)
    assert quoted.index("silver plan of insurance. [1]") < quoted.index("Notice of two months")
    assert "Notice of two months is given by staff before they leave the company. [2]" in quoted


def test_a_part_that_nothing_answers_is_passed_over() -> None:
    passages = [passage("Notice of two months is given by staff before they leave the company.", coverage=0.5)]
    quoted = quote("How much notice does staff give, and what do giraffes eat for breakfast?", passages)
    assert quoted.endswith("Notice of two months is given by staff before they leave the company. [1]")
