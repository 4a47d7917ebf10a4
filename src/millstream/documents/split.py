"""Cut a document's text into passages: whole sentences packed to about 1,000 characters, 150 of them shared
with the next.

Sizes as measured best for lexical search over handbooks (character-span recall .870 in a 4,000-character
budget). A heading stays with what follows it and, unless what came before is short, begins a passage: one that
speaks of one thing is found better, by its meaning above all. A passage crosses one page break at most.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import Literal

import msgspec

from millstream.documents import Document
from millstream.sentences import sentences

SPLIT_VERSION = 3  # a new number makes every document be split anew at its next sync
SIZE = 1000  # code points
OVERLAP = 150
SECTION = 250  # a passage of at least so many ends where a new section begins

_BLOCK = re.compile(r"\S[^\n]*(?:\n[ \t]*\S[^\n]*)*")
_FENCE = re.compile(r"[ \t]*(```+|~~~+)")
_HEADING = re.compile(r" {0,3}#{1,6}[ \t]")
_ROW = re.compile(r"[ \t]*\|")
_LEAD = re.compile(r"(?:[ \t]*\|[^\n]*\n)?[ \t]*\|[ \t]*:?-[-:| \t]*(?:\n|\Z)")  # a line of dashes, or a row above one
_NEW_ITEM = re.compile(r"[ \t]*(?:[-*+•◦▪●–][ \t]|\d{1,3}[.)][ \t]|#{1,6}[ \t]|```|~~~)")

_SPACE = re.compile(r"\s+")


class Chunk(msgspec.Struct, frozen=True, gc=False):
    """[start, end) of the document's text, in Unicode code points; pages are 1-based, None without pages."""

    start: int
    end: int
    page_start: int | None = None
    page_end: int | None = None


# A heading begins a section; what leads a table (its first row, and the line below it) belongs to the rows.
_Kind = Literal["words", "heading", "lead"]


class _Unit(msgspec.Struct, frozen=True, gc=False):
    """What is never cut: a sentence, a heading, a table row, or SIZE characters of something longer."""

    start: int
    end: int
    page: int
    kind: _Kind = "words"


def split(document: Document) -> Iterator[Chunk]:
    """Passages in the order of the text. Together they hold all of it but the white space between sentences."""
    units = list(_units(document))
    first = 0
    while first < len(units):
        last = first
        while last + 1 < len(units) and _goes_on(units[first], units[last], units[last + 1]):
            last += 1
        while last > first and last + 1 < len(units) and units[last].kind != "words":
            last -= 1
        yield _chunk(units[first], units[last], document)
        following = last + 1
        if following < len(units) and units[following].kind != "heading":
            while following > first + 1 and units[last].end - units[following - 1].start <= OVERLAP:
                following -= 1
            if not _fits(units[following], units[last + 1]):
                following = last + 1
        first = following


def _fits(first: _Unit, unit: _Unit) -> bool:
    return unit.end - first.start <= SIZE and unit.page - first.page <= 1


def _goes_on(first: _Unit, last: _Unit, unit: _Unit) -> bool:
    begins_anew = unit.kind == "heading" and last.kind != "heading" and last.end - first.start >= SECTION
    return not begins_anew and _fits(first, unit)


def _chunk(first: _Unit, last: _Unit, document: Document) -> Chunk:
    if not document.pages:
        return Chunk(first.start, last.end)
    return Chunk(first.start, last.end, first.page, _page(document, last.end - 1))


def _page(document: Document, offset: int) -> int:
    """The 1-based page of a character; of pages that begin at the same offset, the empty ones have none."""
    return bisect_right(document.pages, offset) if document.pages else 1


def _units(document: Document) -> Iterator[_Unit]:
    text = document.text
    for start, end, kind in _pieces(text):
        while (start := _skip_space(text, start, end)) < end:
            cut = end if end - start <= SIZE else _last_space(text, start, start + SIZE)
            last = start + len(text[start:cut].rstrip())
            yield _Unit(start, last, _page(document, start), kind if cut == end else "words")
            start = cut


def _last_space(text: str, start: int, end: int) -> int:
    cut = max(text.rfind(" ", start, end), text.rfind("\n", start, end))
    return cut if cut > start else end


def _skip_space(text: str, start: int, end: int) -> int:
    space = _SPACE.match(text, start, end)
    return space.end() if space else start


def _pieces(text: str) -> Iterator[tuple[int, int, _Kind]]:
    """[start, end) of each sentence, heading, table row and line of code, and what it is.

    White space may stand at either end.
    """
    fence = ""
    for block in _BLOCK.finditer(text):
        item_start = block.start()
        for start, end in _lines(text, block.start(), block.end()):
            opening = _FENCE.match(text, start, end)
            if fence or opening:
                yield from _sentences(text, item_start, start)
                yield start, end, "words"
                item_start = end
                if opening and fence:
                    fence = "" if opening[1].startswith(fence) else fence
                elif opening:
                    fence = opening[1]
            elif _HEADING.match(text, start, end):
                yield from _sentences(text, item_start, start)
                yield start, end, "heading"
                item_start = end
            elif _ROW.match(text, start, end):
                yield from _sentences(text, item_start, start)
                yield start, end, "lead" if _LEAD.match(text, start) else "words"
                item_start = end
            elif _NEW_ITEM.match(text, start, end):
                yield from _sentences(text, item_start, start)
                item_start = start
        yield from _sentences(text, item_start, block.end())


def _lines(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    while start < end:
        line_end = text.find("\n", start, end)
        line_end = end if line_end < 0 else line_end
        yield start, line_end
        start = line_end + 1


def _sentences(text: str, start: int, end: int) -> Iterator[tuple[int, int, _Kind]]:
    for piece_start, piece_end in sentences(text[start:end]):
        yield start + piece_start, start + piece_end, "words"
