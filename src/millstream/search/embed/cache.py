"""The vectors of the questions that were asked last."""

from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from millstream.search.embed import Embedder

KEPT = 1_000  # questions: 1.5 MB at 384 dimensions


class QueryCache:
    """Asks `embedder` only for what is not among the last `kept` questions. For one event loop."""

    def __init__(self, embedder: Embedder, kept: int = KEPT) -> None:
        self._embedder = embedder
        self._kept = kept
        self._vectors: OrderedDict[str, NDArray[np.float32]] = OrderedDict()

    async def vector(self, question: str) -> NDArray[np.float32]:
        """The question's vector. Raises ModelError, which is not kept."""
        question = " ".join(question.split())
        vector = self._vectors.get(question)
        if vector is None:
            vector = await self._embedder.embed_query(question)
            self._vectors[question] = vector
            while len(self._vectors) > self._kept:
                self._vectors.popitem(last=False)
        self._vectors.move_to_end(question)
        return vector
