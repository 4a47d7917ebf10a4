"""The words around what was searched for, and where in them the hits are."""

import re
import unicodedata
from collections.abc import Sequence

from millstream.conversations import Match

WORD = re.compile(r"[^\W_]+")
BEFORE = 60  # characters before the first hit, about
CHARACTERS = 200


def match_in(text: str, words: Sequence[str], message_id: str | None = None) -> Match:
    """The part of `text` around the first place that holds any of `words`, the last of them as a beginning."""
    wanted = [plain(word) for word in words]
    hits = [found.span() for found in WORD.finditer(text) if _is_hit(plain(found[0]), wanted)]
    first = hits[0][0] if hits else 0
    begin = 0 if first <= BEFORE else text.rfind(" ", 0, first - BEFORE) + 1 or first - BEFORE
    end = min(len(text), begin + CHARACTERS)
    if end < len(text):
        end = max(text.rfind(" ", first, end), min(end, first + BEFORE))
    before, after = "…" if begin else "", "…" if end < len(text) else ""
    shift = begin - len(before)
    shown = [(start - shift, stop - shift) for start, stop in hits if stop <= end]
    return Match(f"{before}{text[begin:end]}{after}", shown, message_id)


def plain(word: str) -> str:
    """Without case and accents, as the search compares words."""
    decomposed = unicodedata.normalize("NFD", word.casefold())
    return "".join(character for character in decomposed if not unicodedata.combining(character))


def _is_hit(word: str, wanted: Sequence[str]) -> bool:
    return word in wanted or (bool(wanted) and word.startswith(wanted[-1]))
