"""Measure a search on a judged set: is what answers the question among the first passages?

Where pages are judged, a result is a passage. It holds a page exactly when the page is one of those that the passage
covers (two at most), "first page" when the passage begins on it, which is where a citation opens the document, and
"±1 page" when a covered page is it or the next to it. Where documents are judged, a result is a document, at the rank
of its best passage.
"""

import re
import time
from collections.abc import Callable, Iterable, Sequence

from millstream.evaluation.metrics import credited, hit, ndcg, recall, reciprocal_rank
from millstream.evaluation.questions import Judged, Question, QuestionSet
from millstream.evaluation.results import Result, Results
from millstream.search import Passage, Search

CUTS = (1, 3, 5, 10)
DEPTH = 10  # of MRR and nDCG
PASSAGES_OF_DOCUMENTS = 50  # fetched where documents are judged, since several may be of one document


async def measure(
    search: Search,
    questions: QuestionSet,
    *,
    name: str,
    owner: str,
    configuration: dict[str, str],
    on_progress: Callable[[int], None] = lambda done: None,
) -> Results:
    """Searches for every question that is judged, one after the other."""
    began = time.monotonic()
    limit = max(CUTS) if questions.by_page else PASSAGES_OF_DOCUMENTS
    results = []
    for question in questions.questions:
        if question.judged:
            passages = await search.search(question.text, owner=owner, limit=limit)
            results.append(score(question, passages, by_page=questions.by_page))
            on_progress(len(results))
    return Results(name, questions.name, configuration, results, time.monotonic() - began)


def unindexed(questions: QuestionSet, uris: Iterable[str]) -> list[str]:
    """The judged documents that are none of `uris`, in their order: whatever is found, they are missed."""
    names = {uri[start:] for uri in uris for start in (0, *(slash.end() for slash in re.finditer("/", uri)))}
    judged = dict.fromkeys(entry.document for question in questions.questions for entry in question.judged)
    return [document for document in judged if document not in names]


def score(question: Question, passages: Sequence[Passage], *, by_page: bool) -> Result:
    """The metrics of one question. `detail` lists what was found."""
    found = _by_page(question, passages) if by_page else _by_document(question, passages)
    return Result(question.id, question.text, found, {"found": [_detail(passage) for passage in passages[: max(CUTS)]]})


def _by_page(question: Question, passages: Sequence[Passage]) -> dict[str, float]:
    exact = [_held(passage, question.judged, 0) for passage in passages]
    near = [_held(passage, question.judged, 1) for passage in passages]
    first = [_held(passage, question.judged, 0, first_page=True) for passage in passages]
    metrics = _ranked(exact, question.judged)
    for label, held in (("first page", first), ("±1 page", near)):
        metrics |= {f"hit@{k} {label}": hit([len(items) for items in held], k) for k in CUTS}
    return metrics


def _by_document(question: Question, passages: Sequence[Passage]) -> dict[str, float]:
    distinct = {passage.document_id: passage for passage in reversed(passages)}
    best = sorted(distinct.values(), key=passages.index)
    return _ranked([_held(passage, question.judged, 0) for passage in best], question.judged)


def _ranked(held: Sequence[frozenset[int]], judged: Sequence[Judged]) -> dict[str, float]:
    grades = {item: float(entry.grade) for item, entry in enumerate(judged)}
    relevant = [float(len(items)) for items in held]
    metrics = {f"hit@{k}": hit(relevant, k) for k in CUTS}
    metrics |= {f"recall@{k}": recall(held, len(judged), k) for k in CUTS if k > 1}
    metrics[f"MRR@{DEPTH}"] = reciprocal_rank(relevant, DEPTH)
    metrics[f"nDCG@{DEPTH}"] = ndcg(credited(held, grades), list(grades.values()), DEPTH)
    ones = dict.fromkeys(grades, 1.0)
    metrics[f"nDCG@{DEPTH} grades as 1"] = ndcg(credited(held, ones), list(ones.values()), DEPTH)
    return metrics


def _held(passage: Passage, judged: Sequence[Judged], tolerance: int, *, first_page: bool = False) -> frozenset[int]:
    """Which of the judged items this passage holds, by their index."""
    return frozenset(
        item
        for item, entry in enumerate(judged)
        if _is_document(passage.uri, entry.document) and _is_page(passage, entry.page, tolerance, first_page)
    )


def _is_document(uri: str, name: str) -> bool:
    return uri == name or uri.endswith(f"/{name}")


def _is_page(passage: Passage, page: int | None, tolerance: int, first_page: bool) -> bool:
    if page is None:
        return True
    if passage.page_start is None:
        return False
    last = passage.page_start if first_page else passage.page_end or passage.page_start
    return passage.page_start - tolerance <= page <= last + tolerance


def _detail(passage: Passage) -> dict[str, object]:
    detail = {
        "uri": passage.uri,
        "page_start": passage.page_start,
        "page_end": passage.page_end,
        "score": passage.score,
        "lexical": passage.lexical and passage.lexical.rank,
        "semantic": passage.semantic and passage.semantic.rank,
    }
    return {name: value for name, value in detail.items() if value is not None}
