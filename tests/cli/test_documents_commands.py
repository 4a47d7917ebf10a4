import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from commands import PATIENCE_S, environment
from typer.testing import CliRunner

from millstream.cli.app import app
from millstream.cli.terminal import harmless


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MILLSTREAM_DATA", str(tmp_path / "data"))
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "leave.md").write_text("# Leave\n\nEmployees receive twenty days of paid holiday.")
    return folder


def test_sync_says_what_it_did(folder: Path) -> None:
    first = CliRunner().invoke(app, ["sync", str(folder)])
    assert (first.exit_code, first.stdout) == (0, "1 added, 0 changed, 0 unchanged, 0 removed, 0 failed\n")
    assert first.stderr == "added: docs/leave.md\n"
    second = CliRunner().invoke(app, ["sync", str(folder)])
    assert (second.stdout, second.stderr) == ("0 added, 0 changed, 1 unchanged, 0 removed, 0 failed\n", "")


def test_sync_tells_of_each_file(folder: Path) -> None:
    CliRunner().invoke(app, ["sync", str(folder)])
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 no more")
    (folder / "new.md").write_text("New things.")
    result = CliRunner().invoke(app, ["sync", str(folder), "--json"])
    told = {line["uri"]: line for line in map(json.loads, result.stdout.splitlines())}
    assert {uri: line["outcome"] for uri, line in told.items()} == {
        "docs/broken.pdf": "failed", "docs/leave.md": "unchanged", "docs/new.md": "added",
    }  # fmt: skip
    assert told["docs/broken.pdf"]["reason"] == "This is not a PDF, or it is damaged."
    assert result.stderr == "1 added, 0 changed, 1 unchanged, 0 removed, 1 failed\n"


def test_sync_names_what_failed_and_exits_with_1(folder: Path) -> None:
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 no more")
    result = CliRunner().invoke(app, ["sync", str(folder)])
    assert result.exit_code == 1
    assert "failed: docs/broken.pdf: This is not a PDF, or it is damaged." in result.stderr
    assert result.stdout == "1 added, 0 changed, 0 unchanged, 0 removed, 1 failed\n"


def test_search_gives_one_json_object_a_line(folder: Path) -> None:
    CliRunner().invoke(app, ["sync", str(folder)])
    result = CliRunner().invoke(app, ["search", "paid holiday", "--json"])
    (line,) = result.stdout.splitlines()
    hit = json.loads(line)
    assert list(hit) == ["n", "uri", "title", "page_start", "page_end", "score", "text"]
    assert (hit["n"], hit["uri"], hit["title"], hit["page_start"]) == (1, "docs/leave.md", "Leave", None)
    assert "[1] Leave (docs/leave.md)" in CliRunner().invoke(app, ["search", "holiday"]).stdout


def test_search_says_when_there_is_nothing(folder: Path) -> None:
    assert "millstream sync" in CliRunner().invoke(app, ["search", "holiday"]).stderr
    CliRunner().invoke(app, ["sync", str(folder)])
    result = CliRunner().invoke(app, ["search", "zebra", "--json"])
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "No passage has any of these words.\n")


@pytest.mark.parametrize("arguments", [["sync"], ["search"], ["search", "x", "--limit", "0"]])
def test_wrong_usage_exits_with_2(folder: Path, arguments: list[str]) -> None:
    assert CliRunner().invoke(app, arguments).exit_code == 2


def test_what_a_document_says_does_not_command_the_terminal(folder: Path) -> None:
    (folder / "odd.txt").write_text("Sick leave\x9b31m is \u202epaid\tin full.\nIt is paid on all days.")
    CliRunner().invoke(app, ["sync", str(folder)])
    for command in (["search", "sick"], ["documents", "show", "odd.txt"], ["ask", "Is sick leave paid in full?"]):
        shown = CliRunner().invoke(app, command).stdout
        assert "leave31m is paid" in shown
        assert not set(shown) & set("\x9b\u202e")
    assert harmless("a\x1b[2Jb\r\x07\x00\tc\nd\x7f") == "a[2Jb\tc\nd"


def test_sync_watches_until_it_is_interrupted(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "leave.md").write_text("Twenty days.")
    command = [sys.executable, "-m", "millstream", "sync", "--watch", "docs"]
    settings = environment(tmp_path, MILLSTREAM_WATCH_SECONDS="0.05", MILLSTREAM_EMBEDDER="none")
    with subprocess.Popen(command, cwd=tmp_path, env=settings, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        assert watching.stdout.readline().startswith("1 added")
        (tmp_path / "docs" / "pay.md").write_text("Monthly.")
        assert watching.stdout.readline().startswith("1 added, 0 changed, 1 unchanged")
        watching.send_signal(signal.SIGINT)
        assert watching.wait(PATIENCE_S) == 130


def test_sync_says_at_once_that_the_embedder_is_down(folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "millstream", "sync", str(folder)]
    settings = environment(
        tmp_path, MILLSTREAM_EMBEDDER="openai/m", OPENAI_API_KEY="none", OPENAI_BASE_URL="http://127.0.0.1:9/v1"
    )
    with subprocess.Popen(command, cwd=tmp_path, env=settings, stderr=subprocess.PIPE, text=True) as syncing:
        assert syncing.stderr is not None
        assert syncing.stderr.readline() == "added: docs/leave.md\n"
        assert "vectors have to wait, trying again: 127.0.0.1" in syncing.stderr.readline()
        assert syncing.poll() is None, "it goes on trying"
        syncing.kill()
