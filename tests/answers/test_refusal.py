import pytest

from millstream.answers.refusal import MINILM, WORDS_ALONE, is_near, nearness, reach_of
from millstream.search import Match, Passage


def found(coverage: float, cosine: float | None = None) -> Passage:
    semantic = None if cosine is None else Match(1, cosine)
    return Passage("s", "d", "v", "T", "u", "text", coverage=coverage, semantic=semantic)


def test_nothing_is_not_near() -> None:
    assert not is_near([], WORDS_ALONE)
    assert not is_near([], reach_of("openai/text-embedding-3-large"))


@pytest.mark.parametrize(("coverage", "near"), [(0.27, False), (0.28, True)])
def test_by_words_alone_coverage_decides(coverage: float, near: bool) -> None:
    assert is_near([found(0.0), found(coverage)], reach_of("none")) is near


@pytest.mark.parametrize(
    ("coverage", "cosine", "near"),
    [
        (0.5, 0.25, False),
        (0.5, 0.3, True),
        (0.0, 0.59, False),
        (0.0, 0.6, True),
        (0.39, None, False),
        (0.4, None, True),
    ],
)
def test_with_minilm_words_and_meaning_decide_together(coverage: float, cosine: float | None, near: bool) -> None:
    assert is_near([found(coverage), found(0, cosine)], MINILM) is near


def test_with_an_embedder_that_was_not_measured_whatever_is_found_is_near() -> None:
    assert is_near([found(0.0)], reach_of("openai/text-embedding-3-large"))
    assert is_near([found(0.0, 0.1)], reach_of("openai/text-embedding-3-large"))


def test_nearness_is_that_of_the_best() -> None:
    assert nearness([found(0.2, 0.5), found(0.4)]) == (0.4, 0.5)
    assert nearness([found(0.2)]) == (0.2, None)
