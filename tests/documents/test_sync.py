import asyncio
import os
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pdf_files import make_encrypted_pdf, make_pdf

from millstream.documents.folders import is_settled, stamp_of
from millstream.documents.limits import Limits
from millstream.documents.pool import ReaderPool
from millstream.documents.split import Chunk
from millstream.documents.sync import Failure, Progress, Report, sync
from millstream.documents.worker import Answer
from millstream.errors import Conflict, InputError
from millstream.search.sqlite import SqliteIndex
from millstream.search.writer import IndexWriter


class NoReading(ReaderPool):
    """A pool that fails the test when anything is to be read."""

    def submit(self, path: Path, name: str) -> Future[Answer]:
        raise AssertionError(f"{name} was read")


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[SqliteIndex]:
    index = SqliteIndex(tmp_path / "data" / "index.db")
    yield index
    await index.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    (folder / "deep").mkdir(parents=True)
    (folder / "leave.md").write_text("# Leave\n\nStaff get twenty days of holiday.")
    (folder / "deep" / "pay.txt").write_text("Salaries are paid monthly.")
    (folder / "plan.pdf").write_bytes(make_pdf([["Dental care is covered."], ["Vision care is not."]]))
    return folder


def counts(report: Report) -> tuple[int, int, int, int]:
    return report.added, report.changed, report.unchanged, report.removed


async def uris(index: SqliteIndex, owner: str = "local") -> list[str]:
    return [document.uri for document in await index.documents(owner=owner)]


async def test_a_folder_is_indexed_with_all_below_it(index: SqliteIndex, folder: Path) -> None:
    seen: list[Progress] = []
    report = sync([folder], index, "local", seen.append)
    assert counts(report) == (3, 0, 0, 0)
    assert report.pages == 2
    assert await uris(index) == ["docs/deep/pay.txt", "docs/leave.md", "docs/plan.pdf"]
    assert [(progress.done, progress.total, progress.outcome) for progress in seen] == [
        (1, 3, "added"), (2, 3, "added"), (3, 3, "added"),
    ]  # fmt: skip
    (passage,) = await index.search("vision", owner="local")
    assert (passage.uri, passage.page_start, passage.page_end) == ("docs/plan.pdf", 1, 2)


async def test_only_what_changed_is_done_again(index: SqliteIndex, folder: Path) -> None:
    sync([folder], index)
    assert counts(sync([folder], index)) == (0, 0, 3, 0)
    before = await index.documents(owner="local")
    (folder / "leave.md").write_text("# Leave\n\nStaff get thirty days.")
    (folder / "deep" / "pay.txt").unlink()
    (folder / "new.md").write_text("New things.")
    assert counts(sync([folder], index)) == (1, 1, 1, 1)
    after = {document.uri: document for document in await index.documents(owner="local")}
    assert sorted(after) == ["docs/leave.md", "docs/new.md", "docs/plan.pdf"]
    leave = before[1]
    assert after["docs/leave.md"].document_id == leave.document_id
    assert after["docs/leave.md"].version != leave.version
    assert await index.search("twenty salaries", owner="local") == []
    assert (await index.document(leave.document_id, owner="local")).text == "# Leave\n\nStaff get thirty days."


