import asyncio
import json
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from commands import assert_one_line_error, millstream
from typer.testing import CliRunner

from core import in_virtual_time
from millstream.cli.app import app

RUN = (
    '{"type":"run.started","seq":1,"at":0,"format":1,"run_id":"r","conversation_id":"c","message_id":"m",'
    '"model":"x","created":0}\n'
    '{"type":"source","seq":2,"at":1,"n":1,"source_id":"s","document_id":"d","version":"1","title":"Mills",'
    '"uri":"mills.pdf","snippet":"…","page_start":3}\n'
    '{"type":"text.delta","seq":3,"at":200,"text":"Wheels turn"}\n'
    '{"type":"citation","seq":4,"at":200,"n":1,"start":0,"end":11}\n'
    '{"type":"text.delta","seq":5,"at":600,"text":"."}\n'
    '{"type":"text.finished","seq":6,"at":600,"reason":"stop"}\n'
    '{"type":"run.finished","seq":7,"at":600}\n'
)
SHOWN = "Wheels turn [1].\n\n[1] Mills (mills.pdf, page 3)\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "run.ndjson"
    file.write_text(RUN)
    return file


def test_a_file_is_shown_as_it_was(tmp_path: Path, file: Path) -> None:
    done = millstream(tmp_path, "replay", file.name, "--speed", "0")
    assert (done.returncode, done.stdout, done.stderr) == (0, SHOWN, "")


def test_json_is_the_file_itself(tmp_path: Path, file: Path) -> None:
    assert millstream(tmp_path, "replay", file.name, "--speed", "0", "--json").stdout == RUN


@pytest.mark.parametrize(
    ("options", "seconds"),
    [([], 0.6), (["--speed", "0.5"], 1.2), (["--speed", "4"], 0.15), (["--speed", "0"], 0)],
    ids=["by itself", "slower", "faster", "without pauses"],
)
def test_it_takes_as_long_as_the_answer_took_and_speed_divides_that(
    file: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], seconds: float
) -> None:
    took = []

    def run(playing: Coroutine[Any, Any, None]) -> None:
        async def timed() -> None:
            begun = asyncio.get_running_loop().time()
            await playing
            took.append(asyncio.get_running_loop().time() - begun)

        in_virtual_time(timed())

    monkeypatch.setattr("millstream.cli.replay.asyncio.run", run)
    assert CliRunner().invoke(app, ["replay", str(file), *options]).exit_code == 0
    assert took == [pytest.approx(seconds)]


def test_a_run_of_the_log_is_played_by_its_id(tmp_path: Path) -> None:
    (tmp_path / "script.json").write_text(json.dumps({"calls": [{"steps": [{"type": "text", "text": "Words."}]}]}))
    asked = millstream(tmp_path, "ask", "Why?", "--answer", "chat", "--json", "--model", "scripted/script.json")
    run_id = json.loads(asked.stdout.splitlines()[0])["run_id"]
    assert millstream(tmp_path, "replay", run_id, "--speed", "0", "--json").stdout == asked.stdout
    assert millstream(tmp_path, "replay", run_id, "--speed", "0").stdout == "Words.\n"


def test_the_shipped_recording_is_played_by_its_name(tmp_path: Path) -> None:
    done = millstream(tmp_path, "replay", "tour", "--speed", "0")
    assert done.returncode == 0
    assert len(done.stdout) > 200
    assert not (tmp_path / "data").exists()


def test_what_is_neither_is_one_line(tmp_path: Path) -> None:
    assert_one_line_error(millstream(tmp_path, "replay", "nothing"), 1, "nothing")


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "run.started"), (b"hello\n", "line 1"), (RUN.encode() + b"{\n", "line 8"), (b"\xff\xfe\x00", "line 1"),
        (b'{"type":"text.delta","seq":1,"at":0,"text":"x"}\n', "run.started"), (b"[]\n", "line 1"), (b"5\n", "line 1"),
        (b'{"type":"run.started"}\n', "line 1"), (b"[" * 100_000, "line 1"),
    ],
    ids=["empty", "text", "half a line", "binary", "no start", "a list", "a number", "no fields", "deep"],
)  # fmt: skip
def test_a_file_that_is_no_run_is_one_line_that_names_the_place(tmp_path: Path, content: bytes, word: str) -> None:
    (tmp_path / "bad.ndjson").write_bytes(content)
    assert_one_line_error(millstream(tmp_path, "replay", "bad.ndjson"), 2, "bad.ndjson", word)


def test_a_negative_speed_exits_with_2(tmp_path: Path, file: Path) -> None:
    done = millstream(tmp_path, "replay", file.name, "--speed", "-1")
    assert done.returncode == 2
    assert "--speed" in done.stderr


def test_a_recorded_failure_is_told(tmp_path: Path) -> None:
    failed = '{"type":"run.failed","seq":2,"at":0,"code":"x","message":"The model fell silent.","retryable":true}\n'
    (tmp_path / "failed.ndjson").write_text(RUN.splitlines(keepends=True)[0] + failed)
    done = millstream(tmp_path, "replay", "failed.ndjson")
    assert "The model fell silent." in done.stderr


def test_that_a_recording_was_cut_is_told(tmp_path: Path) -> None:
    (tmp_path / "cut.ndjson").write_text("".join(RUN.splitlines(keepends=True)[:3]))
    done = millstream(tmp_path, "replay", "cut.ndjson", "--speed", "0")
    assert (done.returncode, done.stderr) == (1, "The recording ends here; the answer went on.\n")
    assert done.stdout.startswith("Wheels turn")
