"""Passages and answers as plain words, for a card or a line that shows what they are about."""

import re
from collections.abc import Iterator

from markdown_it import MarkdownIt
from markdown_it.token import Token

from millstream.documents.formats import is_markdown
from millstream.search import Passage

CHARACTERS = 300
_LOOKED_AT = 2 * CHARACTERS  # of the passage: syntax takes room that the snippet does not show

_SYNTAX = re.compile(r"[#|*_`~\[<\\]|^\s*[>+-]", re.MULTILINE)
_TAG = re.compile(r"<[^>]*>")
_parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def snippet(passage: Passage) -> str:
    """On one line, at most CHARACTERS long, without the syntax of Markdown where the document is written in it."""
    text = passage.text[:_LOOKED_AT]
    words = plain_words(text) if is_markdown(passage.uri) else " ".join(text.split())
    if len(words) <= CHARACTERS and len(passage.text) <= _LOOKED_AT:
        return words
    return words[: CHARACTERS - 1].rsplit(" ", 1)[0] + "…"


def plain_words(markdown: str) -> str:
    """On one line, without the syntax of Markdown."""
    text = " ".join(_plain(_parser.parse(markdown))) if _SYNTAX.search(markdown) else markdown
    return " ".join(text.split())


def _plain(tokens: list[Token]) -> Iterator[str]:
    """The words of each block, the cells of a table's row set apart by "·"."""
    cell = 0
    for token in tokens:
        if token.type in ("tr_open", "table_close"):
            cell = 0
        elif token.type in ("th_open", "td_open"):
            cell += 1
        elif token.type == "inline":
            words = "".join(map(_word, token.children or []))
            words = _row(words) if words.startswith("|") else words
            yield f"· {words}" if cell > 1 and words else words
        elif token.type in ("fence", "code_block"):
            yield token.content
        elif token.type == "html_block":
            yield _TAG.sub(" ", token.content)


def _word(token: Token) -> str:
    if token.type in ("softbreak", "hardbreak"):
        return " "
    return "" if token.type == "html_inline" else token.content


def _row(words: str) -> str:
    """Rows of a table whose heading is not in the passage."""
    cells = (cell.strip() for cell in words.split("|"))
    return " · ".join(cell for cell in cells if cell.strip(":- "))
