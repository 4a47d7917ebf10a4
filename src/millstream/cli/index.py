"""The index in the data folder, for commands that need no server."""

from pathlib import Path
from typing import Annotated

import typer

from millstream.folder import DataFolder
from millstream.search import configure
from millstream.search.sqlite import SqliteIndex
from millstream.server.settings import load_settings, provider_environment

OWNER = "local"

DataOption = Annotated[Path | None, typer.Option(help="Folder of the index; see MILLSTREAM_DATA.")]


def open_index(data: Path | None) -> SqliteIndex:
    """The index as the settings describe it. Raises ConfigurationError."""
    settings = load_settings(data=data)
    return configure.open_index(
        DataFolder(settings.data).path,
        embedder=settings.embedder,
        environ=provider_environment(),
        reranker=settings.reranker,
    )
