"""What of a passage can be quoted: whole sentences, list items and table rows, each below what gives it its meaning.

Quotations are verbatim, line breaks aside. Code and the broken sentence at either end of a passage are never quoted, a
heading only above what would say something else without it, and nothing that refers to words which are not there.
"""

import re
from collections.abc import Iterator, Sequence

import msgspec

from millstream.search import Passage
from millstream.search.query import stem
from millstream.search.words import words
from millstream.sentences import Block, blocks, sentences, without_code

SHORTEST, LONGEST = 20, 700  # characters of a sentence
SHORTEST_WIDE = 8  # …of one that ends as Chinese and Japanese ones do, where a character says more

_WHOLE = re.compile(r"[\"'“‘«「『（(*_]*[^\W_a-z].*[.!?。！？][\"'”’»」』）)*_]*\Z", re.DOTALL)
_MARKED_HEADING = re.compile(r"^[ \t>]*#{1,6}[ \t]+([^\n]+)$", re.MULTILINE)
_ENDS = (".", ",", ";", ":", "!", "?", "-", "–")
_LONGEST_HEADING = 80
_SHORT = 0.6  # of a passage's longest line: prose that was set in lines fills them
_FULL_LINE = 100  # characters at most: a longer line is a paragraph that was not set in lines
_REFERS_BACK = re.compile(
    r"(?:this|these|those|that|they|it|he|she|such|however|therefore|additionally|also|in addition|for example|"
    r"otherwise|instead|moreover|furthermore|if so|if not|then|among (?:these|those|them)|"
    r"(?:all|both|each|examples|many|most|none|some) (?:of (?:these|those|them|this)|include))\b(?! to\b)",
    re.IGNORECASE,
)
_NEGATION = re.compile(
    r"\b(?:not|no|nor|none|never|neither|without|cannot|except(?:ions?)?|exclud(?:e|es|ed|ing)|exclusions?|"
    r"\w+n['’]t)\b",
    re.IGNORECASE,
)
_NO_NEGATION = re.compile(r"\bnot (?:limited|only|just)\b|\bno(?:\.| later| matter| longer than)", re.IGNORECASE)
_CELL = re.compile(r"[^\s:;][^:;\n]{0,59}: \S")


class Quotable(msgspec.Struct, frozen=True):
    """A piece of passage `n` (from 1), at its place in that passage.

    `lead` is quoted above it: what introduces a list item ("Covered are:"), with what that refers to; the parents of an
    item; a heading without which the piece would say something else. `header` is that of a table row, both lines.
    `context` are the words of the heading above, `in_negation` whether that or the lead speaks of what is not.
    `previous` is where the sentence before begins, if there is one.
    """

    n: int
    start: int
    text: str
    stems: frozenset[str]
    kind: str = "sentence"
    lead: str = ""
    header: str = ""
    context: frozenset[str] = frozenset()
    in_negation: bool = False
    previous: int | None = None


def quotables(passages: Sequence[Passage]) -> Iterator[Quotable]:
    """All pieces of all passages, in their order."""
    for n, passage in enumerate(passages, 1):
        yield from _Pieces(n, passage).read()


def stems(text: str) -> frozenset[str]:
    return frozenset(stem(word) for word in words(text))


def refers_back(sentence: str) -> bool:
    """It begins with a word that means what stands before ("These include")."""
    return _REFERS_BACK.match(sentence) is not None


def negates(text: str) -> bool:
    """It says of something that it is not ("not covered", "excluded", "without")."""
    return _NEGATION.search(_NO_NEGATION.sub("", text)) is not None