async def test_nothing_outside_the_sources_is_removed(index: SqliteIndex, folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.md"
    other.write_text("Something else.")
    sync([folder, other], index)
    assert counts(sync([folder / "deep"], index)) == (0, 0, 1, 0)
    assert counts(sync([other], index)) == (0, 0, 1, 0)
    assert len(await uris(index)) == 4
    assert counts(sync([folder, folder / "deep", other], index)) == (0, 0, 4, 0)


async def test_bad_files_are_named_and_the_rest_is_indexed(index: SqliteIndex, folder: Path) -> None:
    (folder / "locked.pdf").write_bytes(make_encrypted_pdf())
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 nothing")
    (folder / "big.txt").write_text("x" * 2000)
    os.mkfifo(folder / "pipe.txt")
    (folder / "gone.md").symlink_to(folder / "nowhere.md")
    with ReaderPool(Limits(file_mb=0.0019)) as pool:
        report = sync([folder], index, pool=pool)
    assert report.added == 3
    assert [failure.uri for failure in report.failed] == [
        "docs/big.txt", "docs/broken.pdf", "docs/gone.md", "docs/locked.pdf", "docs/pipe.txt",
    ]  # fmt: skip
    assert report.failed[0] == Failure(
        "docs/big.txt", "It is larger than 0.0019 MB, which is the limit (MILLSTREAM_READ_FILE_MB)."
    )
    assert "encrypted" in report.failed[3].reason


async def test_a_file_that_became_unreadable_stays_as_it_was(index: SqliteIndex, folder: Path) -> None:
    sync([folder], index)
    (folder / "plan.pdf").write_bytes(b"%PDF-1.7 half written")
    report = sync([folder], index)
    assert (report.removed, len(report.failed)) == (0, 1)
    assert [passage.uri for passage in await index.search("dental", owner="local")] == ["docs/plan.pdf"]


async def test_a_folder_that_cannot_be_read_is_named_and_what_the_index_has_of_it_stays(
    index: SqliteIndex, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync([folder], index)

    def scandir(path: Path) -> Any:
        if path.name == "deep":
            raise PermissionError(13, "Permission denied")
        return listed(path)

    listed = os.scandir
    monkeypatch.setattr(os, "scandir", scandir)
    seen: list[Progress] = []
    report = sync([folder], index, "local", seen.append)
    assert report.failed == [Failure("docs/deep", "This folder cannot be read: Permission denied.")]
    assert (seen[0].uri, seen[0].outcome, seen[0].reason) == ("docs/deep", "failed", report.failed[0].reason)
    assert "docs/deep/pay.txt" in await uris(index)


async def test_hidden_and_unsupported_files_are_ignored(index: SqliteIndex, folder: Path) -> None:
    (folder / ".git").mkdir()
    (folder / ".git" / "x.md").write_text("hidden")
    (folder / ".hidden.md").write_text("hidden")
    (folder / "image.png").write_bytes(b"png")
    report = sync([folder], index)
    assert (report.added, report.ignored, report.failed) == (3, 3, [])


async def test_links_in_a_circle_come_to_an_end(index: SqliteIndex, folder: Path) -> None:
    (folder / "deep" / "up").symlink_to(folder, target_is_directory=True)
    assert sync([folder], index).added == 3


async def test_links_are_followed_inside_of_the_folder_only(index: SqliteIndex, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.txt").write_text("The secret is out.")
    (folder / "file.txt").symlink_to(tmp_path / "outside" / "secret.txt")
    (folder / "relative.txt").symlink_to("../outside/secret.txt")
    (folder / "all").symlink_to(tmp_path / "outside")
    (folder / "chain.txt").symlink_to("file.txt")
    (folder / "again.md").symlink_to("leave.md")
    report = sync([folder], index)
    refused = ["docs/all", "docs/chain.txt", "docs/file.txt", "docs/relative.txt"]
    assert [failure.uri for failure in report.failed] == refused
    assert all("leads out of the folder" in failure.reason for failure in report.failed)
    assert await index.search("secret", owner="local") == []
    assert "docs/again.md" in await uris(index)
    assert [failure.uri for failure in sync([folder], index).failed] == refused
    assert sync([folder, tmp_path / "outside"], index).failed == []  # named itself, it may be shown


async def test_nothing_stays_of_a_file_that_a_link_out_has_replaced(
    index: SqliteIndex, folder: Path, tmp_path: Path
) -> None:
    sync([folder], index)
    (folder / "leave.md").rename(tmp_path / "leave.md")
    (folder / "leave.md").symlink_to(tmp_path / "leave.md")
    assert [failure.uri for failure in sync([folder], index).failed] == ["docs/leave.md"]
    assert await index.search("holiday", owner="local") == []
    assert await uris(index) == ["docs/deep/pay.txt", "docs/plan.pdf"]


async def test_a_renamed_file_keeps_its_id_and_is_not_read_again(index: SqliteIndex, folder: Path) -> None:
    sync([folder], index)
    before = {document.uri: document.document_id for document in await index.documents(owner="local")}
    (folder / "leave.md").rename(folder / "holiday.md")
    (folder / "deep" / "pay.txt").rename(folder / "salary.txt")
    with NoReading() as pool:
        report = sync([folder], index, pool=pool)
    assert (counts(report), report.renamed) == ((0, 0, 1, 0), 2)
    after = {document.uri: document for document in await index.documents(owner="local")}
    assert after["docs/holiday.md"].document_id == before["docs/leave.md"]
    assert after["docs/holiday.md"].title == "Leave"
    assert after["docs/salary.txt"].document_id == before["docs/deep/pay.txt"]
    (passage,) = await index.search("salary", owner="local")
    assert (passage.uri, passage.title) == ("docs/salary.txt", "salary")
    assert await index.search("pay", owner="local") == []


async def test_a_renamed_folder_keeps_its_documents(index: SqliteIndex, folder: Path, tmp_path: Path) -> None:
    (folder / "twin.md").write_bytes((folder / "leave.md").read_bytes())
    sync([folder], index)
    before = {document.document_id for document in await index.documents(owner="local")}
    (tmp_path / folder.name).rename(tmp_path / "papers")
    with NoReading() as pool:
        report = sync([tmp_path / "papers"], index, pool=pool)
    assert (counts(report), report.renamed) == ((0, 0, 0, 0), 4)
    after = await index.documents(owner="local")
    assert {document.document_id for document in after} == before
    assert all(document.uri.startswith("papers/") for document in after)


async def test_a_copy_of_a_file_elsewhere_is_another_document(index: SqliteIndex, folder: Path, tmp_path: Path) -> None:
    sync([folder], index)
    (tmp_path / "copies").mkdir()
    (tmp_path / "copies" / "leave.md").write_bytes((folder / "leave.md").read_bytes())
    assert counts(sync([tmp_path / "copies"], index)) == (1, 0, 0, 0)
    assert len(await index.documents(owner="local")) == 4


async def test_a_file_that_is_named_itself_stays_below_its_folder(index: SqliteIndex, folder: Path) -> None:
    sync([folder], index)
    (folder / "leave.md").write_text("# Leave\n\nThirty days.")
    sync([folder / "leave.md"], index)
    assert await uris(index) == ["docs/deep/pay.txt", "docs/leave.md", "docs/plan.pdf"]


async def test_a_new_file_in_the_place_of_a_renamed_one_is_another_document(index: SqliteIndex, folder: Path) -> None:
    sync([folder], index)
    (folder / "leave.md").rename(folder / "holiday.md")
    sync([folder], index)
    (folder / "leave.md").write_text("Leave of another kind.")
    assert counts(sync([folder], index)) == (1, 0, 3, 0)
    ids = [document.document_id for document in await index.documents(owner="local")]
    assert len(set(ids)) == len(ids) == 4


async def test_a_single_file_is_known_by_its_name(index: SqliteIndex, folder: Path) -> None:
    sync([folder / "leave.md"], index)
    assert await uris(index) == ["leave.md"]
    sync([folder], index)
    assert "docs/leave.md" in await uris(index)
    assert len(await uris(index)) == 3


async def test_owners_have_documents_of_their_own(index: SqliteIndex, folder: Path) -> None:
    sync([folder], index, "ann")
    sync([folder / "leave.md"], index, "bob")
    assert (await index.document_count(owner="ann"), await index.document_count(owner="bob")) == (3, 1)
    (folder / "leave.md").unlink()
    sync([folder], index, "bob")
    assert (await index.document_count(owner="ann"), await index.document_count(owner="bob")) == (3, 2)


def test_a_source_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    index = SqliteIndex(tmp_path / "index.db")
    with pytest.raises(InputError, match="no folder or file"):
        sync([tmp_path / "nowhere"], index)
    with pytest.raises(InputError, match="Nothing matches"):
        sync([tmp_path / "*.nothing"], index)
    asyncio.run(index.close())


async def test_file_names_that_are_no_text_do_not_stop_a_sync(index: SqliteIndex, folder: Path) -> None:
    try:
        (folder / os.fsdecode(b"caf\xe9.md")).write_text("Coffee is free.")
    except OSError:
        pytest.xfail("this file system has only names that are text")
    assert sync([folder], index).added == 4
    (passage,) = await index.search("coffee", owner="local")
    assert passage.uri == "docs/caf?.md"
    assert counts(sync([folder], index)) == (0, 0, 4, 0)


async def test_a_file_name_neither_breaks_a_line_nor_commands_a_terminal(index: SqliteIndex, folder: Path) -> None:
    for name in ("new\nline.txt", "red\x1b[31m.txt", "back\u202ewards.txt"):
        (folder / name).write_text("Coffee is free.")
    sync([folder], index)
    documents = [document for document in await index.documents(owner="local") if "?" in document.uri]
    assert sorted(document.uri for document in documents) == [
        "docs/back?wards.txt",
        "docs/new?line.txt",
        "docs/red?[31m.txt",
    ]
    assert sorted(document.title for document in documents) == ["back?wards", "new line", "red?[31m"]


async def test_a_second_sync_at_the_same_time_is_refused(
    index: SqliteIndex, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("millstream.search.writer._LOCK_TIMEOUT_S", 0.01)
    with index.writer(), pytest.raises(Conflict, match="Another sync"):
        sync([folder], index)
    assert sync([folder], index).added == 3


async def test_a_full_disk_is_not_taken_for_another_sync(
    index: SqliteIndex, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(connection: sqlite3.Connection, name: str) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("millstream.search.writer.check_writable", full)
    with pytest.raises(sqlite3.OperationalError, match="full"):
        sync([folder], index)


async def test_readers_see_the_old_text_until_the_new_one_is_whole(
    index: SqliteIndex, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def text(word: str) -> str:
        return "".join(f"Sentence {n} is about {word} and about nothing else at all.\n\n" for n in range(3000))

    async def look() -> tuple[int, int]:
        found = [len(await index.search(word, owner="local", limit=100)) for word in ("apples", "pears")]
        return found[0], found[1]

    (folder / "leave.md").write_text(text("apples"))
    sync([folder], index)
    (folder / "leave.md").write_text(text("pears"))
    seen: list[tuple[int, int]] = []
    loop = asyncio.get_running_loop()

    replace = IndexWriter.replace

    def replace_and_look(writer: IndexWriter, *arguments: Any) -> int:
        *others, chunks, facts = arguments

        def looked() -> Iterator[Chunk]:
            for n, chunk in enumerate(chunks):
                if n % 50 == 49:
                    seen.append(asyncio.run_coroutine_threadsafe(look(), loop).result())
                yield chunk

        return replace(writer, *others, looked(), facts)

    monkeypatch.setattr(IndexWriter, "replace", replace_and_look)
    await asyncio.to_thread(sync, [folder], index)
    assert set(seen) == {(100, 0)}
    assert len(seen) > 2
    assert await look() == (0, 100)


async def test_files_by_pattern(index: SqliteIndex, folder: Path) -> None:
    sync([folder / "*.md", folder / "**" / "*.txt"], index)
    assert await uris(index) == ["leave.md", "pay.txt"]


async def test_the_data_folder_is_no_source(tmp_path: Path) -> None:
    index = SqliteIndex(tmp_path / "data" / "index.db")
    (tmp_path / "data" / "notes.txt").write_text("Not a document.")
    (tmp_path / "a.txt").write_text("A document.")
    sync([tmp_path], index)
    assert len(await uris(index)) == 1
    await index.close()


async def test_a_failure_is_not_tried_again_until_something_has_changed(index: SqliteIndex, folder: Path) -> None:
    (folder / "a.txt").write_text("Eleven char")
    with ReaderPool(Limits(characters=10)) as pool:
        failed = sync([folder / "a.txt"], index, pool=pool).failed
        assert len(failed) == 1
    with NoReading(Limits(characters=10)) as pool:
        assert sync([folder / "a.txt"], index, pool=pool).failed == failed
    with ReaderPool(Limits(characters=11)) as pool:
        assert counts(sync([folder / "a.txt"], index, pool=pool)) == (1, 0, 0, 0)


async def test_files_can_be_read_again(index: SqliteIndex, folder: Path) -> None:
    sync([folder], index)
    before = await index.documents(owner="local")
    assert counts(sync([folder], index, again=True)) == (0, 3, 0, 0)
    assert await index.documents(owner="local") == before


async def test_an_unchanged_file_is_not_even_opened(index: SqliteIndex, folder: Path) -> None:
    for path in (folder / "leave.md", folder / "plan.pdf", folder / "deep" / "pay.txt"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    sync([folder], index)
    begun = time.time_ns()
    while not is_settled((folder / "leave.md").stat(), time.time_ns()):
        assert time.time_ns() - begun < 10e9
    sync([folder], index)  # by now the dates can be relied on
    before = (folder / "leave.md").stat()
    with NoReading() as pool:
        assert counts(sync([folder], index, pool=pool)) == (0, 0, 3, 0)
    assert stamp_of((folder / "leave.md").stat()) == stamp_of(before)


async def test_a_sync_that_was_killed_is_gone_on_with(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    for n in range(40):
        (folder / f"{n:02}.txt").write_text(f"Document {n}. " * 200)
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom millstream.documents.sync import sync\n"
        "from millstream.search.sqlite import SqliteIndex\n"
        "def show(progress):\n    progress.done == 15 and os.kill(os.getpid(), 9)\n"
        "sync([Path(sys.argv[1])], SqliteIndex(Path(sys.argv[2])), 'local', show)\n"
    )
    path = tmp_path / "data" / "index.db"
    killed = await asyncio.create_subprocess_exec(sys.executable, "-c", code, str(folder), str(path))
    assert await killed.wait() == -9
    index = SqliteIndex(path)
    kept = await index.documents(owner="local")
    assert 14 <= len(kept) <= 15
    assert counts(sync([folder], index)) == (40 - len(kept), 0, len(kept), 0)
    assert len(await index.documents(owner="local")) == 40
    await index.close()


Change = tuple[str, int, int]
CHANGES = st.lists(
    st.tuples(st.sampled_from(["write", "delete", "move", "sync"]), st.integers(0, 4), st.integers(0, 4)), max_size=12
)


@pytest.fixture(scope="module")
def pool() -> Iterator[ReaderPool]:
    with ReaderPool(processes=1) as pool:
        yield pool


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CHANGES)
def test_any_changes_end_as_a_fresh_index(
    pool: ReaderPool, tmp_path_factory: pytest.TempPathFactory, changes: list[Change]
) -> None:
    base = tmp_path_factory.mktemp("any")
    folder = base / "docs"
    folder.mkdir()
    index, fresh = SqliteIndex(base / "data" / "index.db"), SqliteIndex(base / "fresh" / "index.db")
    for action, one, other in changes:
        path, target = folder / f"{one}.txt", folder / f"{other}.txt"
        if action == "write":
            path.write_text(f"Words number{other} of a document.")
        elif action == "delete":
            path.unlink(missing_ok=True)
        elif action == "move" and path.exists():
            path.rename(target)
        elif action == "sync":
            sync([folder], index, pool=pool)
    sync([folder], index, pool=pool)
    sync([folder], fresh, pool=pool)

    async def content(index: SqliteIndex) -> list[tuple[object, ...]]:
        found = await index.documents(owner="local")
        assert len({document.document_id for document in found}) == len(found)
        passages = await index.search("words number0 number1 number2 number3 number4", owner="local", limit=50)
        shown = sorted((passage.uri, passage.title, passage.text, passage.version) for passage in passages)
        return [*((document.uri, document.title, document.version) for document in found), *shown]

    assert asyncio.run(content(index)) == asyncio.run(content(fresh))
    asyncio.run(index.close())
    asyncio.run(fresh.close())


async def test_a_file_that_was_named_stays_when_its_folder_is_synced(index: SqliteIndex, folder: Path) -> None:
    recipe = folder / "soup.recipe"
    recipe.write_text("Turnips are boiled for an hour.")
    sync([folder], index)
    assert await index.search("turnips", owner="local") == [], "nobody knows this format"
    sync([recipe], index)
    report = sync([folder], index)
    assert (report.removed, report.unchanged) == (0, 4)
    recipe.write_text("Parsnips are boiled for an hour.")
    assert sync([folder], index).changed == 1
    assert len(await index.search("parsnips", owner="local")) == 1
    recipe.unlink()
    assert sync([folder], index).removed == 1
