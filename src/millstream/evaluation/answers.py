"""Measure answers: are they cited, from the right pages, grounded in them, and refused where they should be?

An answer is the work of the whole pipeline, as a server would give it: every question is a run of its own.
"""

import asyncio
import re
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import msgspec

from millstream.answers.adapt import Answer
from millstream.conversations.sqlite import SqliteConversations
from millstream.database import Database
from millstream.errors import ModelError
from millstream.evaluation.facts import facts, holds
from millstream.evaluation.judge import PASS, Judge, Judgement
from millstream.evaluation.questions import Judged, Question, QuestionSet
from millstream.evaluation.results import Result, Results
from millstream.events import TextDelta, decode_all
from millstream.logs.memory import MemoryLog
from millstream.models import ChatModel, ModelOptions, ModelOutput, Prompt
from millstream.request import GivenMessage, RunOptions, RunRequest
from millstream.run import Run
from millstream.search import Passage
from millstream.sentences import statements
from millstream.server.app import MIGRATIONS
from millstream.snapshot import Fold, Message, SourceState
from millstream.starting import Registered
from millstream.supervisor import Supervisor
from millstream.support import Support

AT_ONCE = 4  # questions that are answered at a time by a model that somebody else runs

# What an answer without citations says when it is a refusal.
_REFUSAL = re.compile(
    r"(?:\b(?:not|no|nothing|unable|cannot|none|neither)|n['’]t)\b.{0,80}?\b(?:find|found|contain\w*|mention\w*|provide\w*|"
    r"specif\w*|cover\w*|state\w*|include\w*|information|answer\w*|know|documents?|sources?|say)\b"
    r"|\bfound nothing\b|\bnothing in\b",
    re.IGNORECASE | re.DOTALL,
)

Answering = Callable[[ChatModel], Answer]


class Told(msgspec.Struct, frozen=True):
    """An answer, the passages that it was given, and the seconds to its first word and to its end."""

    message: Message
    passages: Sequence[Passage]
    seconds: float
    first_word: float | None = None

    @property
    def refused(self) -> bool:
        """It cites nothing, and says why or says nothing."""
        return not self.message.citations and (not self.message.content or bool(_REFUSAL.search(self.message.content)))

    @property
    def cited(self) -> list[SourceState]:
        """The distinct sources that are cited."""
        numbers = {citation.n for citation in self.message.citations}
        return [source for source in self.message.sources if source.n in numbers]

    @property
    def cited_pages(self) -> list[SourceState]:
        """The same, each as the pages of it that are named: where a citation names one, that one alone."""
        named = {(citation.n, citation.page) for citation in self.message.citations}
        whole = {n for n, page in named if page is None}
        return [
            source if source.n in whole else msgspec.structs.replace(source, page_start=page, page_end=page)
            for source in self.cited
            for n, page in sorted(named, key=lambda one: (one[0], one[1] or 0))
            if n == source.n and (page is None or n not in whole)
        ]


async def measure_answers(
    answering: Answering,
    model: ChatModel,
    questions: QuestionSet,
    *,
    name: str,
    owner: str,
    configuration: Mapping[str, str],
    judge: Judge | None = None,
    on_progress: Callable[[int], None] = lambda done: None,
) -> Results:
    """Asks every question by the answer that `answering` makes for a model, each as a run of its own."""
    began = time.monotonic()
    turns = asyncio.Semaphore(1 if model.quotes else AT_ONCE)
    done = 0

    async def one(teller: "_Teller", question: Question) -> Result:
        nonlocal done
        async with turns:
            told = await teller.tell(question, owner)
            result = score(question, told)
            if judge is not None and told.message.error is None:
                result = await _judged(judge, question, told, result)
        done += 1
        on_progress(done)
        return result

    async with _teller(answering, model) as teller, asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(teller, question)) for question in questions.questions]
    results = [task.result() for task in tasks]
    return Results(name, questions.name, dict(configuration), results, time.monotonic() - began)


def score(question: Question, told: Told) -> Result:
    """The metrics of one answer that need no judge. `detail` holds the answer and what it cites."""
    metrics = {"failed": float(told.message.error is not None)}
    if told.message.error is not None:
        return Result(question.id, question.text, metrics, _detail(told))
    if not question.answerable:
        metrics["refused unanswerable"] = float(told.refused)
    else:
        metrics["falsely refused"] = float(told.refused)
        if not told.refused:
            metrics["any citation"] = float(bool(told.cited))
            metrics["sources cited"] = float(len(told.cited))
            metrics["grounded statements"] = _grounded(question, told)
        metrics |= _citations(question, told)
        if question.truth and (wanted := facts(question.truth, question.text)):
            metrics["facts"] = sum(holds(told.message.content, fact) for fact in wanted) / len(wanted)
    metrics["seconds"] = told.seconds
    if told.first_word is not None:
        metrics["seconds to the first word"] = told.first_word
    return Result(question.id, question.text, metrics, _detail(told))


