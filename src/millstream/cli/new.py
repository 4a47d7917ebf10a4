"""`millstream new`: an application to begin with."""

import shlex
import shutil
from pathlib import Path
from typing import Annotated

import typer

from millstream.errors import InputError
from millstream.examples import EXAMPLES, about, beginning, example_names


def new(
    name: Annotated[Path | None, typer.Argument(help="The folder to make.")] = None,
    example: Annotated[str, typer.Option(help="Which example to copy.")] = "documents",
    show: Annotated[bool, typer.Option("--list", help="Show the examples.")] = False,
) -> None:
    """Begin an application of your own: copies an example into the folder NAME."""
    if show:
        for found in example_names():
            typer.echo(f"{found:12} {about(found)}")
        return
    if name is None:
        raise InputError("Give the name of the folder to make: millstream new my-app. --list shows the examples.")
    if example not in example_names():
        raise InputError(f"There is no example {example!r}; there are: {', '.join(example_names())}.")
    if name.exists():
        raise InputError(f"{name} is there already; give another name.")
    shutil.copytree(EXAMPLES / example, name, ignore=shutil.ignore_patterns("__pycache__"))
    typer.echo(f"Made {name}. Begin:\n\n  cd {shlex.quote(str(name))}\n  python app.py\n\n{beginning(example)}")
