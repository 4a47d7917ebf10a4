"""What of a passage can be quoted: whole sentences, list items behind what introduces them, rows below their heading.

Quotations are verbatim, line breaks aside. Code, headings and the broken sentence at either end of a passage are never
quoted.
"""

import re
from collections.abc import Iterator, Sequence

import msgspec

from millstream.search import Passage
from millstream.search.query import stem
from millstream.sentences import Block, blocks, sentences, without_code

SHORTEST, LONGEST = 20, 700  # characters of a sentence

_WHOLE = re.compile(r"[\"'“‘«(*_]*[^\W_a-z].*[.!?。！？][\"'”’»)*_]*\Z", re.DOTALL)
_WORD = re.compile(r"\w+")
_MARKED_HEADING = re.compile(r"^[ \t>]*#{1,6}[ \t]+([^\n]+)$", re.MULTILINE)
_ENDS = (".", ",", ";", ":", "!", "?", "-", "–")
_SHORT = 0.6  # of a passage's longest line: prose that was set in lines fills them


class Quotable(msgspec.Struct, frozen=True):
    """A piece of passage `n` (from 1), at its place in that passage.

    `lead` introduces a list item ("Covered are:") and is quoted with it; `header` is that of a table row, both lines.
    `context` are the words of the heading above. `previous` is where the sentence before begins, if there is one.
    """

    n: int
    start: int
    text: str
    stems: frozenset[str]
    kind: str = "sentence"
    lead: str = ""
    header: str = ""
    context: frozenset[str] = frozenset()
    previous: int | None = None


def quotables(passages: Sequence[Passage]) -> Iterator[Quotable]:
    """All pieces of all passages, in their order."""
    for n, passage in enumerate(passages, 1):
        yield from _of_passage(n, passage.text)


def stems(text: str) -> frozenset[str]:
    return frozenset(stem(word) for word in _WORD.findall(text.lower()))


def _of_passage(n: int, markdown: str) -> Iterator[Quotable]:
    text = without_code(markdown)
    headings = [(match.start(), stems(match[1])) for match in _MARKED_HEADING.finditer(text)]
    longest = max(map(len, text.splitlines()), default=0)
    lead, rows = "", list[Block]()
    for block in blocks(text):
        context = next((words for start, words in reversed(headings) if start < block.start), frozenset[str]())
        piece = text[block.start : block.end]
        if block.kind in ("row", "rule"):
            rows.append(block)
            if block.kind == "row" and len(rows) > 2 and rows[1].kind == "rule":
                header = f"{text[rows[0].start : rows[0].end]}\n{text[rows[1].start : rows[1].end]}"
                row = stems(piece) | stems(header)
                yield Quotable(n, block.start, piece, row, "row", header=header, context=context)
            continue
        rows = []
        if block.kind == "item":
            item = " ".join(piece.split())
            if len(_WORD.findall(item)) >= 2 and len(item) <= LONGEST and not item.endswith(":"):
                said = stems(item) | stems(lead)
                yield Quotable(n, block.start, item, said, "item", lead=lead, context=context)
            continue
        lead, previous = "", None
        for start, end, is_heading in _lines_apart(text, block, longest):
            if is_heading:
                headings.append((start, stems(text[start:end])))
                context, previous = headings[-1][1], None
                continue
            for sentence_start, sentence_end in sentences(text[start:end]):
                sentence = " ".join(text[start + sentence_start : start + sentence_end].split())
                lead = sentence if sentence.endswith(":") and len(sentence) <= LONGEST else ""
                if _is_whole(sentence):
                    at = start + sentence_start
                    yield Quotable(n, at, sentence, stems(sentence), context=context, previous=previous)
                    previous = at


def _lines_apart(text: str, block: Block, longest: int) -> Iterator[tuple[int, int, bool]]:
    """[start, end) of the block's parts, and whether it is a heading: a short line without an end above a full one."""
    begin = start = block.start
    while start < block.end:
        line_end = text.find("\n", start, block.end)
        if line_end < 0:
            break
        line, following = text[start:line_end].strip(), text[line_end + 1 : line_end + 2]
        if line[:1].isupper() and following.isupper() and len(line) <= _SHORT * longest and not line.endswith(_ENDS):
            if start > begin:
                yield begin, start, False
            yield start, line_end, True
            begin = line_end + 1
        start = line_end + 1
    if begin < block.end:
        yield begin, block.end, False


def _is_whole(sentence: str) -> bool:
    return bool(SHORTEST <= len(sentence) <= LONGEST and len(_WORD.findall(sentence)) >= 4 and _WHOLE.match(sentence))
