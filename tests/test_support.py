import pytest

from millstream.search import Passage
from millstream.support import Cited, Support

LEAVE = (
    "Employees receive twenty days of paid holiday each calendar year. They may carry five days over into the next "
    "year. Unused days are paid out at $1,250.50 at most when the contract ends."
)
DENTAL = (
    "The dental plan of the company pays for two check-ups a year and for fillings, up to 900 euros for each person."
)
GERMAN = (
    "Angestellte erhalten 20 Tage bezahlten Urlaub im Kalenderjahr. Sie dürfen 5 Tage in das nächste Jahr mitnehmen."
)


def passage(n: int, text: str, title: str = "Handbook") -> Passage:
    return Passage(f"s{n}", f"d{n}", "v", title, "u", text)


@pytest.fixture
def support() -> Support:
    return Support("How many days of leave did we have in 2024?", [passage(1, LEAVE), passage(2, DENTAL)])


def flagged(support: Support, answer: str, *cited: Cited) -> list[tuple[str, tuple[str, ...]]]:
    return [(answer[one.start : one.end], one.missing) for one in support.review(answer, cited).unsupported]


def test_a_mark_of_the_right_source_stays(support: Support) -> None:
    assert support.corrected(1, "Employees receive 20 days of paid holiday each year") == 1
    assert support.corrected(2, "The dental plan pays for two check-ups a year") == 2


def test_a_mark_of_another_source_is_put_right_where_that_is_certain(support: Support) -> None:
    assert support.corrected(2, "Employees receive twenty days of paid holiday each year") == 1
    assert support.corrected(1, "The plan pays up to 900 euros for dental fillings of each person") == 2


def test_a_mark_of_a_source_that_says_nothing_of_it_is_dropped(support: Support) -> None:
    assert support.corrected(1, "The canteen is open for the visitors of neighbouring offices and shops") is None


@pytest.mark.parametrize(
    "statement",
    [
        "Staff may take some weeks off",  # in other words: not certain
        "Twenty days",  # too short to tell
        "",
        "Le personnel reçoit des congés payés de la part de l'entreprise",  # another language
        "日本語の答えです",
    ],
)
def test_a_mark_that_is_not_certainly_wrong_stays(support: Support, statement: str) -> None:
    assert support.corrected(1, statement) == 1


def test_a_missing_citation_is_added_where_it_is_certain(support: Support) -> None:
    answer = "You asked about leave.\n\n- Employees receive twenty days of paid holiday each year.\n- Enjoy them!"
    (added,) = support.review(answer, []).added
    assert (added.n, answer[added.start : added.end]) == (
        1,
        "Employees receive twenty days of paid holiday each year.",
    )
    assert support.review(answer, [Cited(1, added.start, added.end - 1)]).added == []
    assert support.review("Employees receive 21 days of paid holiday each calendar year.", []).added == []


def test_numbers_that_no_cited_source_holds_are_flagged(support: Support) -> None:
    answer = "Employees receive 25 days of paid holiday in 2024. Five days may be carried over, or 5 of them."
    assert flagged(support, answer, Cited(1, 0, 48)) == [
        ("Employees receive 25 days of paid holiday in 2024.", ("25",))
    ]
    other = "Up to 900 euros are paid."
    assert flagged(support, other, Cited(2, 0, 20)) == []
    assert flagged(support, other, Cited(1, 0, 20)) == [(other, ("900",))]
    assert flagged(support, other) == []


@pytest.mark.parametrize("number", ["1250.5", "1,250.50", "1250,50", "20", "$1,250.50"])
def test_a_number_may_be_written_in_another_way(support: Support, number: str) -> None:
    assert flagged(support, f"It is {number}.", Cited(1, 0, 5)) == []


