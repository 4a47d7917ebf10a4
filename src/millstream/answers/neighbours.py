"""Join passages that lie next to each other in a document: one longer source reads better than two that overlap."""

from collections.abc import Sequence

import msgspec

from millstream.search import Passage

LONGEST = 2500  # characters of what is joined
GAP = 2  # characters of white space between two passages that still touch


def joined(passages: Sequence[Passage], most: int) -> list[Passage]:
    """At most `most` passages, best first; a neighbour of a better one is joined to it when both fit.

    They fit when they are no longer than `LONGEST` together and cross one page break at most, so that a citation still
    says where to look.
    """
    kept: list[Passage] = []
    for passage in passages:
        at = next((at for at, better in enumerate(kept) if _fit(better, passage)), None)
        if at is not None:
            kept[at] = _join(kept[at], passage)
        elif len(kept) < most:
            kept.append(passage)
    return kept


def _fit(one: Passage, other: Passage) -> bool:
    if (one.document_id, one.version) != (other.document_id, other.version):
        return False
    start, end = _span(one)
    other_start, other_end = _span(other)
    if end < 0 or other_end < 0 or other_start > end + GAP or start > other_end + GAP:
        return False
    if max(end, other_end) - min(start, other_start) > LONGEST:
        return False
    first, last = _pages(one, other)
    return first is None or last is None or last - first <= 1


def _span(passage: Passage) -> tuple[int, int]:
    """Where the passage stands in its document; (-1, -1) when that is not known."""
    return (-1, -1) if passage.start is None or passage.end is None else (passage.start, passage.end)


def _pages(one: Passage, other: Passage) -> tuple[int | None, int | None]:
    starts = [page for page in (one.page_start, other.page_start) if page is not None]
    ends = [page for page in (one.page_end, other.page_end) if page is not None]
    return min(starts, default=None), max(ends, default=None)


def _join(better: Passage, other: Passage) -> Passage:
    first, second = sorted((better, other), key=_span)
    (start, end), (second_start, second_end) = _span(first), _span(second)
    text = first.text
    if second_end > end:
        text += "\n" * (second_start - end) + second.text[max(0, end - second_start) :]
    page_start, page_end = _pages(first, second)
    page_break = first.page_break or second.page_break
    if page_break is None and page_start != page_end:
        page_break = second_start  # the one ends with its page, the other begins with the next
    return msgspec.structs.replace(
        better,
        text=text,
        header=first.header,
        start=start,
        end=max(end, second_end),
        page_start=page_start,
        page_end=page_end,
        page_break=page_break,
        coverage=max((p.coverage for p in (better, other) if p.coverage is not None), default=None),
        semantic=max((p.semantic for p in (better, other) if p.semantic), key=lambda match: match.score, default=None),
    )
