"""Opening, closing and opening again: nothing stays locked, nothing is left behind."""

import asyncio
import os
import sqlite3
import threading
from pathlib import Path

import pytest

from millstream import Millstream
from millstream.errors import ConfigurationError, RunError, Unavailable
from millstream.folder import serving as served_by
from millstream.models.extractive import ExtractiveModel
from serving import asking, serving, within


def our_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("millstream")]


async def assert_free(folder: Path) -> None:
    assert served_by(folder) is None
    assert our_threads() == []
    async with Millstream(data=folder, model="extractive").lifespan():
        found = served_by(folder)
        assert found is not None
        assert found.pid == os.getpid()
    assert served_by(folder) is None
    assert our_threads() == []


async def test_what_was_open_is_free_after_closing(tmp_path: Path) -> None:
    await assert_free(tmp_path)


async def test_a_second_server_on_the_folder_is_refused_and_the_way_on_is_named(tmp_path: Path) -> None:
    async with Millstream(data=tmp_path).lifespan():
        with pytest.raises(ConfigurationError, match=rf"process {os.getpid()}.*MILLSTREAM_DATA"):
            await Millstream(data=tmp_path).open()
        assert served_by(tmp_path) is not None  # the first still has it
    await assert_free(tmp_path)


async def test_a_model_that_cannot_be_made_leaves_the_folder_free(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        await Millstream(data=tmp_path, model="poet/ann").open()
    await assert_free(tmp_path)


@pytest.mark.parametrize("file", ["millstream.db", "index.db"])
async def test_a_database_that_is_none_is_one_clear_error_and_leaves_the_folder_free(tmp_path: Path, file: str) -> None:
    (tmp_path / file).write_bytes(b"this is no database" * 100)
    with pytest.raises(ConfigurationError, match=file):
        await Millstream(data=tmp_path).open()
    (tmp_path / file).unlink()
    await assert_free(tmp_path)


async def test_a_database_of_a_newer_version_is_refused_and_leaves_the_folder_free(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "millstream.db")
    database.execute("PRAGMA user_version = 999")
    database.close()
    with pytest.raises(ConfigurationError, match="newer Millstream"):
        await Millstream(data=tmp_path).open()
    (tmp_path / "millstream.db").unlink()
    await assert_free(tmp_path)


async def test_a_folder_of_prompts_that_is_not_there_is_refused_and_leaves_the_folder_free(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        await Millstream(data=tmp_path, prompts=tmp_path / "none").open()
    await assert_free(tmp_path)


async def test_a_recovery_that_fails_leaves_the_folder_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:

        async def broken(*_: object, **__: object) -> None:
            raise sqlite3.OperationalError("disk I/O error")

        patched.setattr("millstream.supervisor.close_dead_runs", broken)
        with pytest.raises(sqlite3.OperationalError):
            await Millstream(data=tmp_path).open()
    await assert_free(tmp_path)


async def test_a_model_that_fails_to_close_does_not_keep_the_folder_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(model: ExtractiveModel) -> None:
        raise RunError("The model's connection cannot be closed.")

    with monkeypatch.context() as patched:
        patched.setattr(ExtractiveModel, "close", broken)
        millstream = Millstream(data=tmp_path)
        await millstream.open()
        with pytest.raises(RunError):
            await millstream.close()
    await assert_free(tmp_path)


async def test_opening_and_closing_twice_is_once(tmp_path: Path) -> None:
    millstream = Millstream(data=tmp_path)
    await asyncio.gather(millstream.open(), millstream.open())
    await millstream.close()
    await millstream.close()
    assert not millstream.is_open
    with pytest.raises(Unavailable):
        _ = millstream.supervisor


async def test_what_was_closed_can_be_opened_again_and_answers_from_its_new_parts(tmp_path: Path) -> None:
    """Built-in answers hold the index and the model: those of the first time are closed."""
    from millstream.request import RunRequest

    millstream = Millstream(data=tmp_path)
    for _ in range(2):
        async with millstream.lifespan():
            run_id, _ = await millstream.supervisor.start(RunRequest(question="Why?"), "local")
            async with millstream.supervisor.follow(run_id, "local") as follower:
                frames = b""
                while (more := await within(follower.read())) is not None:
                    frames += more
        assert b"run.finished" in frames


async def test_the_applications_own_answers_take_the_place_of_the_built_in_ones(tmp_path: Path) -> None:
    millstream = Millstream(data=tmp_path)

    @millstream.answer(name="late", model="mine")
    async def late(run: object) -> None: ...

    async with millstream.lifespan():
        assert set(millstream.offered) == {"default", "rag", "chat", "recording", "late"}

        @millstream.answer(name="later")
        async def later(run: object) -> None: ...

        assert "later" in millstream.offered
        millstream.answer(late, name="rag")
        assert millstream.offered["rag"].model == "rag"


def test_a_second_answer_of_one_name_is_refused_with_a_way_on(tmp_path: Path) -> None:
    millstream = Millstream(data=tmp_path)

    @millstream.answer
    async def first(run: object) -> None: ...

    async def second(run: object) -> None: ...

    with pytest.raises(ConfigurationError, match=r"'default' is registered already.*name="):
        millstream.answer(second)
    with pytest.raises(ConfigurationError, match="must be a string"):
        millstream.answer(second, name="")
    millstream.answer(second, name="second")
    assert set(millstream.answers) == {"default", "second"}


async def test_closing_interrupts_what_does_not_end_in_time_and_its_reader_is_told(tmp_path: Path) -> None:
    async with serving(tmp_path) as server, asking(server, run_id="r1") as reader:
        telling = await server.told.next()
        telling.run.write("Half ")
        await reader.until("text.delta")
        closing = asyncio.create_task(server.millstream.close(drain_s=0))
        last = (await reader.rest())[-1]
        assert (last["type"], last["code"]) == ("run.failed", "interrupted")
        await within(telling.cancelled.wait())
        await within(closing)
        refused = await server.post("/api/runs", {"question": "Why?"})
        assert (refused.status, refused.json["code"]) == (503, "draining")


async def test_closing_waits_for_running_answers_and_takes_no_new_ones(tmp_path: Path) -> None:
    async with serving(tmp_path, drain=30) as server, asking(server, run_id="r1") as reader:
        telling = await server.told.next()
        closing = asyncio.create_task(server.millstream.close())
        while (refused := await server.post("/api/runs", {"question": "Why?", "stream": True})).status == 200:
            pass
        assert (refused.status, refused.json["code"], refused.headers["Retry-After"]) == (503, "draining", "5")
        assert not closing.done()
        telling.run.write("Whole.")
        telling.end()
        assert (await reader.rest())[-1]["type"] == "run.finished"
        await within(closing)
