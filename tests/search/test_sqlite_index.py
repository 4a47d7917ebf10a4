import os
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

import pytest
from bag import Bag
from search_contract import DOCUMENTS, MODIFIED, SearchContract

from millstream.database import connect
from millstream.documents import Document
from millstream.documents.split import Chunk
from millstream.documents.sync import sync
from millstream.errors import ConfigurationError, NotFound
from millstream.search.backfill import Backfill
from millstream.search.query import query_terms, stem
from millstream.search.schema import FIRST_VERSION, MIGRATIONS
from millstream.search.sqlite import SqliteIndex
from millstream.search.writer import connect_to_write


@pytest.fixture(params=["words", "words and meaning", "signs"])
async def search(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[SqliteIndex]:
    """The same documents, searched by words alone, by both halves, and as if there were too many for exact search."""
    if request.param == "signs":
        monkeypatch.setattr("millstream.search.vectors.EXACT_BYTES", 0)
    index = SqliteIndex(tmp_path / "index.db", None if request.param == "words" else Bag())
    for owner, documents in DOCUMENTS.items():
        folder = tmp_path / owner / "docs"
        folder.mkdir(parents=True)
        for name, text in documents.items():
            (folder / name).write_text(text)
            os.utime(folder / name, ns=(MODIFIED[name] * 1_000_000, MODIFIED[name] * 1_000_000))
        sync([folder], index, owner)
    await Backfill(index.path, index.embedder).run()
    yield index
    await index.close()


class TestSqliteIndex(SearchContract):
    async def test_a_document_can_be_opened_by_its_owner_only(self, search: SqliteIndex) -> None:
        (passage, *_) = await search.search("overtime", owner="ann")
        document = await search.document(passage.document_id, owner="ann")
        assert (document.title, document.uri, document.version) == ("Pay", "docs/pay.md", passage.version)
        assert document.text == DOCUMENTS["ann"]["pay.md"]
        with pytest.raises(NotFound):
            await search.document(passage.document_id, owner="bob")

    async def test_the_index_is_there_after_a_restart(self, search: SqliteIndex) -> None:
        again = SqliteIndex(search.path, search.embedder)
        first = await search.search("holiday", owner="ann")
        assert await again.search("holiday", owner="ann") == first
        await again.close()


async def test_the_beginnings_of_long_documents_take_turns(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / f"{name}.txt").write_text(" ".join(f"Sentence {n} of {name} is one of many." for n in range(300)))
    index = SqliteIndex(tmp_path / "index.db")
    sync([folder], index)
    ids = [document.document_id for document in await index.documents(owner="local")]
    first = await index.beginnings(ids, owner="local", limit=5)
    await index.close()
    assert [passage.uri[-5] for passage in first] == ["a", "b", "a", "b", "a"]
    starts = [passage.start or 0 for passage in first]
    assert starts[0] == starts[1] == 0 < starts[2] < starts[4]


@pytest.mark.parametrize("only", [None, "lexical", "semantic"])
async def test_the_score_orders_and_the_halves_scores_measure(
    tmp_path: Path, only: Literal["lexical", "semantic"] | None
) -> None:
    index = SqliteIndex(tmp_path / "index.db", Bag(), only=only)
    (tmp_path / "docs").mkdir()
    for name, text in (
        ("good", "An oak, an oak and an elm."),
        ("fair", "The ash, the fir, the yew, the bay and an oak."),
    ):
        (tmp_path / "docs" / f"{name}.txt").write_text(text)
    sync([tmp_path / "docs"], index)
    await Backfill(index.path, index.embedder).run()
    good, fair = await index.search("oak elm", owner="local")
    assert (good.uri, fair.uri) == ("docs/good.txt", "docs/fair.txt")
    assert (good.score, fair.score) == (1.0, pytest.approx(61 / 62, abs=1e-3)), "whatever the halves are"
    for half in ("lexical", "semantic"):
        first, second = getattr(good, half), getattr(fair, half)
        if only in (None, half):
            assert first.score > 1.5 * second.score
        else:
            assert first is second is None
    await index.close()


async def test_a_long_document_comes_back_whole(tmp_path: Path) -> None:
    text = "Grüße 🎉 an alle. " * 20_000
    (tmp_path / "long.txt").write_text(text)
    index = SqliteIndex(tmp_path / "index.db")
    sync([tmp_path / "long.txt"], index)
    (passage, *_) = await index.search("grüße", owner="local")
    assert (await index.document(passage.document_id, owner="local")).text == text
    assert text[passage.start : passage.end] == passage.text
    await index.close()


async def test_the_write_lock_is_never_held_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "long.txt").write_text("".join(f"Sentence {n} says {n * 7919} to all.\n\n" for n in range(40_000)))
    index = SqliteIndex(tmp_path / "index.db")
    begun: list[float] = []
    ended: list[float] = []

    def note(statement: str) -> None:
        # The thread's own time: what other processes take of the machine does not count.
        if statement.startswith("BEGIN"):
            begun.append(time.thread_time())
        elif statement in ("COMMIT", "ROLLBACK"):
            ended.append(time.thread_time())

    def connect_and_note(path: Path) -> sqlite3.Connection:
        connection = connect(path)
        connection.set_trace_callback(note)
        return connection

    monkeypatch.setattr("millstream.search.writer.connect", connect_and_note)
    sync([tmp_path / "long.txt"], index)
    (tmp_path / "long.txt").write_text("Short.")
    sync([tmp_path / "long.txt"], index)
    held = [end - begin for begin, end in zip(begun, ended, strict=True)]
    assert len(held) > 20
    assert max(held) <= 0.05
    await index.close()


