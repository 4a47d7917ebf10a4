"""The words around what was searched for, and where in them the hits are."""

import re
import unicodedata
from collections.abc import Iterator, Sequence

from millstream.conversations import Match
from millstream.snippets import plain_words

WORD = re.compile(r"[^\W_]+")
BEFORE = 60  # characters before the first hit, about
CHARACTERS = 200
_LOOKED_AT = 2 * CHARACTERS  # of an answer, behind the first hit: syntax takes room that is not shown


def match_in(text: str, words: Sequence[str], message_id: str | None = None) -> Match:
    """The part of `text` around the first place that holds any of `words`, the last of them as a beginning."""
    hits = list(_hits(text, words))
    first = hits[0][0] if hits else 0
    begin = 0 if first <= BEFORE else text.rfind(" ", 0, first - BEFORE) + 1 or first - BEFORE
    end = min(len(text), begin + CHARACTERS)
    if end < len(text):
        end = max(text.rfind(" ", first, end), min(end, first + BEFORE))
    before, after = "…" if begin else "", "…" if end < len(text) else ""
    shift = begin - len(before)
    shown = [(start - shift, stop - shift) for start, stop in hits if stop <= end]
    return Match(f"{before}{text[begin:end]}{after}", shown, message_id)


def match_in_answer(markdown: str, words: Sequence[str], message_id: str) -> Match:
    """`match_in` without the syntax of Markdown, unless the first hit is in what that leaves out, as an address."""
    first, _ = next(_hits(markdown, words), (0, 0))
    begin = markdown.rfind("\n", 0, first) + 1  # whole lines: their beginnings tell headings, lists and tables
    if first - begin > _LOOKED_AT:
        begin = markdown.rfind(" ", begin, first - BEFORE) + 1 or first - BEFORE
    end = first + _LOOKED_AT
    before, after = "…" if begin else "", "…" if end < len(markdown) else ""
    found = match_in(f"{before}{plain_words(markdown[begin:end])}{after}", words, message_id)
    return found if found.hits else match_in(markdown, words, message_id)


def folded(word: str) -> str:
    """Without case and accents, as the search compares words."""
    decomposed = unicodedata.normalize("NFD", word.casefold())
    return "".join(character for character in decomposed if not unicodedata.combining(character))


def _hits(text: str, words: Sequence[str]) -> Iterator[tuple[int, int]]:
    wanted = [folded(word) for word in words]
    return (found.span() for found in WORD.finditer(text) if _is_hit(folded(found[0]), wanted))


def _is_hit(word: str, wanted: Sequence[str]) -> bool:
    return word in wanted or (bool(wanted) and word.startswith(wanted[-1]))
