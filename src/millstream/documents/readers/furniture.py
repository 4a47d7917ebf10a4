"""Running heads, running feet and page numbers: they are told by what recurs on the pages or counts along with them."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec

_LINES = 2  # at most so many lines at either end of a page are furniture
_SHARE = 0.6  # of the pages must have a line, or the same line but for the page's number
_FEWEST = 3  # pages that tell anything by what they have in common

_NUMBER = re.compile(r"\d{1,9}")
_ROMAN = re.compile(r"(?=[ivxlc])c{0,3}(?:xc|xl|l?x{0,3})(?:ix|iv|v?i{0,3})\Z")
_ROMAN_DIGITS = {"i": 1, "v": 5, "x": 10, "l": 50, "c": 100}
# A number that stands for itself: `12`, `- 12 -`, `Page 12`, `12 / 40`, `Page xii of 40`.
_PAGE_NUMBER = re.compile(
    r"\W*(?:page|pg\.?|p\.?)?\s*(?P<n>\d{1,9}|[ivxlc]{1,9})(?:\s*(?:/|\||of)\s*(?P<all>\d{1,9}))?\W*\Z", re.IGNORECASE
)

_Key = tuple[str, int, str]


class Page(msgspec.Struct, frozen=True):
    """Its lines of text. `is_picture`: a picture covers most of it, and what is written there may be a stamp."""

    lines: list[str]
    is_picture: bool = False


def without_furniture(pages: Sequence[Page]) -> list[list[str]]:
    """The lines of each page that belong to its text.

    A page that has nothing but a running head keeps it, unless the rest of the page is a picture.
    """
    found = _Furniture(pages)
    return [found.trimmed(page, number) for number, page in enumerate(pages, 1)]


class _Furniture:
    def __init__(self, pages: Sequence[Page]) -> None:
        self._count = len(pages)
        heads: Counter[_Key] = Counter()
        numbers: Counter[_Key] = Counter()
        for number, page in enumerate(pages, 1):
            edges = {*page.lines[:_LINES], *page.lines[-_LINES:]}
            heads.update({key for line in edges for key in self._keys(line, number, page)})
            numbers.update({key for line in edges for key in _offset(line, number)})
        enough = max(_FEWEST, _SHARE * sum(bool(page.lines) for page in pages))
        self._heads = {key for key, count in heads.items() if count >= enough}
        self._numbers = {key for key, count in numbers.items() if count >= _FEWEST}

    def trimmed(self, page: Page, number: int) -> list[str]:
        lines = page.lines
        start, end = 0, len(lines)
        while start < min(_LINES, end) and self._is_furniture(lines[start], number, page):
            start += 1
        while end > max(start, len(lines) - _LINES) and self._is_furniture(lines[end - 1], number, page):
            end -= 1
        if start < end or page.is_picture:
            return lines[start:end]
        return [line for line in lines if not self._is_page_number(line, number)]

    def _is_furniture(self, line: str, number: int, page: Page) -> bool:
        return self._is_page_number(line, number) or not self._heads.isdisjoint(self._keys(line, number, page))

    def _is_page_number(self, line: str, number: int) -> bool:
        """It counts along with other pages, or says by itself which page of how many this is."""
        told = _PAGE_NUMBER.match(line)
        says_all = told is not None and (told["n"], told["all"]) == (str(number), str(self._count))
        return says_all or not self._numbers.isdisjoint(_offset(line, number))

    def _keys(self, line: str, number: int, page: Page) -> Iterator[_Key]:
        """What the line has in common with that of another page: all of it, or all but the page's number.

        A number beyond the last page numbers something else (an invoice), but for the stamps of a picture.
        """
        yield line, 0, ""
        for found in _NUMBER.finditer(line):
            value = int(found[0])
            if value <= self._count or page.is_picture:
                yield f"{line[: found.start()]}#", value - number, line[found.end() :]


def _offset(line: str, number: int) -> Iterator[_Key]:
    """By how much the number that this line consists of is ahead of the page."""
    told = _PAGE_NUMBER.match(line)
    if told is None:
        return
    if told["n"].isdecimal():
        yield "number", int(told["n"]) - number, ""
    elif _ROMAN.match(told["n"].lower()):
        yield "roman", _roman(told["n"].lower()) - number, ""


def _roman(numeral: str) -> int:
    digits = [_ROMAN_DIGITS[letter] for letter in numeral]
    return sum(
        -digit if digit < following else digit for digit, following in zip(digits, [*digits[1:], 0], strict=True)
    )
