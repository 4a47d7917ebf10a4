"""Read a judged set: a folder in the layout of BEIR (Thakur et al. 2021), or one JSONL file.

Folder: `queries.jsonl` ({_id, text, truth?, answerable?}), `qrels.tsv` (query-id, corpus-id, score; with or without a
heading; also as `qrels/test.tsv`) and perhaps `corpus.jsonl` ({_id, title?, text}). File: {question, sources?: […],
truth?, id?, answerable?} a line. A source, or a corpus id where no corpus is used, is the name of a document as its uri
ends (`handbook.pdf`), or one page of it (`handbook.pdf#page=12`).
"""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from millstream.errors import InputError

T = TypeVar("T")

QUERIES, QRELS, CORPUS = "queries.jsonl", ("qrels.tsv", "qrels/test.tsv"), "corpus.jsonl"

_PAGE = re.compile(r"(?P<document>.+)#page=(?P<page>\d+)")


class Judged(msgspec.Struct, frozen=True, omit_defaults=True):
    """A document, or one page of it, that answers a question. A higher `grade` is a better answer; 0 is none."""

    document: str
    page: int | None = None
    grade: int = 1


class Question(msgspec.Struct, frozen=True, omit_defaults=True):
    """`truth` is a reference answer. One that is not `answerable` should be refused: the documents do not answer it."""

    id: str
    text: str
    judged: tuple[Judged, ...] = ()
    truth: str | None = None
    answerable: bool = True


class QuestionSet(msgspec.Struct, frozen=True):
    """`corpus` is the file of a corpus that belongs to the set."""

    name: str
    questions: list[Question]
    corpus: Path | None = None

    @property
    def by_page(self) -> bool:
        """What is looked for are pages, not whole documents."""
        return any(judged.page is not None for question in self.questions for judged in question.judged)


class _Query(msgspec.Struct):
    text: str
    id: str | int = msgspec.field(name="_id")
    truth: str | None = None
    answerable: bool = True


class _Line(msgspec.Struct):
    question: str
    sources: list[str] = []
    truth: str | None = None
    id: str | int | None = None
    answerable: bool = True


class Entry(msgspec.Struct):
    """A line of `corpus.jsonl`."""

    text: str
    id: str | int = msgspec.field(name="_id")
    title: str = ""


def read_questions(path: Path, *, own_corpus: bool = True) -> QuestionSet:
    """The set in a folder or file. Without `own_corpus` its corpus is left aside: it is asked of other documents.

    Raises InputError that names the file and the line.
    """
    if path.is_dir():
        corpus = path / CORPUS if own_corpus and (path / CORPUS).is_file() else None
        judged = _qrels(path, parse_source if corpus is None else Judged)
        queries = [_question(query, judged) for query in read_lines(path / QUERIES, _Query)]
        return QuestionSet(path.resolve().name, queries, corpus)
    lines = read_lines(path, _Line)
    return QuestionSet(path.stem, [_from_line(n, line) for n, line in enumerate(lines, 1)])


def merged(sets: Sequence[QuestionSet]) -> QuestionSet:
    """All questions as one set, asked of the one corpus among them. Raises InputError when there are several."""
    if len(sets) == 1:
        return sets[0]
    corpora = [each.corpus for each in sets if each.corpus is not None]
    if len(corpora) > 1:
        raise InputError(
            "Two sets of questions have a corpus of their own. Ask one, or the synced documents (--indexed)."
        )
    questions = [
        msgspec.structs.replace(question, id=f"{each.name}/{question.id}")
        for each in sets
        for question in each.questions
    ]
    return QuestionSet(" + ".join(each.name for each in sets), questions, next(iter(corpora), None))


def read_corpus(path: Path) -> Iterator[Entry]:
    """The entries of a `corpus.jsonl`. Raises InputError."""
    return read_lines(path, Entry)


def parse_source(name: str) -> Judged:
    """`handbook.pdf#page=12` → that page of that document."""
    page = _PAGE.fullmatch(name)
    return Judged(page["document"], int(page["page"])) if page else Judged(name)


def _question(query: _Query, judged: dict[str, list[Judged]]) -> Question:
    found = tuple(judged.get(str(query.id), ()))
    return Question(str(query.id), query.text, found, query.truth, query.answerable)


def _from_line(n: int, line: _Line) -> Question:
    judged = tuple(parse_source(source) for source in line.sources)
    name = str(line.id if line.id is not None else n)
    return Question(name, line.question, judged, line.truth, line.answerable)


def _qrels(folder: Path, judged_by: Callable[[str], Judged]) -> dict[str, list[Judged]]:
    file = next((folder / name for name in QRELS if (folder / name).is_file()), None)
    if file is None:
        raise InputError(f"There is no {QRELS[0]} in {str(folder)!r}: it says which documents answer which question.")
    judged: dict[str, list[Judged]] = {}
    for n, line in enumerate(_text(file).splitlines(), 1):
        cells = line.split("\t")
        if not line.strip() or (n == 1 and len(cells) == 3 and not cells[2].strip().lstrip("-").isdigit()):
            continue
        try:
            question, document, grade = cells
            if int(grade) > 0:
                item = msgspec.structs.replace(judged_by(document), grade=int(grade))
                judged.setdefault(question, []).append(item)
        except ValueError:
            raise InputError(
                f"Line {n} of {file.name} is not `query-id, corpus-id, score` with tabs between."
            ) from None
    return judged


def read_lines(path: Path, kind: type[T]) -> Iterator[T]:
    """Each line of a JSONL file that is not blank. Raises InputError."""
    decoder = msgspec.json.Decoder(kind)
    for n, line in enumerate(_text(path).split("\n"), 1):
        if line.strip():
            try:
                yield decoder.decode(line)
            except msgspec.DecodeError as error:
                raise InputError(f"Line {n} of {path.name} cannot be read: {error}.") from None


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise InputError(f"The file {str(path)!r} is not there or is no text.") from None
