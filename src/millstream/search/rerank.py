"""Rerank: a slower, better judge reads the question together with each of the best passages and orders them anew."""

import asyncio
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from millstream.errors import ConfigurationError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from tokenizers import Encoding, Tokenizer

MAX_TOKENS = 512  # of question and passage together, as cross-encoders are trained
BATCH = 8


class Reranker(Protocol):
    name: str

    async def rerank(self, question: str, texts: Sequence[str]) -> list[float]:
        """How well each text answers `question`: one number for each, higher is better. Raises ModelError."""
        ...

    async def close(self) -> None: ...


class CrossEncoder:
    """A `Reranker`: a cross-encoder in this process, from the files `model.onnx` and `tokenizer.json` of a folder.

    The model takes `input_ids`, `attention_mask` and perhaps `token_type_ids`; its first output is one logit for each
    pair (or two, of which the second says "relevant"), as the models of sentence-transformers export.
    Raises ConfigurationError when a file is missing or is not such a model. It is loaded here: that takes a moment.
    """

    def __init__(self, folder: Path, threads: int | None = None) -> None:
        self.name = folder.name
        self._tokenizer = _load_tokenizer(folder / "tokenizer.json")
        self._session = _load_session(folder / "model.onnx", threads or max(1, (os.cpu_count() or 2) - 1))
        self._inputs = {entry.name for entry in self._session.get_inputs()}
        self._thread = ThreadPoolExecutor(1, "millstream-rerank")

    async def rerank(self, question: str, texts: Sequence[str]) -> list[float]:
        """See `Reranker.rerank`."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._scores, question, texts)

    async def close(self) -> None:
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)

    def _scores(self, question: str, texts: Sequence[str]) -> list[float]:
        pairs = self._tokenizer.encode_batch([(question, text) for text in texts])
        by_length = sorted(range(len(pairs)), key=lambda i: len(pairs[i].ids))
        scores = np.empty(len(pairs), np.float32)
        for start in range(0, len(by_length), BATCH):
            some = by_length[start : start + BATCH]
            scores[some] = self._logits([pairs[i] for i in some])
        return [float(score) for score in scores]

    def _logits(self, batch: "Sequence[Encoding]") -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        longest = max(len(pair.ids) for pair in batch)
        arrays = {name: np.zeros((len(batch), longest), np.int64) for name in self._inputs}
        for row, pair in enumerate(batch):
            values = {"input_ids": pair.ids, "attention_mask": pair.attention_mask, "token_type_ids": pair.type_ids}
            for name, array in arrays.items():
                array[row, : len(pair.ids)] = values[name]
        logits = np.asarray(self._session.run(None, arrays)[0], np.float32)
        return logits.reshape(len(batch), -1)[:, -1]


def _load_tokenizer(file: Path) -> "Tokenizer":
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises nothing narrower
        raise ConfigurationError(f"The reranker's tokenizer {file} cannot be read: {error}") from None
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS, strategy="only_second")
    return tokenizer


def _load_session(file: Path, threads: int) -> "InferenceSession":
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if not file.is_file():
        raise ConfigurationError(f"The reranker's model {file} is not there. MILLSTREAM_RERANKER names its folder.")
    try:
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the library raises nothing narrower
        raise ConfigurationError(f"The reranker's model {file} cannot be loaded: {error}") from None
    unknown = {entry.name for entry in session.get_inputs()} - {"input_ids", "attention_mask", "token_type_ids"}
    if unknown:
        raise ConfigurationError(
            f"The reranker's model {file} is no cross-encoder: it asks for {', '.join(sorted(unknown))}."
        )
    return session
