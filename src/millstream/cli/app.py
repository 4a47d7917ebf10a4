"""The commands, and what becomes of their errors."""

import io
import sqlite3
import sys
from typing import Annotated

import typer

from millstream import __version__
from millstream.cli.ask import ask
from millstream.cli.catalogue import documents_group
from millstream.cli.chat import chat
from millstream.cli.documents import sync
from millstream.cli.evaluate import evaluate
from millstream.cli.new import new
from millstream.cli.replay import replay
from millstream.cli.search import search
from millstream.cli.serve import serve
from millstream.errors import MillstreamError

app = typer.Typer(
    name="millstream",
    help="Answers over your own documents, streamed whole: steps, sources, reasoning, words.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command()(serve)
app.command()(sync)
app.command()(ask)
app.command()(chat)
app.command()(search)
app.command()(replay)
app.command()(new)
app.command("eval")(evaluate)
app.add_typer(documents_group)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"millstream {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


def run() -> None:
    """Runs the command. An error is one clear line and an exit code: 2 for wrong usage or settings, else 1."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # answers have characters that a terminal without UTF-8 cannot show
    try:
        app()
    except MillstreamError as error:
        typer.echo(f"millstream: {error.message}", err=True)
        sys.exit(exit_code(error))
    except (sqlite3.Error, OSError) as error:  # a full or read-only disk, a file that may not be read
        typer.echo(f"millstream: {error}", err=True)
        sys.exit(1)


def exit_code(error: MillstreamError) -> int:
    """2 when the command or a setting is wrong, 1 when something else went wrong."""
    return 2 if error.code == "configuration" or error.status in (400, 401) else 1
