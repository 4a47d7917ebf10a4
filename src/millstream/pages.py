"""On which page of its source a statement rests, where the source covers two."""

import re

from millstream.search import Passage
from millstream.search.query import query_terms, stem

_WORD = re.compile(r"\w+")


def cited_page(statement: str, passage: Passage) -> int | None:
    """The page where `statement` begins when it stands in `passage` word for word, else the one with more of its words.

    None where the passage covers no two pages, or both are as likely.
    """
    if passage.page_break is None or passage.start is None:
        return None
    at = passage.page_break - passage.start
    first, second = passage.text[:at], passage.text[at:]
    said = _words(statement)
    if said.strip() and (found := _words(passage.text).find(said)) >= 0:
        return passage.page_start if found < len(_words(first)) - 1 else passage.page_end
    terms = _stems(statement)
    on_first, on_second = len(terms & _stems(first)), len(terms & _stems(second))
    if on_first == on_second:
        return None
    return passage.page_start if on_first > on_second else passage.page_end


def _words(text: str) -> str:
    """Words alone, in small letters, each between blanks: quotations may differ from their source in all else."""
    return f" {' '.join(_WORD.findall(text.lower()))} "


def _stems(text: str) -> frozenset[str]:
    return frozenset(map(stem, query_terms(text)))
