import pytest

from millstream.evaluation.questions import Judged, Question
from millstream.evaluation.retrieval import score
from millstream.search import Passage


def page(document: str, start: int | None = None, end: int | None = None, n: int = 0) -> Passage:
    return Passage(f"{document}.{n}", document, "1", document, f"docs/{document}", "text", start, end)


BOTH = Question("q", "?", (Judged("a.pdf", 5), Judged("b.pdf", 1)))


def test_a_passage_holds_every_page_that_it_covers_and_begins_on_one() -> None:
    metrics = score(BOTH, [page("a.pdf", 4, 5)], by_page=True).metrics
    assert (metrics["hit@1"], metrics["hit@1 first page"], metrics["hit@1 ±1 page"]) == (1, 0, 1)
    assert metrics["recall@3"] == 0.5


@pytest.mark.parametrize(("first", "last", "near"), [(6, 7, 1), (3, 4, 1), (7, 7, 0), (1, 3, 0)])
def test_the_next_page_is_near(first: int, last: int, near: float) -> None:
    metrics = score(BOTH, [page("a.pdf", first, last)], by_page=True).metrics
    assert (metrics["hit@1"], metrics["hit@1 ±1 page"]) == (0, near)


def test_another_document_of_a_similar_name_is_another() -> None:
    metrics = score(BOTH, [page("aa.pdf", 5, 5), page("b.pdf", 1, 1)], by_page=True).metrics
    assert (metrics["hit@1"], metrics["hit@3"], metrics["MRR@10"]) == (0, 1, 0.5)


def test_a_document_counts_once_at_its_best_passage() -> None:
    question = Question("q", "?", (Judged("b", grade=3), Judged("c")))
    passages = [page("a", n=0), page("a", n=1), page("b", n=0), page("a", n=2), page("c", n=0)]
    metrics = score(question, passages, by_page=False).metrics
    assert (metrics["MRR@10"], metrics["hit@3"], metrics["recall@3"]) == (0.5, 1, 1)
    assert metrics["nDCG@10"] < metrics["nDCG@10 grades as 1"] < 1


def test_nothing_found_is_nothing_gained() -> None:
    assert set(score(BOTH, [], by_page=True).metrics.values()) == {0}
