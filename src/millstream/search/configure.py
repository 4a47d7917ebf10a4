"""The index as the settings describe it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from millstream.models.timeouts import Timeouts
from millstream.search.embed.configure import create_embedder
from millstream.search.sqlite import SqliteIndex

INDEX_FILE = "index.db"


def open_index(
    folder: Path,
    *,
    embedder: str,
    environ: Mapping[str, str],
    reranker: Path | None = None,
    timeouts: Timeouts | None = None,
    only: Literal["lexical", "semantic"] | None = None,
) -> SqliteIndex:
    """The index in the data folder `folder`, with the embedder that a setting names and the reranker of a folder.

    `only` leaves out one half of each search, to measure the other.

    Raises ConfigurationError.
    """
    embed = create_embedder(embedder, environ=environ, timeouts=timeouts)
    rerank = None
    if reranker is not None:
        from millstream.search.rerank import CrossEncoder

        rerank = CrossEncoder(reranker)
    return SqliteIndex(folder / INDEX_FILE, embed, rerank, only=only)
