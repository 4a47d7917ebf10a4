"""`millstream sync` and `millstream search`: the documents without a server."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import rich.progress
import typer
from rich.console import Console

from millstream.documents.sync import Progress, Report
from millstream.documents.sync import sync as sync_documents
from millstream.folder import DataFolder
from millstream.search import Passage
from millstream.search.sqlite import MAX_LIMIT, SqliteIndex
from millstream.server.settings import load_settings

OWNER = "local"
SNIPPET_CHARACTERS = 300

DataOption = Annotated[Path | None, typer.Option(help="Folder of the index; see MILLSTREAM_DATA.")]


class Hit(msgspec.Struct):
    """One line of `search --json`. Pages are null for a format without pages."""

    n: int
    uri: str
    title: str
    page_start: int | None
    page_end: int | None
    score: float | None
    text: str


def sync(
    documents: Annotated[list[Path], typer.Argument(help="Folders (with all below them) and files.")],
    data: DataOption = None,
) -> None:
    """Bring the index in step with DOCUMENTS: new and changed files in, deleted ones out.

    Works while a server runs. Exits with 1 when some files could not be read; the rest is indexed.
    """
    index = _open_index(data)
    try:
        with _showing_progress() as show:
            report = sync_documents(documents, index, OWNER, show)
    finally:
        asyncio.run(index.close())
    for failure in report.failed:
        typer.echo(f"failed: {failure.uri}: {failure.reason}", err=True)
    typer.echo(summary(report))
    if report.failed:
        raise typer.Exit(1)


def search(
    query: Annotated[str, typer.Argument(help="A question, or words to look for.")],
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    limit: Annotated[int, typer.Option(help="Passages at most.", min=1, max=MAX_LIMIT)] = 5,
    data: DataOption = None,
) -> None:
    """Show the passages that fit QUERY best, best first."""
    passages, documents = asyncio.run(_search(_open_index(data), query, limit))
    for n, passage in enumerate(passages, 1):
        typer.echo(_as_json(n, passage) if json else _as_text(n, passage))
    if not documents:
        typer.echo("There are no documents yet. Add some with: millstream sync FOLDER", err=True)
    elif not passages:
        typer.echo("No passage has any of these words.", err=True)


async def _search(index: SqliteIndex, query: str, limit: int) -> tuple[list[Passage], int]:
    try:
        return await index.search(query, owner=OWNER, limit=limit), await index.document_count(owner=OWNER)
    finally:
        await index.close()


def _open_index(data: Path | None) -> SqliteIndex:
    folder = DataFolder(load_settings(data=data).data)
    return SqliteIndex(folder.path / "index.db")


def summary(report: Report) -> str:
    counts = ("added", "changed", "unchanged", "removed")
    return ", ".join([*(f"{getattr(report, name)} {name}" for name in counts), f"{len(report.failed)} failed"])


@contextmanager
def _showing_progress() -> Iterator[Callable[[Progress], None]]:
    """A bar in a terminal; elsewhere one line for each file that was not left as it is."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _show_line
        return
    columns = (
        rich.progress.BarColumn(),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TimeRemainingColumn(),
        rich.progress.TextColumn("{task.description}", markup=False),
    )
    with rich.progress.Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("Looking for documents…", total=None)
        yield lambda progress: bar.update(task, completed=progress.done, total=progress.total, description=progress.uri)


def _show_line(progress: Progress) -> None:
    if progress.outcome in ("added", "changed", "removed"):
        typer.echo(f"{progress.outcome}: {progress.uri}", err=True)


def _as_json(n: int, passage: Passage) -> str:
    hit = Hit(n, passage.uri, passage.title, passage.page_start, passage.page_end, passage.score, passage.text)
    return msgspec.json.encode(hit).decode()


def _as_text(n: int, passage: Passage) -> str:
    words = " ".join(passage.text.split())
    snippet = words if len(words) <= SNIPPET_CHARACTERS else words[: SNIPPET_CHARACTERS - 1].rsplit(" ", 1)[0] + "…"
    page = f", page {passage.page_start}" if passage.page_start is not None else ""
    return f"[{n}] {passage.title} ({passage.uri}{page})\n    {snippet}\n"
