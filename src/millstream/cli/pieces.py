"""Markdown in a terminal, piece by piece, so that what is finished can stay while the rest is still being written.

A piece is a block, an item of a list, or a stretch of code. Where one ends is a matter of the text alone, not of when
it came: however a text was cut, its pieces are those of the whole.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace

from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import Markdown
from rich.segment import Segment
from rich.syntax import Syntax

# A stretch of code ends before an empty line, so that few comments and strings are cut, whose colours would change. It
# has at least so many lines, and this part of those before it: these are read again for its colours.
STRETCH_LINES = 16
STRETCH_PART = 1 / 8

# HTML is shown as it is written, for rich leaves it out: `List<String>` is text. So are definitions of references: they
# stand at the end, when what refers to them has long been printed. An image is shown as the link to it.
_parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).disable(["reference", "image"])
# Addresses are shown in full, not hidden behind a name that the model has chosen.
_markdown = Markdown("", hyperlinks=False)


@dataclass(frozen=True)
class Block:
    """A block, or an item of a list, of which `number` says the how manieth. `line` is that of the text."""

    line: int
    begins: bool  # and so is apart from what is above it
    tokens: list[Token]
    number: int = 0

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        shown = copy.copy(_markdown)
        shown.parsed = self.tokens
        lines = [_trimmed(line) for line in console.render_lines(shown, options, pad=False)]
        written = [n for n, line in enumerate(lines) if line]  # rich puts empty lines around what is not a paragraph
        if self.begins:
            yield Segment.line()
        for line in lines[written[0] : written[-1] + 1] if written else []:
            yield from line
            yield Segment.line()


@dataclass(frozen=True)
class Stretch:
    """The lines of `code` from `first` on, in a fence that `opening` opens. `line` is that of the text."""

    line: int
    begins: bool
    ends: bool
    opening: str
    language: str
    code: list[str]
    first: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self.begins:
            yield Segment.line()
        yield Syntax(
            "\n".join(self.code),
            self.language or "text",
            theme="monokai",
            word_wrap=True,
            line_range=(self.first + 1, len(self.code)),
            padding=(int(self.begins), 1, int(self.ends), 1),
        )


Piece = Block | Stretch


class Pieces:
    """The text as far as it has come: `add` returns the pieces that it finishes, `rest` what is not finished."""

    def __init__(self) -> None:
        self._open = ""  # from the beginning of a piece on
        self._number: int | None = None  # of the item with which it begins, when the list has earlier ones
        self._code: list[str] = []  # what was before it of the code with which it begins

    def add(self, text: str) -> list[Piece]:
        self._open += text
        if "\n" not in text:
            return []
        complete, _, begun = self._open.rpartition("\n")
        pieces = self._pieces(f"{complete}\n")
        if len(pieces) < 2:
            return []
        last = pieces.pop()
        lines = [*complete.split("\n")[last.line :], begun]
        self._number, self._code = None, []
        if isinstance(last, Stretch) and not last.begins:
            self._code = last.code[: last.first]
            lines.insert(0, last.opening)
        elif isinstance(last, Block) and not last.begins:
            self._number = last.number
        self._open = "\n".join(lines)
        return pieces

    def rest(self) -> list[Piece]:
        return self._pieces(self._open)

    def _pieces(self, text: str) -> list[Piece]:
        pieces: list[Piece] = []
        number, code = self._number, self._code
        for block in _blocks(_parser.parse(text)):
            match block[0].type:
                case "bullet_list_open" | "ordered_list_open":
                    pieces += _items(block, number)
                case "fence":
                    pieces += _stretches(block[0], text, code)
                case _:
                    pieces.append(Block(_line(block[0]), True, block))
            number, code = None, []
        return pieces


def pieces_of(text: str) -> list[Piece]:
    """All pieces of a text that is complete."""
    pieces = Pieces()
    return [*pieces.add(text), *pieces.rest()]


def _blocks(tokens: list[Token]) -> Iterator[list[Token]]:
    """The tokens of each block of the outermost level."""
    begin = 0
    for end, token in enumerate(tokens, 1):
        if token.level == 0 and token.nesting <= 0:
            yield tokens[begin:end]
            begin = end


def _items(block: list[Token], number: int | None) -> Iterator[Block]:
    """Each item as a list of its own. `number` is that of the first when the list has earlier ones."""
    opening, *inner, closing = block
    begins = number is None
    if number is None:
        number = int(opening.attrs.get("start", 1))
    begin = 0
    for end, token in enumerate(inner, 1):
        if token.type == "list_item_close" and token.level == 1:
            own = replace(opening, attrs={"start": number})
            yield Block(_line(inner[begin]), begins, [own, *inner[begin:end], closing], number)
            begins, begin, number = False, end, number + 1


def _stretches(fence: Token, text: str, before: list[str]) -> Iterator[Stretch]:
    line = _line(fence)
    opening = text.split("\n")[line]
    language = fence.info.partition(" ")[0]
    code = [*before, *fence.content.removesuffix("\n").split("\n")]
    first = len(before)
    for last in range(first, len(code)):
        if not code[last].strip() and last - first >= max(STRETCH_LINES, first * STRETCH_PART):
            yield Stretch(line, first == 0, False, opening, language, code[:last], first)
            line += last - first + (first == len(before))  # the line that opens it is the text's, and not the code's
            first = last
    yield Stretch(line, first == 0, True, opening, language, code, first)


def _trimmed(line: list[Segment]) -> list[Segment]:
    """Without the blanks that fill it: a terminal that becomes narrower would break the line at them."""
    line = line[:]
    while line and (line[-1].style is None or line[-1].style.bgcolor is None):
        text, style, _ = line.pop()
        if text := text.rstrip(" "):
            return [*line, Segment(text, style)]
    return line


def _line(token: Token) -> int:
    assert token.map is not None
    return token.map[0]
