"""`millstream sync`: the documents into the index, without a server."""

import asyncio
import datetime
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated

import msgspec
import rich.progress
import typer
from rich.console import Console

from millstream.cli.index import OWNER, DataOption, open_index
from millstream.documents.pool import ReaderPool
from millstream.documents.sync import Progress, Report
from millstream.documents.sync import sync as sync_documents
from millstream.documents.watch import Watcher
from millstream.search.backfill import Backfill, Embedding
from millstream.search.sqlite import SqliteIndex
from millstream.server.reading import create_pool
from millstream.server.settings import load_settings


def sync(
    documents: Annotated[list[Path], typer.Argument(help="Folders (with all below them) and files.")],
    vectors: Annotated[
        bool, typer.Option("--vectors/--no-vectors", help="Make the vectors of new passages too, which takes longer.")
    ] = True,
    again: Annotated[bool, typer.Option("--again", help="Read files though they have not changed.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on until Ctrl-C, whenever something changes.")] = False,
    json: Annotated[
        bool, typer.Option("--json", help="What became of each file, unchanged ones too: one JSON object a line.")
    ] = False,
    data: DataOption = None,
) -> None:
    """Bring the index in step with DOCUMENTS: new and changed files in, deleted ones out.

    Documents are found by their words at once, and by their meaning when their vectors are made. That may be
    interrupted: the next sync, or a server, goes on. Works while a server runs.
    Exits with 1 when some files could not be read; the rest is indexed.
    """
    settings = load_settings(data=data)
    index = open_index(data)
    try:
        with create_pool(settings) as pool:
            watcher = Watcher(documents, settings.data.resolve(), settings.watch_seconds) if watch else None
            report = _sync(documents, index, pool, again=again, vectors=vectors, json=json)
            while watcher is not None and watcher.wait():
                report = _sync(documents, index, pool, again=False, vectors=vectors, json=json)
    finally:
        asyncio.run(index.close())
    if report.failed:
        raise typer.Exit(1)


def _sync(
    documents: list[Path], index: SqliteIndex, pool: ReaderPool, *, again: bool, vectors: bool, json: bool
) -> Report:
    with nullcontext(_show_object) if json else _showing_progress() as show:
        report = sync_documents(documents, index, OWNER, show, pool=pool, again=again)
    typer.echo(summary(report), err=json)
    if vectors:
        asyncio.run(_embed(index))
    return report


async def _embed(index: SqliteIndex) -> None:
    """Makes the vectors that are missing, unless another process is at it already."""
    with _showing_vectors() as show:
        embedding = await Backfill(index.path, index.embedder, show).run()
    if embedding.state == "elsewhere":
        typer.echo(f"{embedding.total - embedding.done:,} vectors are left to the process that makes them already.")


def summary(report: Report) -> str:
    counts = ("added", "changed", "unchanged", *(("renamed",) if report.renamed else ()), "removed")
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
        rich.progress.TextColumn("{task.fields[rate]}", markup=False),
        rich.progress.TextColumn("{task.description}", markup=False),
    )
    with rich.progress.Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("Looking for documents…", total=None, rate="")

        def show(progress: Progress) -> None:
            bar.update(
                task, completed=progress.done, total=progress.total, description=progress.uri, rate=_rate(progress)
            )
            if progress.reason:
                bar.console.print(
                    f"{progress.outcome}: {progress.uri}: {progress.reason}", markup=False, highlight=False
                )

        yield show


def _rate(progress: Progress) -> str:
    """`31.5 files/s, 240 pages/s, 0:04:10 left`."""
    if progress.elapsed_s < 1:
        return ""
    parts = [f"{progress.done / progress.elapsed_s:.1f} files/s"]
    if progress.pages:
        parts.append(f"{progress.pages / progress.elapsed_s:.0f} pages/s")
    if progress.seconds_left is not None:
        parts.append(f"{datetime.timedelta(seconds=round(progress.seconds_left))} left")
    return ", ".join(parts)


@contextmanager
def _showing_vectors() -> Iterator[Callable[[Embedding], None]]:
    """A bar in a terminal; elsewhere nothing."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda embedding: None
        return
    columns = (
        rich.progress.BarColumn(),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TimeRemainingColumn(elapsed_when_finished=True),
        rich.progress.TextColumn("{task.description}", markup=False),
    )
    with rich.progress.Progress(*columns, console=console, transient=True, speed_estimate_period=120) as bar:
        task = bar.add_task("Making vectors; Ctrl-C leaves the rest for later", total=None)
        yield lambda embedding: bar.update(task, completed=embedding.done, total=embedding.total)


def _show_object(progress: Progress) -> None:
    told = {
        "uri": progress.uri,
        "outcome": progress.outcome,
        **({"reason": progress.reason} if progress.reason else {}),
    }
    typer.echo(msgspec.json.encode(told).decode())


def _show_line(progress: Progress) -> None:
    if progress.outcome in ("added", "changed", "renamed", "removed", "failed"):
        typer.echo(f"{progress.outcome}: {progress.uri}" + (f": {progress.reason}" * bool(progress.reason)), err=True)
