import os
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from hashlib import sha256
from pathlib import Path

import pytest
from pdf_files import make_pdf

from millstream.documents.limits import Limits
from millstream.documents.pool import ReaderPool
from millstream.documents.worker import Answer, Reading, Refusal

Read = Callable[[str], Answer]


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[ReaderPool]:
    monkeypatch.setattr("millstream.documents.pool._GRACE_S", 0.1)
    with ReaderPool(Limits(seconds=0.5, memory_mb=400), 1, ["naughty_readers"]) as pool:
        yield pool


@pytest.fixture
def read(pool: ReaderPool, tmp_path: Path) -> Read:
    def read(order: str) -> Answer:
        (tmp_path / "a.naughty").write_text(order)
        return pool.read(tmp_path / "a.naughty", "a.naughty")

    return read


def text_of(answer: Answer) -> str:
    assert isinstance(answer, Reading), answer
    return answer.text


def reason_of(answer: Answer) -> str:
    assert isinstance(answer, Refusal)
    return answer.reason


def test_one_process_reads_many_files(read: Read) -> None:
    ballast = b"x" * 300_000_000  # a large server's processes are not large themselves
    assert len({text_of(read("nothing")) for _ in range(20)}) == 1
    del ballast


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        ("spin", "longer than 0.5 seconds"),
        ("wait", "longer than 0.5 seconds"),
        ("deaf", "longer than 0.5 seconds"),
        ("eat 500", "more than 400 MB of memory"),
        ("crash", "sudden end"),
        ("exit", "sudden end"),
        ("raise", "damaged: it cannot be read .KeyError"),
    ],
)
def test_a_bad_file_is_a_reason_and_the_next_one_is_read(read: Read, order: str, reason: str) -> None:
    assert re.search(reason, reason_of(read(order)))
    assert text_of(read("nothing")).startswith("process")


def test_within_the_limit_memory_may_be_used(read: Read) -> None:
    assert text_of(read("eat 100")) == "100000000 bytes"


def test_what_a_reader_prints_is_no_answer(read: Read) -> None:
    assert text_of(read("print")).startswith("process")
    assert text_of(read("nothing")).startswith("process")


def test_a_reading_process_knows_no_secrets(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    assert "OPENAI_API_KEY" not in text_of(read("environment"))


def test_a_process_that_was_killed_while_idle_is_replaced(pool: ReaderPool, read: Read) -> None:
    pid = int(text_of(read("nothing")).split()[1])
    os.kill(pid, 9)
    assert int(text_of(read("nothing")).split()[1]) != pid


def test_a_process_that_a_file_has_made_large_is_replaced(read: Read) -> None:
    before = text_of(read("nothing"))
    read("eat 200")
    assert text_of(read("nothing")) != before


def test_closing_gives_up_a_file_that_is_being_read(tmp_path: Path) -> None:
    (tmp_path / "a.naughty").write_text("wait")
    pool = ReaderPool(Limits(seconds=60), 1, ["naughty_readers"])
    begun = time.monotonic()
    answer, waiting = (pool.submit(tmp_path / "a.naughty", "a.naughty") for _ in range(2))
    while not pool.is_busy:
        time.sleep(0)
    pool.close()
    for future in (answer, waiting):
        with pytest.raises(CancelledError):
            future.result()
    assert time.monotonic() - begun < 10


def test_processes_end_when_they_are_not_needed(pool: ReaderPool, read: Read) -> None:
    pid = int(text_of(read("nothing")).split()[1])
    pool.rest()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert text_of(read("nothing")).startswith("process")


def test_the_answer_tells_the_bytes_that_were_read(tmp_path: Path, pool: ReaderPool) -> None:
    data = make_pdf([["One."], ["Two."]])
    (tmp_path / "a.pdf").write_bytes(data)
    answer = pool.read(tmp_path / "a.pdf", "a.pdf")
    assert isinstance(answer, Reading)
    assert (answer.digest, answer.format, answer.pages) == (sha256(data).digest(), "pdf", (0, 5))
    assert [(chunk.page_start, chunk.page_end) for chunk in answer.chunks] == [(1, 2)]


def test_a_module_that_registers_a_format_teaches_it(tmp_path: Path, pool: ReaderPool) -> None:
    (tmp_path / "a.txt").write_text("naughty: by content")
    answer = pool.read(tmp_path / "a.txt", "a.txt")
    assert isinstance(answer, Reading)
    assert answer.format == "naughty"


def test_the_documented_reader_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs" / "documents.md").read_text()
    (code,) = re.findall(r"^```python\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)
    (tmp_path / "subtitles_reader.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "film.srt").write_text("1\n00:01 --> 00:02\nGood evening.\n")
    with ReaderPool(modules=["subtitles_reader"], processes=1) as pool:
        assert text_of(pool.read(tmp_path / "film.srt", "film.srt")) == "1\n\nGood evening."
