"""The tools that show documents: search them, read one."""

from datetime import UTC, date, datetime
from typing import Annotated

import msgspec

from millstream.documents.library import Library
from millstream.errors import InputError
from millstream.request import MAX_QUESTION_CHARACTERS, MAX_SOURCES
from millstream.search import Filter
from millstream.server.app_of import millstream_of
from millstream.server.mcp.caller import Caller, Result
from millstream.snapshot import SourceState

MAX_READ = 20_000  # code points of a document in one result: what a model can take in
MAX_FILTERS = 100  # documents, folders or formats that one search may name


class Filters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which documents are looked through; what is left out does not restrict."""

    within: Annotated[
        tuple[str, ...],
        msgspec.Meta(max_length=MAX_FILTERS, description="Documents, or folders with all below them, by uri."),
    ] = ()
    formats: Annotated[tuple[str, ...], msgspec.Meta(max_length=MAX_FILTERS, description="pdf, markdown, …")] = ()
    modified_from: Annotated[date | None, msgspec.Meta(description="Changed on this day or later.")] = None
    modified_before: Annotated[date | None, msgspec.Meta(description="Changed before this day.")] = None


class SearchDocuments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    query: Annotated[
        str,
        msgspec.Meta(min_length=1, max_length=MAX_QUESTION_CHARACTERS, description="A question, or words to look for."),
    ]
    top: Annotated[int, msgspec.Meta(ge=1, le=MAX_SOURCES, description="How many passages at most.")] = 5
    filters: Filters = Filters()


class FoundPassage(msgspec.Struct, frozen=True, omit_defaults=True):
    """`uri` is relative to the documents' folder; pages are 1-based; [start, end) are Unicode code points."""

    n: int
    document_id: str
    source_id: str
    title: str
    uri: str
    text: str
    page_start: int | None = None
    page_end: int | None = None
    start: int | None = None
    end: int | None = None
    score: float | None = None


class FoundPassages(msgspec.Struct, frozen=True):
    """Best first. `score` puts the passages of one search in order and says nothing else."""

    passages: list[FoundPassage]


async def search_documents(caller: Caller, asked: SearchDocuments) -> Result:
    millstream = millstream_of(caller.request)
    most = millstream.settings.max_sources
    if asked.top > most:
        raise InputError(f"`top` may be {most} here at most (MILLSTREAM_MAX_SOURCES).")
    filters = asked.filters
    where = Filter(
        filters.within, filters.formats, _milliseconds(filters.modified_from), _milliseconds(filters.modified_before)
    )
    passages = await millstream.search.search(asked.query, owner=caller.owner, limit=asked.top, where=where)
    found = [
        FoundPassage(n, **{name: getattr(passage, name) for name in FoundPassage.__struct_fields__[1:]})
        for n, passage in enumerate(passages, 1)
    ]
    told = [f"[{one.n}] {place_of(one)}, document_id {one.document_id}\n{one.text}" for one in found]
    return "\n\n".join(told) or "No passage fits. Try other words, or fewer filters.", FoundPassages(found)


class ReadDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    document_id: Annotated[str, msgspec.Meta(description="As `search_documents` gives it.")]
    page: Annotated[int | None, msgspec.Meta(description="This page alone, from 1; not together with a range.")] = None
    start: Annotated[int, msgspec.Meta(ge=0, description="From this character on.")] = 0
    end: Annotated[int | None, msgspec.Meta(description=f"Up to this one; {MAX_READ} characters at most.")] = None


class ReadText(msgspec.Struct, frozen=True, omit_defaults=True):
    """`text` is [start, end) of the document, whose length is `length`, in Unicode code points.

    `next` is the `start` to go on with; absent at the end of the document or page.
    """

    document_id: str
    title: str
    uri: str
    start: int
    end: int
    length: int
    text: str
    pages: int | None = None
    next: int | None = None


async def read_document(caller: Caller, asked: ReadDocument) -> Result:
    library = millstream_of(caller.request).library
    assert library is not None
    start, end = asked.start, asked.end
    if asked.page is not None:
        if start or end is not None:
            raise InputError("Give `page`, or `start` and `end`, not both.")
        start, end = await _page(library, asked.document_id, caller.owner, asked.page)
    last = start + MAX_READ if end is None else min(end, start + MAX_READ)
    opened = await library.catalogue.open(asked.document_id, caller.owner, start, last)
    document = opened.document
    wanted = opened.length if end is None else min(end, opened.length)
    text = ReadText(
        document.document_id,
        document.title,
        document.uri,
        opened.start,
        opened.end,
        opened.length,
        opened.text,
        document.pages or None,
        opened.end if opened.end < wanted else None,
    )
    more = f"\n\n[It goes on: read from start {text.next}.]" if text.next is not None else ""
    head = f"{document.title} ({document.uri}), characters {text.start} to {text.end} of {text.length}"
    return f"{head}\n\n{text.text}{more}", text


def place_of(of: FoundPassage | SourceState) -> str:
    pages = ""
    if of.page_start is not None:
        last = of.page_end or of.page_start
        pages = f", page {of.page_start}" if last == of.page_start else f", pages {of.page_start} to {last}"
    return f"{of.title} ({of.uri}{pages})"


async def _page(library: Library, document_id: str, owner: str, page: int) -> tuple[int, int]:
    """Where the page begins and ends, in characters. Raises InputError when there is no such page."""
    opened = await library.catalogue.open(document_id, owner, 0, 0)
    places = [*opened.pages, opened.length]
    if not opened.pages:
        raise InputError("This document has no pages; read it by `start` and `end`.")
    if not 1 <= page < len(places):
        raise InputError(f"`page` must be 1 to {len(places) - 1} in this document.")
    return places[page - 1], places[page]


def _milliseconds(day: date | None) -> int | None:
    return None if day is None else int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
