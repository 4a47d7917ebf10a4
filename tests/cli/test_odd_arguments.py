"""Whatever a command is given, it ends with one line for a person, never with a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from millstream.database import Database
from millstream.server.app import MIGRATIONS


def millstream(folder: Path, *arguments: str | bytes) -> tuple[int, str]:
    """Exit code and error output of the command, with its data under `folder`."""
    done = subprocess.run(
        [sys.executable, "-m", "millstream", *arguments, "--data", folder / "data"],
        capture_output=True,
        cwd=folder,
        timeout=60,
    )
    return done.returncode, done.stderr.decode()


def test_a_question_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    code, error = millstream(tmp_path, "ask", b"caf\xe9")
    assert (code, error) == (2, "millstream: The question is not UTF-8 text. Check the encoding of the terminal.\n")


@pytest.mark.parametrize("name", [b"\xff", b"nothing"])
async def test_what_is_neither_a_file_nor_a_run_cannot_be_replayed(tmp_path: Path, name: bytes) -> None:
    (tmp_path / "data").mkdir()
    await Database(tmp_path / "data" / "millstream.db", MIGRATIONS).close()
    code, error = millstream(tmp_path, "replay", name)
    assert (code, error.count("\n")) == (1, 1)
    assert error.startswith("millstream: There is no file and no run ")


def test_a_recording_that_is_not_utf_8_is_refused_by_its_line(tmp_path: Path) -> None:
    (tmp_path / "run.ndjson").write_bytes(b'{"type":"run.started","seq":1,"at":0,"format":1,"run_id":"\xff"}\n')
    code, error = millstream(tmp_path, "replay", "run.ndjson")
    assert (code, error.count("\n")) == (2, 1)
    assert error.startswith("millstream: run.ndjson, line 1: not an event of a run (")


OPENING_ERROR = "millstream: cannot open the database index.db: unable to open database file\n"


def test_an_index_that_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "data" / "index.db").mkdir(parents=True)
    assert millstream(tmp_path, "search", "x") == (2, OPENING_ERROR)


@pytest.mark.parametrize("closed", [0, 1, 2])
def test_a_closed_standard_stream_costs_nothing_but_what_would_be_told_there(tmp_path: Path, closed: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "millstream", "ask", "Hello?", "--data", tmp_path / "data"],
        capture_output=True,
        cwd=tmp_path,
        timeout=60,
        preexec_fn=lambda: os.close(closed),
    )
    assert done.returncode == 0
    assert (b"no documents" in done.stdout) is (closed != 1)
    assert b"Traceback" not in done.stderr


def test_piped_questions_that_are_not_utf_8_are_refused(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "millstream", "chat", "--data", tmp_path / "data"],
        input=b"caf\xe9\n",
        capture_output=True,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        cwd=tmp_path,
        timeout=60,
    )
    assert (done.returncode, done.stderr.decode()) == (
        2,
        "millstream: The questions are not UTF-8 text. Check the encoding of the file.\n",
    )
