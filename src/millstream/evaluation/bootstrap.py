"""How sure a mean over questions is: bootstrap confidence intervals (Efron 1979; for retrieval Sakai 2006)."""

from collections.abc import Sequence

import msgspec
import numpy as np

RESAMPLES = 10_000
CONFIDENCE = 0.95
_SEED = 20260301  # the same numbers give the same interval


class Estimate(msgspec.Struct, frozen=True):
    """A mean over `n` questions and the interval [low, high] that holds it with 95 % confidence."""

    mean: float
    low: float
    high: float
    n: int


def mean_with_interval(values: Sequence[float]) -> Estimate:
    """Percentile interval of the mean. Raises ValueError without values."""
    if not values:
        raise ValueError("there is nothing to take the mean of")
    array = np.asarray(values, np.float64)
    random = np.random.default_rng(_SEED)
    rows = max(1, 2_000_000 // len(array))  # at a time, so that memory stays bounded
    means = np.concatenate(
        [
            array[random.integers(0, len(array), (min(rows, RESAMPLES - start), len(array)))].mean(axis=1)
            for start in range(0, RESAMPLES, rows)
        ]
    )
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(float(array.mean()), float(low), float(high), len(array))


def paired_difference(values: Sequence[float], others: Sequence[float]) -> Estimate:
    """Of the mean of `values[i] - others[i]`: both of the same question, which takes the questions' own spread out."""
    return mean_with_interval([value - other for value, other in zip(values, others, strict=True)])
