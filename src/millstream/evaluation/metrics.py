"""Retrieval metrics of one question, from the ranks at which its judged items were found. All lie in [0, 1]."""

from collections.abc import Mapping, Sequence
from math import log2


def hit(gains: Sequence[float], k: int) -> float:
    """1 if one of the first `k` results is relevant. `gains` are those of the results in order, 0 for a miss."""
    return float(any(gain > 0 for gain in gains[:k]))


def reciprocal_rank(gains: Sequence[float], k: int) -> float:
    """1 / the rank of the first relevant result among the first `k`, else 0."""
    return next((1 / rank for rank, gain in enumerate(gains[:k], 1) if gain > 0), 0.0)


def recall(found: Sequence[frozenset[int]], judged: int, k: int) -> float:
    """The part of the `judged` items that the first `k` results hold; `found[i]` are those that result i holds."""
    return len(frozenset().union(*found[:k])) / judged


def ndcg(gains: Sequence[float], grades: Sequence[float], k: int) -> float:
    """Normalised discounted cumulative gain (Järvelin and Kekäläinen 2002), gain = grade, as trec_eval computes it.

    `grades` are those of all judged items: the best order of them is 1.
    """
    best = _dcg(sorted(grades, reverse=True)[:k])
    return _dcg(gains[:k]) / best if best else 0.0


def _dcg(gains: Sequence[float]) -> float:
    return sum(gain / log2(rank + 1) for rank, gain in enumerate(gains, 1))


def credited(found: Sequence[frozenset[int]], grades: Mapping[int, float]) -> list[float]:
    """The gain of each result: of the items it holds, the grades of those that no earlier result held, summed."""
    seen: set[int] = set()
    gains = []
    for items in found:
        gains.append(sum(grades[item] for item in items - seen))
        seen |= items
    return gains
