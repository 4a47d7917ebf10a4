"""Where sentences end, in prose of any kind: documents and the words of a model. Imports nothing of ours."""

import re
from collections.abc import Iterator

# A terminator and what may close behind it: quotes, brackets, emphasis. Latin ones need white space to
# follow.
_END = re.compile(r"(?:[.!?…]+[\"'”’»)\]*_]*(?=\s|\Z))|[。！？]+[”’」』）]*")
_LAST_WORD = re.compile(r"[^\s(\[\"“‘«]+\Z")
_NEXT_CHARACTER = re.compile(r"\s*(?:[\"'“‘«(\[*_]*)(\S)")

# Words whose full stop seldom ends a sentence, even before a capital.
_ABBREVIATION = re.compile(
    r"""(?:mr|mrs|ms|dr|prof|sr|jr|st|mt|vs|nos?|nr|figs?|eq|sec|ch|pp?|vol|cf|al|approx|dept|est|ext|gen|gov|hon
    |e\.g|i\.e|z\.b|d\.h|u\.a|bzw|ca|vgl|abs|art|str|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)\Z""",
    re.IGNORECASE | re.VERBOSE,
)
_INITIALS = re.compile(r"(?:[^\W\d_]\.)*[^\W\d_]\Z")
_ITEM_NUMBER = re.compile(r"\d{1,3}\Z")


def sentence_ends(text: str) -> Iterator[int]:
    """Offsets in `text` right behind the last character of each sentence, ascending, closing quotes included.

    A full stop of an abbreviation, an initial or a list number ("e.g.", "J.", "3.") ends nothing, nor does
    one that is followed by a small letter.
    """
    for match in _END.finditer(text):
        if match[0][0] == "." and not match[0].startswith("..") and _is_abbreviation(text, match.start()):
            continue
        following = _NEXT_CHARACTER.match(text, match.end())
        if following and following[1].islower():
            continue
        yield match.end()


def _is_abbreviation(text: str, stop: int) -> bool:
    word = _LAST_WORD.search(text, max(0, stop - 24), stop)
    if word is None:
        return True
    if _ITEM_NUMBER.match(word[0]):
        return text[max(0, word.start() - 20) : word.start()].rstrip(" \t")[-1:] in ("", "\n", "\f")
    return bool(_ABBREVIATION.match(word[0]) or (_INITIALS.match(word[0]) and word[0] != "I"))


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """[start, end) of each sentence of one block of prose, without the white space between them."""
    start = 0
    for end in (*sentence_ends(text), len(text)):
        piece = text[start:end]
        stripped = piece.strip()
        if stripped:
            lead = len(piece) - len(piece.lstrip())
            yield start + lead, start + lead + len(stripped)
        start = end
