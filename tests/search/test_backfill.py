import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from random import Random

import numpy as np
import pytest
from bag import DIMENSIONS, Bag
from numpy.typing import NDArray

from millstream.documents import Document
from millstream.documents.split import Chunk
from millstream.documents.sync import sync
from millstream.errors import ModelError
from millstream.search import Filter
from millstream.search.backfill import STEP, Backfill, Embedding, missing_vectors
from millstream.search.sqlite import SqliteIndex

OWNER = "local"


def put(index: SqliteIndex, name: str, passages: int, word: str = "oak") -> None:
    texts = [f"{word} number {n}." for n in range(passages)]
    chunks, start = [], 0
    for text in texts:
        chunks.append(Chunk(start, start + len(text)))
        start += len(text) + 1
    with index.writer() as writer:
        writer.replace(OWNER, f"/{name}", name, f"{word} {passages}", Document(name, "\n".join(texts)), chunks)


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[SqliteIndex]:
    index = SqliteIndex(tmp_path / "index.db", Bag())
    yield index
    await index.close()


class Halting(Bag):
    """Embeds `steps` times, then says so and waits for ever."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.halted = asyncio.Event()
        self._left = steps

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if not self._left:
            self.halted.set()
            await asyncio.get_running_loop().create_future()
        self._left -= 1
        return await super().embed(texts)


class Failing(Bag):
    """Fails once."""

    failures = 1

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if self.failures:
            self.failures -= 1
            raise ModelError("the service is down", code="model-unavailable", retryable=True)
        return await super().embed(texts)


async def test_every_passage_gets_a_vector_once(index: SqliteIndex) -> None:
    put(index, "a", STEP + 3)
    seen: list[Embedding] = []
    embedder = Bag()
    done = await Backfill(index.path, embedder, seen.append).run()
    assert (done.state, done.done, done.total, done.model) == ("ready", STEP + 3, STEP + 3, "bag")
    assert [(progress.state, progress.done) for progress in seen] == [
        ("embedding", 0), ("embedding", STEP), ("embedding", STEP + 3), ("ready", STEP + 3),
    ]  # fmt: skip
    await Backfill(index.path, embedder).run()
    assert len(embedder.texts) == STEP + 3


async def test_a_change_costs_the_vectors_of_the_passages_that_changed(index: SqliteIndex) -> None:
    put(index, "a", 5)
    put(index, "b", 7)
    await Backfill(index.path, Bag()).run()
    put(index, "b", 9)
    embedder = Bag()
    assert missing_vectors(index.path, embedder) == 2
    (kept,) = await index.search("number 3", owner=OWNER, limit=1, where=Filter(within=("b",)))
    assert kept.semantic is not None
    assert kept.version == "oak 9"
    await Backfill(index.path, embedder).run()
    assert embedder.texts == ["oak number 7.", "oak number 8."]
    put(index, "b", 4)
    put(index, "c", 4)
    assert missing_vectors(index.path, embedder) == 4, "another document's vectors are its own"


async def test_one_changed_sentence_of_a_long_document_costs_few_vectors(index: SqliteIndex, tmp_path: Path) -> None:
    random = Random(1)
    sentences = [f"Rule {n} says {'so much ' * random.randint(1, 25)}and no more. " for n in range(400)]
    (tmp_path / "rules.md").write_text("".join(sentences))
    total = sync([tmp_path / "rules.md"], index).passages
    await Backfill(index.path, Bag()).run()
    sentences[0] = "Another beginning, which is longer than the one that was there before. "
    (tmp_path / "rules.md").write_text("".join(sentences))
    sync([tmp_path / "rules.md"], index)
    assert 1 <= missing_vectors(index.path, index.embedder) <= total / 3


async def test_a_document_is_found_by_its_words_before_it_has_vectors(index: SqliteIndex) -> None:
    put(index, "a", 2)
    await Backfill(index.path, index.embedder).run()
    put(index, "b", 1, "elm")
    (found,) = await index.search("elm", owner=OWNER)
    assert found.lexical is not None
    assert found.semantic is None
    assert missing_vectors(index.path, index.embedder) == 1
    await Backfill(index.path, index.embedder).run()
    (found,) = await index.search("elm", owner=OWNER)
    assert found.semantic is not None


async def test_the_first_vectors_do_not_push_aside_what_is_found_by_words(index: SqliteIndex) -> None:
    put(index, "near", 1, "oak tree")
    await Backfill(index.path, index.embedder).run()
    put(index, "right", 8, "oak tree root")
    found = await index.search("oak tree root", owner=OWNER, limit=9)
    assert missing_vectors(index.path, index.embedder) == 8
    assert [passage.title for passage in found] == ["right"] * 8 + ["near"]
    assert found[-1].semantic is not None


async def test_another_process_goes_on_where_one_was_killed(index: SqliteIndex) -> None:
    put(index, "a", 2 * STEP)
    script = (
        "import asyncio, sys; sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path\n"
        "from test_backfill import Halting\n"
        "from millstream.search.backfill import Backfill\n"
        "async def main():\n"
        "    embedder = Halting(1)\n"
        "    task = asyncio.create_task(Backfill(Path(sys.argv[1]), embedder).run())\n"
        "    await embedder.halted.wait()\n"
        "    print('halted', flush=True)\n"
        "    await task\n"
        "asyncio.run(main())"
    )
    command = [sys.executable, "-c", script, str(index.path), str(Path(__file__).parent)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"halted\n"
    assert (await Backfill(index.path, Bag()).run()).state == "elsewhere"
    process.kill()
    await process.wait()
    embedder = Bag()
    assert (await Backfill(index.path, embedder).run()).state == "ready"
    assert len(embedder.texts) == STEP


async def test_cancelling_lets_go_of_the_index(index: SqliteIndex) -> None:
    put(index, "a", 2)
    embedder = Halting(0)
    task = asyncio.create_task(Backfill(index.path, embedder).run())
    await embedder.halted.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await Backfill(index.path, Bag()).run()).state == "ready"


async def test_what_is_removed_meanwhile_gets_no_vector(index: SqliteIndex) -> None:
    put(index, "a", 3)

    class Removing(Bag):
        async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
            if not self.texts:
                await asyncio.to_thread(put, index, "a", 1, "elm")
            return await super().embed(texts)

    await Backfill(index.path, Removing()).run()
    (found,) = await index.search("elm", owner=OWNER)
    assert found.semantic is not None
    assert await index.search("oak", owner=OWNER) == []


async def test_another_model_makes_all_vectors_anew_and_none_are_mixed(index: SqliteIndex) -> None:
    put(index, "a", 3)
    await Backfill(index.path, Bag()).run()
    other = SqliteIndex(index.path, Bag("other", dimensions=64))
    assert {passage.semantic for passage in await other.search("oak", owner=OWNER)} == {None}
    assert other.embedder is not None
    await Backfill(other.path, other.embedder).run()
    assert None not in {passage.semantic for passage in await other.search("oak", owner=OWNER)}
    assert {passage.semantic for passage in await index.search("oak", owner=OWNER)} == {None}
    await other.close()


async def test_a_model_that_changed_under_its_name_starts_anew(index: SqliteIndex) -> None:
    put(index, "a", 3)
    await Backfill(index.path, Bag()).run()
    assert await index.search("oak", owner=OWNER)
    put(index, "b", 1)
    changed = Bag(dimensions=64)
    await Backfill(index.path, changed).run()
    assert len(changed.texts) == 4
    searched = SqliteIndex(index.path, changed)
    assert None not in {passage.semantic for passage in await searched.search("oak", owner=OWNER)}
    await searched.close()


async def test_vectors_follow_whatever_another_connection_adds(index: SqliteIndex) -> None:
    embedder = Bag()
    shown: asyncio.Queue[Embedding] = asyncio.Queue()
    backfill = Backfill(index.path, embedder, shown.put_nowait, look_every_s=0.01)
    following = asyncio.create_task(backfill.follow())
    for count in (2, 5):
        await asyncio.to_thread(put, index, f"document {count}", count)
        async with asyncio.timeout(10):
            while (await shown.get()).state != "ready" or len(embedder.texts) < count:
                """Not yet."""
    assert len(embedder.texts) == 7
    following.cancel()
    await asyncio.wait([following])


async def test_what_the_first_question_needs_is_loaded_before_it_comes(index: SqliteIndex) -> None:
    put(index, "a", 2)
    await Backfill(index.path, Bag()).run()
    embedder = Bag()
    following = asyncio.create_task(Backfill(index.path, embedder).follow())
    async with asyncio.timeout(10):
        assert await embedder.loads.get() == 0  # no vector is missing
    following.cancel()
    await asyncio.wait([following])


async def test_nothing_is_loaded_where_there_is_nothing_to_search(index: SqliteIndex) -> None:
    embedder = Bag()
    shown: asyncio.Queue[Embedding] = asyncio.Queue()
    following = asyncio.create_task(Backfill(index.path, embedder, shown.put_nowait, look_every_s=0.01).follow())
    async with asyncio.timeout(10):
        while (await shown.get()).state != "ready":
            """Not yet."""
        await asyncio.to_thread(put, index, "a", 2)
        assert await embedder.loads.get() == 2
    following.cancel()
    await asyncio.wait([following])


async def test_a_failure_is_shown_and_tried_again(index: SqliteIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("millstream.search.backfill.TRY_AGAIN_S", 0.01)
    put(index, "a", 1)
    shown: asyncio.Queue[Embedding] = asyncio.Queue()
    following = asyncio.create_task(Backfill(index.path, Failing(), shown.put_nowait, look_every_s=0.01).follow())
    seen = []
    async with asyncio.timeout(10):
        while not seen or seen[-1].state != "ready":
            seen.append(await shown.get())
    assert ("failed", "the service is down") in [(progress.state, progress.error) for progress in seen]
    assert seen[-1].done == 1
    following.cancel()
    await asyncio.wait([following])


async def test_documents_get_their_vectors_though_the_model_could_not_be_loaded(
    index: SqliteIndex, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Unloadable(Bag):
        async def load(self) -> None:
            raise MemoryError("bad allocation")

    monkeypatch.setattr("millstream.search.backfill.TRY_AGAIN_S", 0.01)
    put(index, "a", 1)
    shown: asyncio.Queue[Embedding] = asyncio.Queue()
    following = asyncio.create_task(Backfill(index.path, Unloadable(), shown.put_nowait, look_every_s=0.01).follow())
    async with asyncio.timeout(10):
        for total in (1, 3):
            while (seen := await shown.get()).state != "failed" or seen.total != total:
                """Not yet."""
            assert (seen.done, seen.error) == (total, "MemoryError: bad allocation")
            await asyncio.to_thread(put, index, "b", 2)
    following.cancel()
    await asyncio.wait([following])
    assert caplog.messages == ["documents are found by their words alone: MemoryError: bad allocation"]
    assert "Traceback" in caplog.text


async def test_without_an_embedder_nothing_is_done(tmp_path: Path) -> None:
    assert (await Backfill(tmp_path / "index.db", None).run()).state == "off"


async def test_a_search_notices_that_the_model_changed_under_its_name(
    index: SqliteIndex, caplog: pytest.LogCaptureFixture
) -> None:
    put(index, "a", 3)
    await Backfill(index.path, Bag()).run()
    changed = SqliteIndex(index.path, Bag(dimensions=64))
    for _ in range(2):
        assert {passage.semantic for passage in await changed.search("oak", owner=OWNER)} == {None}
    (told,) = caplog.messages
    assert f"have {DIMENSIONS} dimensions, bag gives 64" in told
    assert "millstream sync" in told
    assert missing_vectors(index.path, changed.embedder) == 3
    await Backfill(index.path, changed.embedder).run()
    assert None not in {passage.semantic for passage in await changed.search("oak", owner=OWNER)}
    await changed.close()


async def test_a_model_may_change_back_and_forth(index: SqliteIndex) -> None:
    put(index, "a", 3)
    for dimensions in (DIMENSIONS, 64, DIMENSIONS, 64):
        searched = SqliteIndex(index.path, Bag(dimensions=dimensions))
        await searched.search("oak", owner=OWNER)
        await Backfill(index.path, searched.embedder).run()
        assert None not in {passage.semantic for passage in await searched.search("oak", owner=OWNER)}
        await searched.close()