def _citations(question: Question, told: Told) -> dict[str, float]:
    """Matched: the part of the judged pages that are cited. Precision: the part of the cited sources that are right.

    A source is right on each page that it covers, two at most; "named page" counts only the one that a citation names.
    """
    if not question.judged:
        return {}
    metrics = {}
    for label, cited, tolerance in (
        ("", told.cited, 0),
        (", named page", told.cited_pages, 0),
        (" ±1 page", told.cited, 1),
    ):
        metrics[f"citations matched{label}"] = _matched(question.judged, cited, tolerance)
        if cited:
            right = [any(_is_of(source, judged, tolerance) for judged in question.judged) for source in cited]
            metrics[f"citation precision{label}"] = sum(right) / len(right)
    return metrics


def _matched(judged: Sequence[Judged], cited: Sequence[SourceState], tolerance: int) -> float:
    return sum(any(_is_of(source, each, tolerance) for source in cited) for each in judged) / len(judged)


def _is_of(source: SourceState, judged: Judged, tolerance: int) -> bool:
    if source.uri != judged.document and not source.uri.endswith(f"/{judged.document}"):
        return False
    if judged.page is None:
        return True
    if source.page_start is None:
        return False
    return source.page_start - tolerance <= judged.page <= (source.page_end or source.page_start) + tolerance


def _grounded(question: Question, told: Told) -> float:
    """The part of the statements most of which stands in the sources that they cite."""
    support = Support(question.text, told.passages)
    text = told.message.content
    spans = [(start, end) for start, end in statements(text) if not text[start:end].rstrip("*_ ").endswith((":", "?"))]
    if not spans:
        return 1.0
    held = [
        support.holds(text[start:end], sorted({c.n for c in told.message.citations if c.start < end and start < c.end}))
        for start, end in spans
    ]
    return sum(held) / len(held)


async def _judged(judge: Judge, question: Question, told: Told, result: Result) -> Result:
    """With the judge's scores. Where it gave none, the metric is left out and `detail` tells."""
    answer = told.message.content
    judgements: dict[str, Judgement] = {}
    try:
        judgements["groundedness"] = await judge.groundedness(question.text, answer, told.passages)
        if question.answerable:
            judgements["relevance"] = await judge.relevance(question.text, answer, question.truth)
    except ModelError as error:
        judgements["judge"] = Judgement(None, error.message)
    metrics = dict(result.metrics)
    for scale, judgement in judgements.items():
        if judgement.score is not None:
            metrics[f"{scale} (1 to 5)"] = judgement.score
            metrics[f"{scale} ≥ {PASS}"] = float(judgement.score >= PASS)
    detail = result.detail | {"judge": msgspec.to_builtins(judgements)}
    return msgspec.structs.replace(result, metrics=metrics, detail=detail)


def _detail(told: Told) -> dict[str, object]:
    detail: dict[str, object] = {
        "answer": told.message.content,
        "cited": [_place(source) for source in told.cited],
        "sources": [_place(source) for source in told.message.sources],
    }
    if told.message.unsupported:
        content = told.message.content
        detail["unsupported"] = [content[one.start : one.end] for one in told.message.unsupported]
    if told.message.error is not None:
        detail["error"] = told.message.error.message
    return detail


def _place(source: SourceState) -> str:
    if source.page_start is None:
        return source.uri
    pages = (
        source.page_start if source.page_end in (None, source.page_start) else f"{source.page_start}-{source.page_end}"
    )
    return f"{source.uri}#page={pages}"


class _Overheard:
    """A model that remembers the passages which it was given."""

    def __init__(self, model: ChatModel) -> None:
        self.name = model.name
        self.quotes = model.quotes
        self.passages: Sequence[Passage] = ()
        self._model = model

    async def stream(self, prompt: Prompt, options: ModelOptions) -> AsyncGenerator[ModelOutput, None]:
        self.passages = prompt.passages or self.passages
        async with aclosing(self._model.stream(prompt, options)) as outputs:
            async for output in outputs:
                yield output

    async def close(self) -> None:
        """The model is its owner's to close."""


class _Teller:
    def __init__(self, supervisor: Supervisor, given: dict[str, _Overheard]) -> None:
        self._supervisor = supervisor
        self._given = given

    async def tell(self, question: Question, owner: str) -> Told:
        began = time.monotonic()
        request = RunRequest(messages=[GivenMessage("user", question.text)], options=RunOptions(followups=False))
        run_id, _ = await self._supervisor.start(request, owner)
        fold = Fold()
        first_word: float | None = None
        async with self._supervisor.follow(run_id, owner) as follower:
            while frames := await follower.read():
                for event in decode_all(frames):
                    fold.add(event)
                    if first_word is None and isinstance(event, TextDelta):
                        first_word = event.at / 1000
        passages = self._given.pop(run_id).passages
        return Told(fold.snapshot().message, passages, time.monotonic() - began, first_word)


@asynccontextmanager
async def _teller(answering: Answering, model: ChatModel) -> AsyncIterator[_Teller]:
    given: dict[str, _Overheard] = {}

    async def answer(run: Run) -> None:
        given[run.id] = overheard = _Overheard(model)
        await answering(overheard)(run)

    with tempfile.TemporaryDirectory(prefix="millstream-") as folder:
        database = Database(Path(folder) / "runs.db", MIGRATIONS)
        supervisor = Supervisor(MemoryLog(), SqliteConversations(database), {"default": Registered(answer, model.name)})
        try:
            yield _Teller(supervisor, given)
        finally:
            await supervisor.close()
            await database.close()
