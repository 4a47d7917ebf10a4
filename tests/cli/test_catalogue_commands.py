import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from millstream.cli.app import app


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MILLSTREAM_DATA", str(tmp_path / "data"))
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "leave.md").write_text("# Leave\n\nStaff get twenty days.")
    (folder / "pay.txt").write_text("Salaries are paid monthly.")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 broken")
    assert run("sync", str(folder), "--no-vectors").exit_code == 1
    return folder


def test_list_tells_documents_and_failures(folder: Path) -> None:
    lines = [json.loads(line) for line in run("documents", "list", "--json").stdout.splitlines()]
    assert [(line["uri"], line["state"]) for line in lines] == [
        ("docs/broken.pdf", "failed"),
        ("docs/leave.md", "ready"),
        ("docs/pay.txt", "ready"),
    ]
    (failed,) = run("documents", "list", "--failed").stdout.splitlines()
    assert "docs/broken.pdf  (failed: This is not a PDF, or it is damaged.)" in failed


def test_what_of_a_file_could_not_be_read_is_told(folder: Path) -> None:
    (folder / "people.jsonl").write_text('{"name": "Ann"}\n{"name"\n{"name": "Bob"}')
    remark = "1 of its 3 lines could not be read. Line 2 is not JSON: "
    assert f"added: docs/people.jsonl: {remark}" in run("sync", str(folder), "--no-vectors").stderr
    assert f"docs/people.jsonl  (1 passages, {remark}" in run("documents", "list").stdout
    assert json.loads(run("documents", "show", "people.jsonl", "--json").stdout)["document"]["remark"].startswith(
        remark
    )
    assert "people" not in run("documents", "list", "--failed").stdout


def test_show_tells_the_text_by_id_or_by_the_end_of_the_uri(folder: Path) -> None:
    assert run("documents", "show", "leave.md").stdout == "# Leave\n\nStaff get twenty days.\n"
    opened = json.loads(run("documents", "show", "docs/pay.txt", "--json").stdout)
    assert opened["passages"] == [{"n": 0, "start": 0, "end": 26}]
    by_id = run("documents", "show", opened["document"]["document_id"], "--passage", "0")
    assert by_id.stdout == "Salaries are paid monthly.\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.md"], "There is no document 'nothing.md'"),
        (["broken.pdf"], "could not be read: This is not a PDF"),
        (["pay.txt", "--page", "1"], "has no pages"),
        (["pay.txt", "--passage", "9"], "no such passage"),
        (["ay.txt"], "There is no document 'ay.txt'"),
    ],
)
def test_show_says_what_is_wrong(folder: Path, arguments: list[str], message: str) -> None:
    result = run("documents", "show", *arguments)
    assert result.exit_code != 0
    assert message in str(result.exception)


def test_a_removed_document_stays_out_until_it_is_named(folder: Path) -> None:
    assert (
        run("documents", "remove", "pay.txt", "broken.pdf").stdout
        == "removed: docs/pay.txt\nremoved: docs/broken.pdf\n"
    )
    assert (folder / "pay.txt").exists()
    result = run("sync", str(folder), "--no-vectors")
    assert (result.exit_code, result.stdout) == (0, "0 added, 0 changed, 1 unchanged, 0 removed, 0 failed\n")
    assert run("sync", str(folder / "pay.txt"), "--no-vectors").stdout.startswith("1 added")
    assert run("documents", "show", "pay.txt").exit_code == 0
