"""Embed: text into vectors whose direction is its meaning, so that what means the same lies near."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
"""(texts, dimensions), each row of unit length."""


class Embedder(Protocol):
    """`name` stands for one space: vectors of embedders with different names are never compared.

    `weight` is how much its half of a search counts beside the lexical half (1.0). Cosines below `floor` say nothing:
    such passages are not found.
    """

    name: str
    weight: float
    floor: float

    async def load(self) -> None:
        """Does ahead of the first question what it would wait for. Raises ConfigurationError."""
        ...

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Vectors of passages, for the index. It may take long and gives way to whatever else the process does.

        Raises ModelError.
        """
        ...

    async def embed_query(self, text: str) -> NDArray[np.float32]:
        """The vector of one question: somebody waits for it. Raises ModelError."""
        ...

    async def close(self) -> None: ...
