"""Where a source can be read, as the absolute address that protocols of links want."""

import re
from urllib.parse import urlencode

from millstream.events import Source
from millstream.snapshot import SourceState

_WEB = re.compile(r"https?://[^\s/?#@\\]+(?:[/?#]\S*)?\Z", re.IGNORECASE)


def source_url(source: Source, base: str, run_id: str) -> str:
    """The source's own address where it is one of the web, else the page below `base` that shows its passage.

    `base` is where the server is reached, without a slash at its end: `https://docs.example/chat`.
    """
    return source.uri if _WEB.match(source.uri) else f"{base}/passage?{urlencode(passage_of(source, run_id))}#passage"


def passage_of(source: Source | SourceState, run_id: str) -> dict[str, str | int]:
    """The parameters of the page that shows the passage: in its document, or if it is no part of one, in the answer."""
    if source.start is None or source.end is None:
        return {"run_id": run_id, "n": source.n}
    where = {"start": source.start, "end": source.end}
    return {"document_id": source.document_id, "version": source.version, **where}
