import pytest

from millstream.search.fuse import in_turn, reciprocal_rank_fusion, without_copies


def test_an_item_gets_its_weight_over_k_plus_rank_from_each_ranking() -> None:
    scores = reciprocal_rank_fusion([([7, 8], 1.0), ([8, 9], 0.5)], k=60)
    best = 1.5 / 61
    assert scores == pytest.approx({8: (1 / 62 + 0.5 / 61) / best, 7: 1 / 61 / best, 9: 0.5 / 62 / best})
    assert list(scores) == [8, 7, 9]


def test_what_is_first_everywhere_scores_one() -> None:
    assert reciprocal_rank_fusion([([3, 1], 1.0), ([3, 2], 1.0)])[3] == 1.0


def test_equal_items_stand_as_the_first_ranking_has_them() -> None:
    assert list(reciprocal_rank_fusion([([1], 1.0), ([2], 1.0)])) == [1, 2]


def test_of_near_copies_the_best_is_kept() -> None:
    words = " ".join(f"word{letter}" for letter in "abcdefghijklmnopqrstuvwxyz")
    texts = {1: words, 2: words.upper() + "!", 3: words + " and a good deal more of it", 4: "something else"}
    assert without_copies([2, 1, 3, 4], texts, limit=10) == [2, 3, 4]
    assert without_copies([2, 1, 3, 4], texts, limit=2) == [2, 3]


def test_rules_that_differ_in_a_number_are_no_copies() -> None:
    texts = {n: f"The deductible of this plan is {n} dollars for each covered person and year." for n in (500, 1500)}
    assert without_copies([500, 1500], texts, limit=5) == [500, 1500]


def test_rankings_may_take_turns() -> None:
    assert in_turn([[1, 2, 3], [], [4]]) == [1, 4, 2, 3]
