import numpy as np
import pytest

from millstream.evaluation.bootstrap import mean_with_interval, paired_difference


def test_the_interval_is_that_of_the_normal_approximation_where_that_holds() -> None:
    values = np.random.default_rng(1).random(400).tolist()
    estimate = mean_with_interval(values)
    error = 1.96 * np.std(values) / 20
    assert (estimate.mean, estimate.n) == (pytest.approx(np.mean(values)), 400)
    assert estimate.low == pytest.approx(estimate.mean - error, abs=0.15 * error)
    assert estimate.high == pytest.approx(estimate.mean + error, abs=0.15 * error)


def test_the_same_values_give_the_same_interval() -> None:
    assert mean_with_interval([0, 1, 1, 0, 1]) == mean_with_interval([0, 1, 1, 0, 1])


def test_a_paired_difference_is_surer_than_the_two_means() -> None:
    hard = np.random.default_rng(2).random(100)
    ours, theirs = (hard + 0.05).tolist(), hard.tolist()
    difference = paired_difference(ours, theirs)
    assert (difference.low, difference.high) == (pytest.approx(0.05), pytest.approx(0.05))
    assert mean_with_interval(ours).low < mean_with_interval(theirs).high


def test_nothing_has_no_mean() -> None:
    with pytest.raises(ValueError, match="nothing"):
        mean_with_interval([])
