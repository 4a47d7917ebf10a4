"""`millstream search`: what the index finds, and why."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated

import msgspec
import typer

from millstream.cli.index import OWNER, DataOption, open_index
from millstream.cli.terminal import harmless
from millstream.search import EVERYTHING, Filter, Match, Passage
from millstream.search.backfill import missing_vectors
from millstream.search.sqlite import MAX_LIMIT, SqliteIndex
from millstream.snippets import snippet


class Hit(msgspec.Struct):
    """One line of `search --json`. Pages are null for a format without pages."""

    n: int
    uri: str
    title: str
    page_start: int | None
    page_end: int | None
    score: float | None
    text: str


class ExplainedHit(Hit):
    """One line of `search --json --explain`: null where a half of the search did not find the passage."""

    coverage: float | None
    lexical: Match | None
    semantic: Match | None
    reranked: float | None


def search(
    query: Annotated[str, typer.Argument(help="A question, or words to look for.")],
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Rank and score of each half of the search.")] = False,
    limit: Annotated[int, typer.Option(help="Passages at most.", min=1, max=MAX_LIMIT)] = 5,
    within: Annotated[list[str] | None, typer.Option(help="Only this document, or folder, by its uri.")] = None,
    format: Annotated[list[str] | None, typer.Option(help="Only documents of this format: pdf, markdown, …")] = None,
    since: Annotated[datetime | None, typer.Option(help="Only documents changed on this day or later.")] = None,
    before: Annotated[datetime | None, typer.Option(help="Only documents changed before this day.")] = None,
    data: DataOption = None,
) -> None:
    """Show the passages that fit QUERY best, best first."""
    where = Filter(tuple(within or ()), tuple(format or ()), _milliseconds(since), _milliseconds(before))
    passages, documents, missing = asyncio.run(_search(open_index(data), query, limit, where))
    for n, passage in enumerate(passages, 1):
        typer.echo(_as_json(n, passage, explain) if json else _as_text(n, passage, explain))
    if not documents:
        typer.echo("There are no documents yet. Add some with: millstream sync FOLDER", err=True)
    elif not passages:
        where_looked = "" if where == EVERYTHING else " among the documents that were asked for"
        typer.echo(f"No passage has any of these words{where_looked}.", err=True)
    if missing and explain:
        typer.echo(f"{missing:,} passages have no vector yet and are found by their words alone.", err=True)


def _milliseconds(day: datetime | None) -> int | None:
    """Since 1970, of a day by this machine's clock."""
    if day is None:
        return None
    try:
        return int(day.timestamp() * 1000)
    except (ValueError, OverflowError, OSError):  # a clock knows neither the first nor the last day of the calendar
        return int(day.replace(tzinfo=UTC).timestamp() * 1000)


async def _search(index: SqliteIndex, query: str, limit: int, where: Filter) -> tuple[list[Passage], int, int]:
    try:
        passages = await index.search(query, owner=OWNER, limit=limit, where=where)
        missing = await asyncio.to_thread(missing_vectors, index.path, index.embedder)
        return passages, await index.document_count(owner=OWNER), missing
    finally:
        await index.close()


def _as_json(n: int, passage: Passage, explain: bool) -> str:
    kind = ExplainedHit if explain else Hit
    known = {"n": n} | {name: getattr(passage, name) for name in kind.__struct_fields__ if name != "n"}
    return msgspec.json.encode(kind(**known)).decode()


def _as_text(n: int, passage: Passage, explain: bool) -> str:
    page = f", page {passage.page_start}" if passage.page_start is not None else ""
    why = f"    {_explanation(passage)}\n" if explain else ""
    return f"[{n}] {passage.title} ({passage.uri}{page})\n{why}    {harmless(snippet(passage))}\n"


def _explanation(passage: Passage) -> str:
    parts = [f"score {passage.score:g}"] if passage.score is not None else []
    if passage.reranked is not None:
        parts.append("by the reranker")
    for name, match, unit in (("words", passage.lexical, "BM25"), ("meaning", passage.semantic, "cosine")):
        parts.append(f"{name} #{match.rank} ({unit} {match.score:g})" if match else f"{name} –")
    if passage.coverage is not None:
        parts.append(f"{passage.coverage:.0%} of the question's words")
    return " · ".join(parts)
