from pathlib import Path

import pytest

from millstream.errors import InputError
from millstream.evaluation.questions import Judged, Question, read_corpus, read_questions

QUERIES = '{"_id": 1, "text": "How long?", "truth": "Long."}\n\n{"_id": "b", "text": "How far?"}\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "queries.jsonl").write_text(QUERIES)
    (tmp_path / "qrels.tsv").write_text(
        "query-id\tcorpus-id\tscore\n1\tbook.pdf#page=3\t2\n1\tnote.md\t1\n1\tno.md\t0\n"
    )
    return tmp_path


def test_a_folder_without_corpus_judges_pages_of_documents(folder: Path) -> None:
    questions = read_questions(folder)
    judged = (Judged("book.pdf", 3, 2), Judged("note.md", None, 1))
    assert questions.questions == [Question("1", "How long?", judged, "Long."), Question("b", "How far?")]
    assert questions.by_page
    assert questions.corpus is None


def test_a_folder_with_corpus_judges_its_entries(folder: Path) -> None:
    (folder / "corpus.jsonl").write_text('{"_id": "book.pdf#page=3", "title": "T", "text": "Long."}')
    questions = read_questions(folder)
    assert questions.questions[0].judged[0] == Judged("book.pdf#page=3", None, 2)
    assert not questions.by_page
    assert questions.corpus == folder / "corpus.jsonl"
    assert [entry.id for entry in read_corpus(folder / "corpus.jsonl")] == ["book.pdf#page=3"]
    assert read_questions(folder, own_corpus=False).by_page


def test_the_layout_of_beir_is_read(folder: Path) -> None:
    (folder / "qrels").mkdir()
    (folder / "qrels.tsv").rename(folder / "qrels" / "test.tsv")
    assert len(read_questions(folder).questions[0].judged) == 2


def test_a_file_holds_a_question_a_line(tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_text('{"question": "How long?", "sources": ["a.pdf#page=2"]}\n{"question": "Why?"}')
    questions = read_questions(tmp_path / "mine.jsonl")
    assert questions.name == "mine"
    assert questions.questions == [Question("1", "How long?", (Judged("a.pdf", 2),)), Question("2", "Why?")]


def test_a_byte_order_mark_is_passed_over(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_text('{"question": "Why?"}', "utf-8-sig")
    assert [question.text for question in read_questions(tmp_path / "mine.jsonl").questions] == ["Why?"]
    for name in ("queries.jsonl", "qrels.tsv"):
        (folder / name).write_text((folder / name).read_text(), "utf-8-sig")
    assert any(question.judged for question in read_questions(folder).questions)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("queries.jsonl", '{"_id": 1}', "Line 1 of queries.jsonl"),
        ("queries.jsonl", "{}\nnot json", "Line 1 of queries.jsonl"),
        ("qrels.tsv", "query-id\tcorpus-id\tscore\n1 a 1", "Line 2 of qrels.tsv"),
        ("qrels.tsv", "1\ta\tmany\n1\ta\tmany", "Line 2 of qrels.tsv"),
    ],
)
def test_a_mistake_is_told_with_its_file_and_line(folder: Path, name: str, content: str, message: str) -> None:
    (folder / name).write_text(content)
    with pytest.raises(InputError, match=message):
        read_questions(folder)


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"qrels\.tsv"):
        read_questions(tmp_path)
    with pytest.raises(InputError, match="not there"):
        read_questions(tmp_path / "none.jsonl")
