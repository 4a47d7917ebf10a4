"""Several rankings into one, and near copies out of it."""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import TypeVar

T = TypeVar("T")

# Cormack, Clarke, Büttcher (SIGIR 2009) found 60; between 5 and 60 it hardly matters on our sets.
RRF_K = 60

COPY_OVERLAP = 0.95  # of the distinct words of two passages that they share

_WORD = re.compile(r"\w+")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


def reciprocal_rank_fusion(rankings: Iterable[tuple[Sequence[int], float]], k: int = RRF_K) -> dict[int, float]:
    """Item → score, best first: the sum of weight / (k + rank) over the rankings that hold it, ranks from 1.

    Scores are divided by what an item would get that is first everywhere, so they lie in (0, 1]. Equal scores are in
    the order of the first ranking that holds them.
    """
    scores: dict[int, float] = {}
    best = 0.0
    for items, weight in rankings:
        best += weight / (k + 1)
        for rank, item in enumerate(items, 1):
            scores[item] = scores.get(item, 0.0) + weight / (k + rank)
    return {item: score / best for item, score in sorted(scores.items(), key=lambda entry: -entry[1])}


def in_turn(rankings: Iterable[Sequence[T]]) -> list[T]:
    """The best of each ranking, then the second of each, and so on."""
    return [item for row in zip_longest(*rankings, fillvalue=None) for item in row if item is not None]


def without_copies(items: Sequence[int], texts: Mapping[int, str], limit: int) -> list[int]:
    """The first `limit` items whose text is no near copy of an earlier one's.

    A near copy has the same numbers and nearly the same words: versions of a rule that differ in an amount are two.
    """
    kept: list[tuple[int, frozenset[str], list[str]]] = []
    for item in items:
        if len(kept) == limit:
            break
        words = frozenset(_WORD.findall(texts[item].lower()))
        numbers = sorted(_NUMBER.findall(texts[item]))
        if not any(numbers == others and _is_copy(words, other) for _, other, others in kept):
            kept.append((item, words, numbers))
    return [item for item, _, _ in kept]


def _is_copy(words: frozenset[str], other: frozenset[str]) -> bool:
    return len(words & other) >= COPY_OVERLAP * len(words | other)
