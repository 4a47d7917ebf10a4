"""Where sentences end, in prose of any kind: documents and the words of a model. Imports nothing of ours."""

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

# A terminator and what may close behind it: quotes, brackets, emphasis. Latin ones need white space to
# follow. A row of dots is looked at once, from its beginning.
_END = re.compile(r"(?:(?<![.!?…])[.!?…]+[\"'”’»)\]*_]*(?=\s|\Z))|[。！？]+[”’」』）]*")
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


_FENCED_CODE = re.compile(r"^[ \t>]*(```|~~~).*?(?:^[ \t>]*\1[^\n]*|\Z)", re.DOTALL | re.MULTILINE)
_BLOCK_BREAK = re.compile(r"\n[ \t>]*\n|\n(?=[ \t>]*(?:[-*+•◦▪●–][ \t]|\d{1,3}[.)][ \t]|#{1,6}[ \t]|\|))")
_HEADING = re.compile(r"[\s>]*#{1,6}[ \t][^\n]*\n?")
_MARKER = re.compile(r"(?:[-*+•◦▪●–]|\d{1,3}[.)])[ \t]+")
_BLANK = re.compile(r"[\s>]*")
_RULE = re.compile(r"[\s|:+-]*\Z")

BlockKind = Literal["prose", "item", "row", "rule"]


class Block(NamedTuple):
    """[start, end) of a paragraph or list item, without its marker, or of a table row or the rule below its heading."""

    start: int
    end: int
    kind: BlockKind


def statements(markdown: str) -> Iterator[tuple[int, int]]:
    """[start, end) of each sentence, list item or table row of a Markdown text, without code, headings and markers."""
    text = without_code(markdown)
    for block in blocks(text):
        if block.kind == "row":
            yield block.start, block.end
        elif block.kind != "rule":
            for start, end in sentences(text[block.start : block.end]):
                yield block.start + start, block.start + end


def without_code(markdown: str) -> str:
    """The same text, as long as before, with empty lines in the place of fenced code."""
    return _FENCED_CODE.sub(lambda code: "\n" * len(code[0]), markdown)


def blocks(text: str) -> Iterator[Block]:
    """The blocks of a text in their order; headings are left out."""
    start = 0
    for end in (*(block.start() for block in _BLOCK_BREAK.finditer(text)), len(text)):
        heading = _HEADING.match(text, start, end)
        begin = _skip(_BLANK, text, heading.end() if heading else start, end)
        last = begin + len(text[begin:end].rstrip())
        if text.startswith("|", begin, last):
            yield Block(begin, last, "rule" if _RULE.match(text, begin, last) else "row")
        elif last > begin:
            content = _skip(_MARKER, text, begin, last)
            yield Block(content, last, "item" if content > begin else "prose")
        start = end


def _skip(pattern: re.Pattern[str], text: str, start: int, end: int) -> int:
    match = pattern.match(text, start, end)
    return match.end() if match else start
