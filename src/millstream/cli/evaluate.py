"""`millstream eval`: how good search and answers are, on judged sets of questions."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Annotated, Literal

import rich.progress
import typer
from rich.console import Console

from millstream.cli.index import OWNER
from millstream.errors import InputError
from millstream.evaluation.answers import measure_answers
from millstream.evaluation.corpus import index_corpus, index_folder
from millstream.evaluation.judge import Judge
from millstream.evaluation.questions import QuestionSet, merged, read_questions
from millstream.evaluation.report import report
from millstream.evaluation.results import Results, load, save, together
from millstream.evaluation.retrieval import measure, unindexed
from millstream.folder import DataFolder
from millstream.models import ChatModel
from millstream.models.configure import create_model
from millstream.models.timeouts import Timeouts
from millstream.search import configure
from millstream.search.backfill import Backfill
from millstream.search.sqlite import SqliteIndex
from millstream.server.answering import create_rag
from millstream.server.settings import Settings, load_settings, provider_environment

Half = Literal["lexical", "semantic"]


def evaluate(
    questions: Annotated[
        list[Path], typer.Argument(help="Folders (queries.jsonl, qrels.tsv, corpus.jsonl) or JSONL files.")
    ],
    indexed: Annotated[
        bool, typer.Option("--indexed", help="Ask the documents in the data folder, not the set's own corpus.")
    ] = False,
    halves: Annotated[
        bool, typer.Option("--halves", help="Measure search by words and by meaning alone too, and compare.")
    ] = False,
    answers: Annotated[bool, typer.Option("--answers", help="Measure the answers too, not the search alone.")] = False,
    judge: Annotated[
        str | None,
        typer.Option(help="A model that scores the answers: openai/NAME, azure/DEPLOYMENT."),
    ] = None,
    name: Annotated[str, typer.Option(help="What to call this run in reports.")] = "this run",
    out: Annotated[Path | None, typer.Option(help="Keep the results in this file, question by question.")] = None,
    compare: Annotated[Path | None, typer.Option(help="Results of an earlier run to compare with.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the index; see MILLSTREAM_DATA.")] = None,
) -> None:
    """Measure search and answers, as they are configured, on judged QUESTIONS. Prints a report in Markdown."""
    settings = load_settings(data=data)
    earlier = load(compare) if compare else None
    asked = merged([read_questions(path, own_corpus=not indexed) for path in questions])
    runs = asyncio.run(
        _evaluate(asked, settings, name, halves=halves, answers=answers or judge is not None, judge=judge)
    )
    if out is not None:
        save(runs[0], out)
    typer.echo(report(*runs, *([earlier] if earlier else [])), nl=False)


async def _evaluate(
    questions: QuestionSet, settings: Settings, name: str, *, halves: bool, answers: bool, judge: str | None
) -> list[Results]:
    """The run, and with `halves` those of its halves."""
    judged = any(question.judged for question in questions.questions)
    if not judged and not answers:
        raise InputError(f"None of the questions of {questions.name!r} says which documents answer it.")
    folder = DataFolder(settings.data).path
    if questions.corpus is not None:
        folder = DataFolder(index_folder(folder, questions.corpus)).path
    await _prepare(folder, settings, questions)
    runs = [await _measure(folder, settings, questions, name)] if judged else []
    if answers:
        answered = await _measure_answers(folder, settings, questions, name, judge)
        runs = [together(runs[0], answered)] if runs else [answered]
    if halves and judged and settings.embedder != "none":
        runs.append(await _measure(folder, settings, questions, "words alone", "lexical"))
        runs.append(await _measure(folder, settings, questions, "meaning alone", "semantic"))
    return runs


async def _prepare(folder: Path, settings: Settings, questions: QuestionSet) -> None:
    """Everything that will be searched is indexed and has its vector."""
    async with _opened(folder, settings) as index:
        if questions.corpus is not None:
            with _progress("Indexing the corpus") as show:
                await asyncio.to_thread(index_corpus, questions.corpus, index, lambda done: show(done, None))
        elif not await index.document_count(owner=OWNER):
            raise InputError("There are no documents in the data folder. Add some first: millstream sync FOLDER")
        for document in unindexed(questions, [known.uri for known in await index.documents(owner=OWNER)]):
            typer.echo(f"Not in the index, so always missed: {document}", err=True)
        with _progress("Making vectors") as show:
            await Backfill(index.path, index.embedder, lambda made: show(made.done, made.total)).run()


async def _measure(
    folder: Path, settings: Settings, questions: QuestionSet, name: str, only: Half | None = None
) -> Results:
    configuration = {"embedder": settings.embedder}
    if settings.reranker is not None:
        configuration["reranker"] = settings.reranker.name
    async with _opened(folder, settings, only) as index:
        with _progress(f"Asking ({name})") as show:
            return await measure(
                index,
                questions,
                name=name,
                owner=OWNER,
                configuration=configuration,
                on_progress=lambda done: show(done, len(questions.questions)),
            )


async def _measure_answers(
    folder: Path, settings: Settings, questions: QuestionSet, name: str, judge: str | None
) -> Results:
    async with AsyncExitStack() as opened:
        index = await opened.enter_async_context(_opened(folder, settings))
        model = _model(settings.model, settings)
        opened.push_async_callback(model.close)
        configuration = {"embedder": settings.embedder, "model": model.name, "sources": str(settings.sources)}
        referee: Judge | None = None
        if judge is not None:
            judging = _model(judge, settings)
            opened.push_async_callback(judging.close)
            referee = Judge(judging)
            configuration["judge"] = judging.name
        with _progress(f"Answering ({name})") as show:
            return await measure_answers(
                lambda asked: create_rag(index, asked, settings),
                model,
                questions,
                name=name,
                owner=OWNER,
                configuration=configuration,
                judge=referee,
                on_progress=lambda done: show(done, len(questions.questions)),
            )


def _model(name: str, settings: Settings) -> ChatModel:
    timeouts = Timeouts(settings.connect_timeout, settings.first_token_timeout, settings.between_tokens_timeout)
    return create_model(name, environ=provider_environment(), timeouts=timeouts, quote_pace=0)


@asynccontextmanager
async def _opened(folder: Path, settings: Settings, only: Half | None = None) -> AsyncIterator[SqliteIndex]:
    index = configure.open_index(
        folder, embedder=settings.embedder, environ=provider_environment(), reranker=settings.reranker, only=only
    )
    try:
        yield index
    finally:
        await index.close()


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int | None], None]]:
    """A bar in a terminal, elsewhere nothing: the report is all that is printed."""
    console = Console(stderr=True)
    with rich.progress.Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
