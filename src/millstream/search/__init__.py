"""Search: the passages of the documents that are nearest to a question."""

from collections.abc import Sequence
from typing import Protocol

import msgspec


class Filter(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which documents are looked through; what is left out does not restrict.

    `within` names documents, or folders with all below them, by uri; any of them will do. So with `formats` (`pdf`,
    `markdown`, …) and with `documents`, by their ids. `modified_from` ≤ a document's date < `modified_before`, in
    milliseconds since 1970.
    """

    within: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()
    modified_from: int | None = None
    modified_before: int | None = None
    documents: tuple[str, ...] = ()


EVERYTHING = Filter()


class Match(msgspec.Struct, frozen=True):
    """Where one half of a search put a passage: its rank from 1, and that half's own score (BM25; cosine)."""

    rank: int
    score: float


class Passage(msgspec.Struct, frozen=True, omit_defaults=True):
    """A piece of a document's text, as the index stores it and a source shows it.

    `source_id` is stable for the same passage of the same document version. `uri` is relative to the folder that was
    synced, never an absolute path. Pages are 1-based; [start, end) are Unicode code points in the document's text. A
    passage that covers two pages crosses from the first to the second at `page_break`, also an offset in that text.
    `header` is that of the table in the middle of which it begins: the names of the columns and the rule below them.

    Three kinds of number say how well a passage fits:

    `score` puts the passages of one search in order, the higher the better, and says nothing else: it is made of ranks
    (reciprocal rank fusion, from 0 to 1; also where only one half of a search found anything), so that a passage twice
    as good may score one hundredth more. With a reranker it is the reranker's, and so is `reranked`.

    `lexical` and `semantic` are what each half made of the passage, None where it did not find it. Their scores do
    measure: BM25 within one search, by its ratio; the cosine between searches as well.

    `coverage` can be compared between searches: the part of the question's terms, weighted by their rarity, that this
    passage contains, from 0 to 1. Where it is low even for the best passage, the documents hardly speak of what was
    asked, or in other words: then `semantic` tells.
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
    page_break: int | None = None
    score: float | None = None
    coverage: float | None = None
    lexical: Match | None = None
    semantic: Match | None = None
    reranked: float | None = None
    header: str = ""


class Search(Protocol):
    async def search(self, query: str, *, owner: str, limit: int = 5, where: Filter = EVERYTHING) -> list[Passage]:
        """At most `limit` passages of `owner`'s documents, best first, none of them a near copy of a better one.

        An empty list when no term matches and no meaning is near.
        """
        ...

    async def beginnings(self, documents: Sequence[str], *, owner: str, limit: int) -> list[Passage]:
        """How these of `owner`'s documents begin: at most `limit` passages, the first of each, then the second."""
        ...

    async def document_count(self, *, owner: str, among: Sequence[str] | None = None) -> int:
        """How many documents of `owner` can be searched: of all, or of those with these ids."""
        ...

    async def close(self) -> None: ...