def test_a_file_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "index.db")
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.close()
    with pytest.raises(ConfigurationError, match="newer Millstream"):
        SqliteIndex(tmp_path / "index.db")


@pytest.mark.parametrize("version", range(1, FIRST_VERSION))
def test_a_file_from_before_the_first_release_is_to_be_made_anew(tmp_path: Path, version: int) -> None:
    connection = sqlite3.connect(tmp_path / "index.db")
    connection.execute(f"PRAGMA user_version = {version}")
    connection.execute("CREATE TABLE documents (id INTEGER PRIMARY KEY)")
    connection.close()
    with pytest.raises(ConfigurationError, match=r"Delete it.*sync your documents again"):
        SqliteIndex(tmp_path / "index.db")


def test_a_file_that_is_no_index_is_refused(tmp_path: Path) -> None:
    (tmp_path / "index.db").write_text("This is not a database, but long enough to be taken for one. " * 20)
    with pytest.raises(ConfigurationError, match="cannot open the database"):
        SqliteIndex(tmp_path / "index.db")


async def test_a_writer_that_died_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Apples are red.")
    index = SqliteIndex(tmp_path / "index.db")
    sync([tmp_path / "a.txt"], index)
    connection = connect_to_write(index.path)
    connection.execute(
        "INSERT INTO documents (owner, location, document_id, uri, title, version, state, pages) "
        "VALUES ('local', '/b', 'b', 'b', 'b', 'b', 'loading', 0)"
    )
    connection.execute(
        'INSERT INTO passages (document, n, title, text, start, "end") '
        "SELECT max(id), 0, 'b', 'Apples', 0, 6 FROM documents"
    )
    assert len(await index.search("apples", owner="local")) == 1
    sync([tmp_path / "a.txt"], index)
    assert connection.execute("SELECT count(*) FROM passages").fetchone() == (1,)
    assert connection.execute("SELECT count(*) FROM terms WHERE terms MATCH 'apples'").fetchone() == (1,)
    assert connection.execute("INSERT INTO terms (terms) VALUES ('integrity-check')")
    connection.close()
    await index.close()


def test_stop_words_and_repetitions_are_left_out_of_a_query() -> None:
    assert query_terms("What is the Leave for leave?") == ["leave"]
    assert query_terms("who are you") == ["who", "are", "you"]


@pytest.mark.parametrize(
    "words",
    [("employee", "employees"), ("plan", "plans", "planned", "planning"), ("cover", "covers", "covered", "covering"),
     ("policy", "policies"), ("service", "services"), ("use", "uses"), ("process", "processes")],
)  # fmt: skip
def test_inflections_have_one_stem(words: tuple[str, ...]) -> None:
    assert len({stem(word) for word in words}) == 1


async def test_a_passage_over_two_pages_knows_where_the_second_begins(tmp_path: Path) -> None:
    index = SqliteIndex(tmp_path / "index.db")
    first, second, third = "Apples are red. ", "Pears are green ", "Plums are blue."
    document = Document("Fruit", first + second + third, (0, 16, 32))
    chunks = [Chunk(0, 32, 1, 2), Chunk(16, 32, 2, 2), Chunk(16, 48, 2, 3)]
    with index.writer() as writer:
        writer.replace("local", "/f", "f", "v", document, chunks)
    found = await index.search("pears", owner="local", limit=9)
    assert {(one.page_start, one.page_end): one.page_break for one in found} == {(1, 2): 16, (2, 2): None, (2, 3): 32}
    await index.close()


def rows(first: int, last: int) -> str:
    return "".join(f"| setting {n} | what setting number {n} does to a run |\n" for n in range(first, last))


async def test_a_passage_that_begins_within_a_table_knows_the_tables_header(tmp_path: Path) -> None:
    header = "| name | what it does |\n|:---|---|"
    texts = {
        "table.md": f"# Settings\n\nAll of them:\n\n{header}\n{rows(0, 60)}\nThe end is here.\n",
        "bare.md": f"Some | words.\n\n{rows(200, 260)}",
        "long.md": f"{header}\n{rows(1000, 1600)}",
    }
    (tmp_path / "docs").mkdir()
    for name, text in texts.items():
        (tmp_path / "docs" / name).write_text(text)
    index = SqliteIndex(tmp_path / "index.db")
    sync([tmp_path / "docs"], index)

    async def best(number: int) -> tuple[bool, str]:
        passage = (await index.search(f"number {number}", owner="local", limit=1))[0]
        assert f"setting {number} " in passage.text
        return passage.text.startswith("| setting"), passage.header

    assert await best(1) == (False, "")  # its own text has the header
    assert await best(30) == await best(59) == await best(1200) == (True, header)
    assert await best(1599) == (True, "")  # too far below
    assert await best(240) == (True, "")  # there is none
    await index.close()
