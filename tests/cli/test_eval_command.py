import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from millstream.cli import app
from millstream.errors import InputError


@pytest.fixture(autouse=True)
def _words_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLSTREAM_EMBEDDER", "none")


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    folder = tmp_path / "trees"
    folder.mkdir()
    entries = {"o": "An oak bears acorns.", "f": "A fir bears cones.", "y": "A yew is poisonous."}
    lines = [json.dumps({"_id": name, "title": "", "text": text}) for name, text in entries.items()]
    (folder / "corpus.jsonl").write_text("\n".join(lines))
    (folder / "queries.jsonl").write_text('{"_id": "1", "text": "acorns"}\n{"_id": "2", "text": "poisonous fir"}')
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n1\to\t1\n2\tf\t1\n2\ty\t2\n")
    return folder


def evaluate(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["eval", *map(str, arguments)])


def test_a_set_with_its_corpus_is_measured_and_compared_with_an_earlier_run(tmp_path: Path, questions: Path) -> None:
    first = evaluate(questions, "--data", tmp_path / "data", "--out", tmp_path / "run.json", "--name", "first")
    assert first.exit_code == 0, first.output
    assert "| recall@3 | 1.000 (1.000 to 1.000) |" in first.stdout
    again = evaluate(questions, "--data", tmp_path / "data", "--compare", tmp_path / "run.json", "--name", "again")
    assert "| recall@3 | +0.000 (+0.000 to +0.000) |" in again.stdout
    assert "again − first" in again.stdout


def test_documents_in_the_data_folder_are_asked_by_page(tmp_path: Path, questions: Path) -> None:
    (tmp_path / "o").write_text("An oak.")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "oaks.md").write_text("An oak bears acorns.")
    (questions / "qrels.tsv").write_text("1\toaks.md\t1\n")
    with pytest.raises(InputError, match="no documents"):
        raise evaluate(questions, "--indexed", "--data", tmp_path / "data").exception or AssertionError
    CliRunner().invoke(app, ["sync", str(tmp_path / "docs"), "--data", str(tmp_path / "data")])
    shown = evaluate(questions, "--indexed", "--data", tmp_path / "data")
    assert "1 questions" in shown.stdout
    assert "| hit@1 | 1.000 (1.000 to 1.000) |" in shown.stdout


def test_questions_without_judgements_are_refused(tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text('{"question": "Why?"}')
    with pytest.raises(InputError, match="None of the questions"):
        raise evaluate(tmp_path / "q.jsonl", "--data", tmp_path / "data").exception or AssertionError
