from math import log2

import pytest

from millstream.evaluation.metrics import credited, hit, ndcg, recall, reciprocal_rank


def test_a_hit_is_a_relevant_result_among_the_first_k() -> None:
    assert [hit([0, 0, 2], k) for k in (1, 2, 3, 10)] == [0, 0, 1, 1]
    assert hit([], 3) == 0


def test_the_reciprocal_rank_is_that_of_the_first_relevant_result() -> None:
    assert reciprocal_rank([0, 1, 1], 10) == 1 / 2
    assert reciprocal_rank([0, 1], 1) == 0


def test_recall_counts_what_is_judged_once() -> None:
    found = [frozenset({0, 1}), frozenset({1}), frozenset({2})]
    assert recall(found, 4, 2) == 2 / 4
    assert recall(found, 4, 3) == 3 / 4
    assert recall([], 4, 3) == 0


def test_ndcg_is_the_discounted_gain_over_that_of_the_best_order() -> None:
    gained = 3 + 2 / log2(3) + 0 + 1 / log2(5)
    best = 3 + 3 / log2(3) + 2 / log2(4) + 1 / log2(5)
    assert ndcg([3, 2, 0, 1], [1, 2, 3, 3], 10) == pytest.approx(gained / best)
    assert ndcg([3, 3, 2, 1], [1, 2, 3, 3], 10) == pytest.approx(1)
    assert ndcg([0, 5], [5], 1) == 0


def test_only_the_first_k_count_in_the_best_order_too() -> None:
    assert ndcg([1, 1], [1] * 20, 2) == pytest.approx(1)


def test_an_item_is_credited_to_the_first_result_that_holds_it() -> None:
    assert credited([frozenset({0}), frozenset({0, 1}), frozenset({1})], {0: 2.0, 1: 1.0}) == [2.0, 1.0, 0.0]
