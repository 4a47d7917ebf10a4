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


_FENCED_CODE = re.compile(r"^[ \t]*(```|~~~).*?(?:^[ \t]*\1[^\n]*|\Z)", re.DOTALL | re.MULTILINE)
_BLOCK_BREAK = re.compile(r"\n[ \t>]*\n|\n(?=[ \t>]*(?:[-*+•◦▪●–][ \t]|\d{1,3}[.)][ \t]|#{1,6}[ \t]|\|))")
_LEAD = re.compile(r"\s*>*[ \t]*(?:(?:[-*+•◦▪●–]|\d{1,3}[.)])[ \t]+)?")
_HEADING = re.compile(r"\s*#{1,6}[ \t][^\n]*\n?")
_RULE = re.compile(r"[\s|:+-]*\Z")


def statements(markdown: str) -> Iterator[tuple[int, int]]:
    """[start, end) of each sentence, list item or table row of a Markdown text, without code, headings and markers."""
    text = _FENCED_CODE.sub(lambda code: "\n" * len(code[0]), markdown)
    for start, end in blocks(text):
        if text[start:end].lstrip().startswith("|"):
            if not _RULE.match(text, start, end):
                row = text[start:end]
                yield start + len(row) - len(row.lstrip()), start + len(row.rstrip())
            continue
        for sentence_start, sentence_end in sentences(text[start:end]):
            yield start + sentence_start, start + sentence_end


def blocks(text: str) -> Iterator[tuple[int, int]]:
    """[start, end) of each paragraph, list item and table row, behind its heading and its marker."""
    start = 0
    for end in (*(block.start() for block in _BLOCK_BREAK.finditer(text)), len(text)):
        heading = _HEADING.match(text, start, end)
        lead = _LEAD.match(text, heading.end() if heading else start, end)
        begin = lead.end() if lead else start
        if text[begin:end].strip():
            yield begin, end
        start = end
