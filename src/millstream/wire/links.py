"""Where a source can be read, as the absolute address that protocols of links want."""

import re
from urllib.parse import urlencode

from millstream.events import Source

_WEB = re.compile(r"https?://[^\s/?#@\\]+(?:[/?#]\S*)?\Z", re.IGNORECASE)


def source_url(source: Source, base: str) -> str:
    """The source's own address where it is one of the web, else the page below `base` that shows its passage.

    `base` is where the server is reached, without a slash at its end: `https://docs.example/chat`.
    """
    if _WEB.match(source.uri):
        return source.uri
    place: dict[str, str | int] = {"document_id": source.document_id, "version": source.version}
    if source.start is not None and source.end is not None:
        place |= {"start": source.start, "end": source.end}
    return f"{base}/passage?{urlencode(place)}#passage"
