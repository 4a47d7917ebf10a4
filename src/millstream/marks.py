"""Citation marks in Markdown: where one may stand so that it comes out at the right place and changes nothing else."""

import re
from collections.abc import Callable, Iterable

from millstream.snapshot import CitationState

# Lines whose meaning a mark would change: fences, rules, empty headings and their underlines, a table's second line.
_NO_MARK = re.compile(r"[\s>]*(`{3}|~{3}|[-=*_|:#+\s]+\Z)")


def place_marks(markdown: str, citations: Iterable[CitationState], mark: Callable[[CitationState], str]) -> str:
    """`markdown` with the mark of each citation behind its statement. A place where no mark can stand gets none."""
    pieces: list[str] = []
    begin = 0
    for citation in sorted(citations, key=lambda citation: citation.end):
        place = _place(markdown, min(citation.end, len(markdown)))
        if place is not None:
            at = max(begin, place)
            pieces += markdown[begin:at], mark(citation)
            begin = at
    return "".join([*pieces, markdown[begin:]])


def _place(markdown: str, at: int) -> int | None:
    at = len(markdown[:at].rstrip(" \t\r\n"))
    line_start = markdown.rfind("\n", 0, at) + 1
    newline = markdown.find("\n", at)
    line_end = len(markdown) if newline < 0 else newline
    if at == 0 or _NO_MARK.match(markdown[line_start:line_end]):
        return None
    # In a table's row the mark belongs into the last cell, not behind it.
    if markdown[at - 1] == "|" and not markdown[at:line_end].strip():
        at = line_start + len(markdown[line_start : at - 1].rstrip(" \t\r\n"))
    return at