def test_quotations_that_no_source_holds_are_flagged(support: Support) -> None:
    right = "It says: “They may carry … into the next year”."
    assert flagged(support, right) == []
    wrong = "It says “they may carry ten days over”."
    assert flagged(support, wrong) == [(wrong, ("they may carry ten days over",))]
    assert flagged(support, "They call it “free days”.") == []


def test_a_statement_about_something_else_is_flagged(support: Support) -> None:
    invented = "The canteen is open for the visitors of neighbouring offices and shops."
    assert flagged(support, f"{invented} Employees receive twenty days of paid holiday.") == [(invented, ())]


REAL = (
    "Employees receive twenty days of paid holiday each calendar year, and they may carry five of those days over into "
    "the next year. What is not used is paid out when the contract ends."
)


def test_an_invented_statement_with_few_small_words_is_judged_in_the_language_of_its_answer(support: Support) -> None:
    invented = "Zebras fly purple rockets over Wellington every single Tuesday morning."
    assert flagged(support, f"{REAL} {invented}") == [(invented, ())]
    cited = Cited(2, len(REAL) + 1, len(REAL) + 1 + len(invented))
    assert flagged(support, f"{REAL} {invented}", cited) == [(invented, ())]
    german = Support(
        "Urlaub?", [passage(1, f"{GERMAN} Das gilt für alle, die bei uns mit Vertrag tätig sind, und nur für sie.")]
    )
    said = "Das gilt für alle mit Vertrag, und die dürfen nur 5 Tage in das nächste Jahr mitnehmen."
    invented = "Zebras steuern lila Raketen jeden Dienstag über die Stadt Wellington."
    assert flagged(german, f"{said} {invented}") == [(invented, ())]


@pytest.mark.parametrize(
    "sentence",
    [
        "Das Personal erhält bezahlten Urlaub in jedem einzelnen Kalenderjahr.",
        "Le personnel touche des indemnités lors de chaque absence maladie.",
        "El personal recibe vacaciones pagadas durante cada temporada de verano.",
        "Zebras pilot purple rockets every single Tuesday morning.",  # nothing tells of a language
    ],
)
def test_a_sentence_in_another_language_than_its_answer_is_not_judged(support: Support, sentence: str) -> None:
    assert flagged(support, f"{REAL} {sentence}") == []


def test_an_answer_in_another_language_may_quote_its_source(support: Support) -> None:
    answer = (
        "Im Handbuch steht: “They may carry five days over into the next year”. Das gilt für das ganze Personal. "
        "Over allen Standorten hängen Listen mit Namen und Terminen."
    )
    assert flagged(support, answer) == []


@pytest.mark.parametrize(
    "answer",
    [
        "The sources do not mention a canteen, a car park or neighbouring shops.",
        "# Canteens, car parks and neighbouring shops\n\n```\n1234 canteens, car parks, neighbouring shops\n```",
        "Here are the canteens, car parks and neighbouring shops of the district:",
        "Shall we look for canteens, car parks and neighbouring shops of the district?",
        "Das Personal erhält bezahlten Urlaub in jedem einzelnen Kalenderjahr.",
        "",
    ],
)
def test_what_states_nothing_is_not_flagged(support: Support, answer: str) -> None:
    assert flagged(support, answer) == []


def test_an_answer_in_another_language_than_its_source_is_judged_by_its_numbers() -> None:
    support = Support("Wie viel Urlaub?", [passage(1, LEAVE)])
    assert support.corrected(1, GERMAN.split(". ")[0]) == 1
    assert flagged(support, GERMAN, Cited(1, 0, 10)) == []
    wrong = GERMAN.replace("20", "30")
    assert flagged(support, wrong, Cited(1, 0, 10))[0][1] == ("30",)


def test_an_offset_moves_all_spans(support: Support) -> None:
    answer = "Employees receive twenty days of paid holiday each year. They get 99 bonus days."
    review = support.review(answer, [], offset=100)
    assert [added.start for added in review.added] == [100]
    assert [one.start for one in review.unsupported] == [100 + answer.index("They")]