class _Pieces:
    """Reads one passage from its beginning to its end and knows, at each place, what stands above."""

    def __init__(self, n: int, passage: Passage) -> None:
        self._n = n
        self._text = without_code(passage.text)
        self._continues = bool(passage.start)  # what is above its first block is in another passage
        self._header = passage.header
        self._headings = [(match.start(), match[1]) for match in _MARKED_HEADING.finditer(self._text)]
        lines = [line for line in self._text.splitlines() if not line.lstrip().startswith("|")]
        self._full = min(max(map(len, lines), default=0), _FULL_LINE)
        self._heading = ""
        # None: in another passage, or it refers to what is there, and nothing tells what the items of such a list are.
        self._lead: str | None = None if self._continues else ""
        self._parents: list[_Parent] = []
        self._before: list[str] = []  # the sentences since the heading, list or table above
        self._rows: list[Block] = []

    def read(self) -> Iterator[Quotable]:
        found = list(blocks(self._text))
        for block, following in zip(found, [*found[1:], None], strict=True):
            while self._headings and self._headings[0][0] < block.start:
                self._begin_section(self._headings.pop(0)[1])
            text = self._text[block.start : block.end]
            if block.kind in ("row", "rule"):
                self._before = [""]
                yield from self._row(block)
                continue
            self._rows = []
            if block.kind == "item":
                self._before = [""]
                yield from self._item(block)
            elif _is_record(text):
                self._before = [""]
                yield self._piece(block.start, "; ".join(text.split("\n")), "record")
            elif following and _is_heading_alone(text):
                self._begin_section(text)
            else:
                yield from self._prose(block)

    def _begin_section(self, heading: str) -> None:
        self._heading = " ".join(heading.strip("#*_ \t").split())
        self._lead, self._parents, self._before = "", [], []

    def _piece(
        self, start: int, text: str, kind: str, lead: str = "", header: str = "", previous: int | None = None
    ) -> Quotable:
        said = stems(text) | stems(header) | (stems(lead) if kind == "item" else frozenset())
        in_negation = negates(self._heading) or negates(lead)
        if self._heading and ((kind == "item" and not lead) or (in_negation and not negates(f"{lead} {text}"))):
            lead = f"**{self._heading}**" + (f"\n\n{lead}" if lead else "")
        return Quotable(self._n, start, text, said, kind, lead, header, stems(self._heading), in_negation, previous)

    def _row(self, block: Block) -> Iterator[Quotable]:
        if self._rows and self._text[self._rows[-1].end : block.start].count("\n") > 1:
            self._rows = []
        self._rows.append(block)
        first, second = self._rows[0], self._rows[min(1, len(self._rows) - 1)]
        goes_on = self._continues and not self._text[: first.start].strip()
        if block.kind == "rule" or (block is first and not (goes_on and self._header)):
            return
        header = self._text[first.start : first.end]
        if second.kind == "rule":
            header += f"\n{self._text[second.start : second.end]}"
        elif goes_on:
            header = self._header
        elif not _names_columns(header):
            return
        else:
            header += "\n|" + "---|" * (header.count("|") - 1)
        if header:
            yield self._piece(block.start, self._text[block.start : block.end], "row", header=header)

    def _item(self, block: Block) -> Iterator[Quotable]:
        text = self._text[block.start : block.end]
        before = self._text[self._text.rfind("\n", 0, block.start) + 1 : block.start]
        item, heading = _heading_apart(text, self._full)
        item = " ".join(item.split())
        parent = _Parent(len(before) - len(before.lstrip()), before.strip()[:1], item)
        while self._parents and not self._parents[-1].is_above(parent):
            self._parents.pop()
        leads = [self._lead, *(above.text for above in self._parents)]
        self._parents.append(parent)
        if len(words(item)) >= 2 and len(item) <= LONGEST and not item.endswith((":", "：")) and None not in leads:
            yield self._piece(block.start, item, "item", "\n\n".join(filter(None, leads)))
        if heading:
            self._begin_section(heading)

    def _prose(self, block: Block) -> Iterator[Quotable]:
        self._lead, self._parents, previous = "", [], None
        for start, end, is_heading in _lines_apart(self._text, block, self._full):
            if is_heading:
                self._begin_section(self._text[start:end])
                previous = None
                continue
            for sentence_start, sentence_end in sentences(self._text[start:end]):
                sentence = " ".join(self._text[start + sentence_start : start + sentence_end].split())
                self._before.append(sentence)
                self._lead = self._introduction(self._before) if sentence.endswith((":", "：")) else ""
                if _is_whole(sentence):
                    at = start + sentence_start
                    yield self._piece(at, sentence, "sentence", previous=previous)
                    previous = at

    def _introduction(self, sentences: Sequence[str]) -> str | None:
        """The last of these sentences, behind the ones that it refers to; None when they are not all there."""
        first = len(sentences) - 1
        while refers_back(sentences[first]):
            if not first or not _is_whole(sentences[first - 1]):
                is_below_heading = self._heading and not first
                return f"**{self._heading}**\n\n{' '.join(sentences)}" if is_below_heading else None
            first -= 1
        lead = " ".join(sentences[first:])
        return lead if len(lead) <= LONGEST and not lead[:1].islower() else None


