from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from millstream.answers.rag import RagAnswer
from millstream.documents.sync import sync
from millstream.evaluation.answers import Told, measure_answers, score
from millstream.evaluation.judge import Judge
from millstream.evaluation.questions import Judged, Question, QuestionSet
from millstream.evaluation.results import Results
from millstream.models import ChatModel
from millstream.models.extractive import NOT_FOUND, ExtractiveModel
from millstream.models.script import Refused, SayText, Script, ScriptedCall
from millstream.models.scripted import ScriptedModel
from millstream.search import Passage
from millstream.search.sqlite import SqliteIndex
from millstream.snapshot import CitationState, Message, SourceState

LEAVE = "Employees receive twenty days of paid holiday each calendar year."
ASKED = Question(
    "1", "How many days of holiday?", (Judged("leave.pdf", 3), Judged("leave.pdf", 9)), "Staff get 20 days, says Ann."
)


def told(content: str, *cited: int) -> Told:
    """An answer of one statement, which cites pages of a document."""
    sources = [
        SourceState(n, f"s{n}", "d", "v", "Leave", "docs/leave.pdf", LEAVE, page_start=page, page_end=page)
        for n, page in enumerate((3, 5, 10), 1)
    ]
    citations = [CitationState(n, 0, len(content)) for n in cited]
    passages = [Passage(f"s{n}", "d", "v", "Leave", "docs/leave.pdf", LEAVE) for n in (1, 2, 3)]
    return Told(Message(content, [], sources, citations, []), passages, 2.0, 1.0)


def test_citations_are_measured_against_the_judged_pages() -> None:
    metrics = score(ASKED, told("Employees receive 20 days of paid holiday.", 1, 2)).metrics
    assert (metrics["citations matched"], metrics["citation precision"]) == (0.5, 0.5)
    assert (metrics["any citation"], metrics["sources cited"]) == (1, 2)
    near = score(ASKED, told("Employees receive 20 days of paid holiday.", 1, 3)).metrics
    assert (near["citations matched ±1 page"], near["citation precision ±1 page"]) == (1, 1)


def test_facts_and_grounded_statements() -> None:
    metrics = score(ASKED, told("Employees receive 20 days of paid holiday.", 1)).metrics
    assert (metrics["facts"], metrics["grounded statements"]) == (0.5, 1)
    assert score(ASKED, told("Employees receive 25 days of paid holiday.", 1)).metrics["grounded statements"] == 0


@pytest.mark.parametrize(
    "words",
    [
        NOT_FOUND,
        "The sources do not say how many.",
        "I don't know.",
        "There is no information about that.",
        "I'm sorry, I can't find the answer in your documents.",
        "",
    ],
)
def test_an_answer_that_cites_nothing_and_says_why_is_a_refusal(words: str) -> None:
    metrics = score(ASKED, told(words)).metrics
    assert metrics["falsely refused"] == 1
    assert metrics["citations matched"] == 0
    assert "any citation" not in metrics
    unanswerable = Question("2", "Who?", answerable=False)
    assert score(unanswerable, told(words)).metrics["refused unanswerable"] == 1


def test_an_answer_that_is_given_is_no_refusal() -> None:
    assert score(ASKED, told("Twenty days.")).metrics["falsely refused"] == 0
    assert score(ASKED, told("It is not said how many.", 1)).metrics["falsely refused"] == 0
    assert score(Question("2", "Who?", answerable=False), told("Twenty.", 1)).metrics["refused unanswerable"] == 0


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[SqliteIndex]:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "leave.md").write_text(LEAVE)
    index = SqliteIndex(tmp_path / "index.db")
    sync([tmp_path / "docs"], index)
    yield index
    await index.close()


SET = QuestionSet(
    "mine",
    [
        Question("1", "How many days of holiday do employees receive?", (Judged("leave.md"),), "Twenty days."),
        Question("2", "Who painted the ceiling?", answerable=False),
    ],
)


async def measured(
    index: SqliteIndex,
    model: ChatModel,
    judge: Judge | None = None,
    on_progress: Callable[[int], None] = lambda done: None,
) -> Results:
    return await measure_answers(
        lambda asked: RagAnswer(index, asked),
        model,
        SET,
        name="this",
        owner="local",
        configuration={},
        judge=judge,
        on_progress=on_progress,
    )


def says(*words: str) -> ScriptedModel:
    return ScriptedModel(Script([ScriptedCall([SayText(text=text)]) for text in words]))


def refuses() -> ScriptedModel:
    return ScriptedModel(Script([ScriptedCall([Refused(status=401, message="bad key")])] * 2))


async def test_every_question_is_answered_by_the_whole_pipeline(index: SqliteIndex) -> None:
    seen: list[int] = []
    results = await measured(index, ExtractiveModel(0), on_progress=seen.append)
    first, second = results.results
    assert first.metrics["citations matched"] == first.metrics["grounded statements"] == 1
    assert LEAVE in first.detail["answer"]
    assert first.detail["cited"] == ["docs/leave.md"]
    assert second.metrics["refused unanswerable"] == 1
    assert results.metrics()[0] == "failed"
    assert seen == [1, 2]


async def test_a_judge_scores_each_answer(index: SqliteIndex) -> None:
    judge = Judge(says('{"score": 5}', '{"score": 3}', "well", '{"score": 4}'))
    first, second = (await measured(index, ExtractiveModel(0), judge)).results
    assert (first.metrics["groundedness (1 to 5)"], first.metrics["groundedness ≥ 4"]) == (5, 1)
    assert (first.metrics["relevance (1 to 5)"], first.metrics["relevance ≥ 4"]) == (3, 0)
    assert "groundedness (1 to 5)" not in second.metrics
    assert second.detail["judge"]["groundedness"]["reason"] == "well"
    assert "relevance" not in second.detail["judge"]


async def test_an_answer_that_failed_is_counted(index: SqliteIndex) -> None:
    results = await measured(index, refuses())
    assert results.results[0].metrics == {"failed": 1}
    assert "error" in results.results[0].detail


async def test_a_judge_that_failed_is_told(index: SqliteIndex) -> None:
    results = await measured(index, ExtractiveModel(0), Judge(refuses()))
    assert results.results[0].metrics["citations matched"] == 1
    assert results.results[0].detail["judge"]["judge"]["score"] is None


def test_the_page_that_a_citation_names_is_measured_apart() -> None:
    source = SourceState(1, "s", "d", "v", "Leave", "docs/leave.pdf", LEAVE, page_start=3, page_end=4)
    passages = [Passage("s", "d", "v", "Leave", "docs/leave.pdf", LEAVE)]

    def named(*pages: int | None) -> tuple[float, float, float]:
        citations = [CitationState(1, 0, 9, page) for page in pages]
        metrics = score(ASKED, Told(Message("Yes indeed", [], [source], citations, []), passages, 2.0)).metrics
        return tuple(
            metrics[f"citation{name}"] for name in ("s matched", "s matched, named page", " precision, named page")
        )  # type: ignore[return-value]

    assert named(3) == (0.5, 0.5, 1.0)
    assert named(4) == (0.5, 0, 0)
    assert named(3, 4, 4) == (0.5, 0.5, 0.5)
    assert named(None, 4) == (0.5, 0.5, 1.0)
