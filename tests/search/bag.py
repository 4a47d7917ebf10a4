"""An embedder for tests: a text's meaning is its words, stemmed, each in a dimension of its own (by a hash)."""

import asyncio
import re
from collections.abc import Sequence
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from millstream.search.query import query_terms, stem

DIMENSIONS = 2048


class Bag:
    """Counts what it is asked, and how much that was when it was told to `load`.

    `name` and `dimensions` make it a different model.
    """

    weight, floor = 1.0, 0.3

    def __init__(self, name: str = "bag", dimensions: int = DIMENSIONS) -> None:
        self.name = name
        self._dimensions = dimensions
        self.texts: list[str] = []
        self.questions: list[str] = []
        self.loads: asyncio.Queue[int] = asyncio.Queue()

    async def load(self) -> None:
        self.loads.put_nowait(len(self.texts))

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.texts += texts
        return np.stack([self.vector(text) for text in texts])

    async def embed_query(self, text: str) -> NDArray[np.float32]:
        self.questions.append(text)
        return self.vector(text)

    async def close(self) -> None:
        """Nothing to release."""

    def vector(self, text: str) -> NDArray[np.float32]:
        counts = np.full(self._dimensions, 1e-6, np.float32)
        for word in query_terms(" ".join(re.findall(r"\w+", text))):
            counts[crc32(stem(word).encode()) % self._dimensions] += 1
        unit: NDArray[np.float32] = counts / np.linalg.norm(counts)
        return unit