class _Parent(msgspec.Struct, frozen=True):
    """A list item, which may have others below it."""

    indent: int
    marker: str
    text: str

    def is_above(self, item: "_Parent") -> bool:
        if item.indent == self.indent:  # lists of a PDF file are told apart by their marks alone
            return self.text.endswith((":", "：")) and item.marker != self.marker and not item.marker.isdigit()
        return item.indent > self.indent


def _is_record(text: str) -> bool:
    """A row of a spreadsheet (`Plan: Basic; Cost: 12.50`) or a record of JSON (a line each), as readers write them."""
    lines = text.split("\n")
    parts = lines if len(lines) > 1 else text.split("; ")
    named = [_CELL.match(part) is not None for part in parts]
    return named[0] and sum(named) > 1 and (all(named) or (len(lines) == 1 and 2 * sum(named) >= len(named)))


def _is_heading_alone(text: str) -> bool:
    """A paragraph that is one short line, in the manner of a heading: a title, or a question."""
    return (
        len(text) <= _LONGEST_HEADING
        and "\n" not in text
        and text.lstrip("*_")[:1].isupper()
        and (not text.endswith(_ENDS) or text.endswith("?"))
        and len(list(sentences(text))) == 1
    )


def _heading_apart(item: str, full: int) -> tuple[str, str]:
    """A list item, and the heading of what follows when the item's last line is none of its own.

    A line that goes on begins with what had no room on the line above, or is indented.
    """
    above, _, last = item.rpartition("\n")
    has_room = len(above.rpartition("\n")[2]) + 1 + len(last.partition(" ")[0]) <= full
    if above and has_room and last[:1].isupper() and len(last) <= _SHORT * full and not last.endswith(_ENDS):
        return above, last
    return item, ""


def _lines_apart(text: str, block: Block, full: int) -> Iterator[tuple[int, int, bool]]:
    """[start, end) of the block's parts, and whether it is a heading: a short line without an end above a full one."""
    begin = start = block.start
    while start < block.end:
        line_end = text.find("\n", start, block.end)
        if line_end < 0:
            break
        line, following = text[start:line_end].strip(), text[line_end + 1 : line_end + 2]
        if line[:1].isupper() and following.isupper() and len(line) <= _SHORT * full and not line.endswith(_ENDS):
            if start > begin:
                yield begin, start, False
            yield start, line_end, True
            begin = line_end + 1
        start = line_end + 1
    if begin < block.end:
        yield begin, block.end, False


def _names_columns(row: str) -> bool:
    """Several cells, no two the same, and none a number: as readers tell the first row of a table."""
    cells = [cell.strip() for cell in row.strip("| ").split("|")]
    told = [cell for cell in cells if cell]
    return len(told) > 1 and len(set(told)) == len(told) and not any(cell[0].isdigit() for cell in told)


def _is_whole(sentence: str) -> bool:
    shortest = SHORTEST_WIDE if sentence.rstrip("”’」』）")[-1:] in ("。", "！", "？") else SHORTEST
    return bool(shortest <= len(sentence) <= LONGEST and len(words(sentence)) >= 4 and _WHOLE.match(sentence))
