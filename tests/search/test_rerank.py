"""With a cross-encoder of two operations: no trained one is at hand, so its judgement is not tested, all else is."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from bag import Bag
from numpy.typing import NDArray
from onnx_file import mean_of_token_ids
from tokenizers import Tokenizer, models, pre_tokenizers

from millstream.documents import Document
from millstream.documents.split import split
from millstream.errors import ConfigurationError, MillstreamError, ModelError
from millstream.search.backfill import Backfill
from millstream.search.rerank import CrossEncoder
from millstream.search.sqlite import SqliteIndex

OWNER = "local"
VOCABULARY = {"[UNK]": 0, "low": 1, "middle": 50, "high": 100}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tokenizer = Tokenizer(models.WordLevel(VOCABULARY, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "model.onnx").write_bytes(mean_of_token_ids())
    return tmp_path


async def test_each_pair_gets_its_own_logit_whatever_its_length(folder: Path) -> None:
    reranker = CrossEncoder(folder)
    texts = ["high", "low", "middle middle middle", *["high low"] * 9, "unheard of"]
    scores = [(await reranker.rerank("low", [text]))[0] for text in texts]
    assert scores[:3] == [50.5, 1.0, 37.75]
    assert (await reranker.rerank("low", [texts[0]] * 3 + [texts[1]] * 3)) == [50.5] * 3 + [1.0] * 3
    assert await reranker.rerank("low", []) == []
    await reranker.close()


async def test_a_search_is_put_into_the_rerankers_order(tmp_path: Path, folder: Path) -> None:
    index = SqliteIndex(tmp_path / "index.db", reranker=CrossEncoder(folder))
    with index.writer() as writer:
        for text in ("oak low", "oak high", "oak middle"):
            document = Document(text, text)
            writer.replace(OWNER, f"/{text}", text, text, document, split(document))
    found = await index.search("oak", owner=OWNER, limit=2)
    assert [passage.text for passage in found] == ["oak high", "oak middle"]
    assert [passage.reranked for passage in found] == [passage.score for passage in found]
    await index.close()


class Broken:
    name = "broken"

    async def rerank(self, question: str, texts: Sequence[str]) -> list[float]:
        raise ModelError("it is down", code="model-unavailable", retryable=True)

    async def close(self) -> None:
        """Nothing to release."""


@pytest.mark.parametrize(
    "error",
    [ModelError("it is down", code="model-unavailable", retryable=True), ConfigurationError("it cannot be loaded")],
    ids=["down", "cannot be loaded"],
)
async def test_a_search_goes_on_without_a_reranker_and_an_embedder_that_fail(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, error: MillstreamError
) -> None:
    class Failing(Bag):
        async def embed_query(self, text: str) -> NDArray[np.float32]:
            raise error

    index = SqliteIndex(tmp_path / "index.db", Failing(), Broken())
    with index.writer() as writer:
        document = Document("oak", "An oak.")
        writer.replace(OWNER, "/oak", "oak", "1", document, split(document))
    await Backfill(index.path, index.embedder).run()
    (found,) = await index.search("oak", owner=OWNER)
    assert found.reranked is None
    assert caplog.messages == [
        f"searching by words alone: {error.message}",
        "searching without the reranker: it is down",
    ]
    await index.close()


@pytest.mark.parametrize("missing", ["model.onnx", "tokenizer.json"])
def test_a_missing_file_is_a_clear_error(folder: Path, missing: str) -> None:
    (folder / missing).unlink()
    with pytest.raises(ConfigurationError, match="reranker"):
        CrossEncoder(folder)


def test_a_file_that_is_no_model_is_a_clear_error(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"nothing of the kind")
    with pytest.raises(ConfigurationError, match="cannot be loaded"):
        CrossEncoder(folder)


def test_a_model_that_is_no_cross_encoder_is_a_clear_error(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(mean_of_token_ids(extra_input="pixels"))
    with pytest.raises(ConfigurationError, match="asks for pixels"):
        CrossEncoder(folder)
