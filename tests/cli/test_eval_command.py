import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from millstream.cli.app import app
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


def test_a_source_that_is_not_indexed_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "oaks.md").write_text("An oak bears acorns.")
    CliRunner().invoke(app, ["sync", str(tmp_path / "docs"), "--data", str(tmp_path / "data")])
    lines = [
        {"question": "acorns?", "sources": ["oaks.md", "docs/oaks.md", "elms.md", "aks.md"]},
        {"question": "elms?", "sources": ["elms.md"]},
    ]
    (tmp_path / "q.jsonl").write_text("\n".join(map(json.dumps, lines)))
    shown = evaluate(tmp_path / "q.jsonl", "--indexed", "--data", tmp_path / "data")
    assert shown.stderr.splitlines() == [
        "Not in the index, so always missed: elms.md",
        "Not in the index, so always missed: aks.md",
    ]
    assert shown.stdout.startswith("# q")


def test_questions_without_judgements_are_refused(tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text('{"question": "Why?"}')
    with pytest.raises(InputError, match="None of the questions"):
        raise evaluate(tmp_path / "q.jsonl", "--data", tmp_path / "data").exception or AssertionError


@pytest.fixture
def leave(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "leave.md").write_text("Employees receive twenty days of paid holiday each calendar year.")
    CliRunner().invoke(app, ["sync", str(tmp_path / "docs"), "--data", str(tmp_path / "data")])
    lines = [
        {"question": "How many days of holiday do employees receive?", "sources": ["leave.md"], "truth": "20 days."},
        {"question": "Who painted the ceiling?", "answerable": False},
    ]
    (tmp_path / "leave.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return tmp_path / "leave.jsonl"


def test_answers_are_measured_and_compared_with_an_earlier_run(tmp_path: Path, leave: Path) -> None:
    kept = tmp_path / "run.json"
    first = evaluate(leave, "--indexed", "--answers", "--data", tmp_path / "data", "--out", kept, "--name", "first")
    assert first.exit_code == 0, first.output
    assert "model `extractive`" in first.stdout
    assert "| citations matched | 1.000 (1.000 to 1.000, n=1) |" in first.stdout
    assert "| refused unanswerable | 1.000 (1.000 to 1.000, n=1) |" in first.stdout
    again = evaluate(leave, "--indexed", "--answers", "--data", tmp_path / "data", "--compare", kept)
    assert "| citations matched | +0.000 (+0.000 to +0.000) |" in again.stdout


def test_answers_of_unjudged_questions_are_measured(tmp_path: Path, leave: Path) -> None:
    (tmp_path / "more.jsonl").write_text('{"question": "Is holiday paid for employees?"}')
    shown = evaluate(leave, tmp_path / "more.jsonl", "--indexed", "--answers", "--data", tmp_path / "data")
    assert "# leave + more" in shown.stdout
    assert "| falsely refused | 0.000 (0.000 to 0.000, n=2) |" in shown.stdout


def test_a_judge_scores_the_answers(tmp_path: Path, leave: Path) -> None:
    script = {"calls": [{"steps": [{"type": "text", "text": '{"score": 4}'}]}]}
    (tmp_path / "judge.json").write_text(json.dumps(script))
    shown = evaluate(leave, "--indexed", "--judge", f"scripted/{tmp_path / 'judge.json'}", "--data", tmp_path / "data")
    assert shown.exit_code == 0, shown.output
    assert "| groundedness (1 to 5) | 4.000 (4.000 to 4.000) |" in shown.stdout
    assert "judge `scripted/judge`" in shown.stdout


def test_two_sets_with_a_corpus_each_are_refused(tmp_path: Path, questions: Path) -> None:
    with pytest.raises(InputError, match="corpus of their own"):
        raise evaluate(questions, questions, "--data", tmp_path / "data").exception or AssertionError
