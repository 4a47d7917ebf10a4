"""Whether the documents speak of what was asked at all: where nothing is near, no model is asked to answer from it."""

from collections.abc import Sequence

import msgspec

from millstream.search import Passage


class Reach(msgspec.Struct, frozen=True):
    """From which scores on a passage is near a question.

    Where no meaning is near, or none was compared (the vectors of a new document take a while), the best coverage must
    reach `coverage`. Else the best cosine must reach `cosine`, or it and the best coverage together `together`.
    """

    coverage: float = 0.28
    together: float = 0.0
    cosine: float = 1.0


# Best coverage + best cosine over handbooks: 0.8 or more for 77 of 80 questions that they answer (two of the others had
# a cosine above 0.6, one a coverage of 0.57 and no cosine), 0 to 0.46 for 16 about other subjects.
MINILM = Reach(coverage=0.4, together=0.8, cosine=0.6)
WORDS_ALONE = Reach()
UNKNOWN = Reach(coverage=0.0)


def reach_of(embedder: str) -> Reach:
    """What is near under the embedder that a setting names.

    Where unrelated texts lie differs from model to model: with one that was not measured, whatever is found is near,
    and the language model decides.
    """
    return {"minilm": MINILM, "none": WORDS_ALONE}.get(embedder, UNKNOWN)


def nearness(passages: Sequence[Passage]) -> tuple[float, float | None]:
    """The best coverage and the best cosine among the passages; no cosine where meanings were not compared."""
    coverage = max((passage.coverage for passage in passages if passage.coverage is not None), default=1.0)
    return coverage, max((passage.semantic.score for passage in passages if passage.semantic), default=None)


def is_near(passages: Sequence[Passage], reach: Reach) -> bool:
    """Whether one of the passages may answer the question that they were found for."""
    if not passages:
        return False
    coverage, cosine = nearness(passages)
    if cosine is None:
        return coverage >= reach.coverage
    return cosine >= reach.cosine or coverage + cosine >= reach.together
