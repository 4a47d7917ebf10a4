"""Search: the passages of the documents that are nearest to a question."""

from typing import Protocol

import msgspec


class Passage(msgspec.Struct, frozen=True, omit_defaults=True):
    """A piece of a document's text, as the index stores it and a source shows it.

    `source_id` is stable for the same passage of the same document version. `uri` is relative to the folder that was
    synced, never an absolute path. Pages are 1-based; [start, end) are Unicode code points in the document's text.
    A higher `score` is a better match; scores of different searches cannot be compared. `coverage` can be: the part of
    the question's terms, weighted by their rarity, that this passage contains, from 0 to 1. Where it is low even for
    the best passage, the documents hardly speak of what was asked.
    """

    source_id: str
    document_id: str
    version: str
    title: str
    uri: str
    text: str
    page_start: int | None = None
    page_end: int | None = None
    start: int | None = None
    end: int | None = None
    score: float | None = None
    coverage: float | None = None


class Search(Protocol):
    async def search(self, query: str, *, owner: str, limit: int = 5) -> list[Passage]:
        """At most `limit` passages of `owner`'s documents, best first; an empty list when no term matches."""
        ...

    async def document_count(self, *, owner: str) -> int: ...

    async def close(self) -> None: ...
