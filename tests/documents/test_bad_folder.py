"""A folder with good and broken files of every type: each bad one is a line in the report, and nothing else happens."""

import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from office_files import make_bomb, make_docx, make_pptx, make_xlsx
from pdf_files import make_bomb_pdf, make_encrypted_pdf, make_pdf, pdf_of

from millstream.documents.limits import Limits
from millstream.documents.pool import ReaderPool
from millstream.documents.sync import sync
from millstream.search.sqlite import SqliteIndex

GOOD = {
    "good.pdf": make_pdf([["Dental care is covered."]]),
    "good.docx": make_docx([("Heading 1", "Leave"), ("Normal", "Twenty days.")]),
    "good.pptx": make_pptx([("Pay", "Monthly", "Notes")]),
    "good.xlsx": make_xlsx({"S": [["Name", "Age"], ["Ann", 30]]}),
    "good.csv": b"Name,Age\nAnn,30\n",
    "good.html": b"<html><body><p>Words</p></body></html>",
    "good.md": b"# Words",
    "good.txt": b"Words",
    "good.json": b'{"a": 1}',
    "good.jsonl": b'{"a": 1}\n',
    "wrong suffix.txt": make_pdf([["A PDF that calls itself text."]]),
    "wrong suffix.pdf": b"Text that calls itself a PDF.",
    "wrong suffix.xlsx": make_docx([("Normal", "A letter that calls itself a workbook.")]),
    "README": b"A text without a suffix.",
    "odd windows.txt": "Größe und Höhe der Bäume, für alle Straßen gemessen.".encode("cp1252"),
    "odd wide.csv": "Ort,Höhe\nZürich,408\n".encode("utf-16-le"),
    "odd mark.md": "# Wälder\n\nBuchen und Eichen.".encode("utf-8-sig"),
    "odd cyrillic.html": "<html><p>Лес полон деревьев, и каждое дерево выше дома.</p></html>".encode("koi8-r"),
    "odd japanese.txt": "森には木がたくさんあります。山の上にも木があります。川の水はきれいです。".encode("shift_jis"),
}
ODD_WORDS = {"bäume": "windows.txt", "zürich": "wide.csv", "wälder": "mark.md", "деревьев": "cyrillic.html"}
BAD = {
    "bomb.docx": (make_bomb(megabytes=600), "READ_UNPACKED_MB"),
    "bomb.pptx": (make_bomb("ppt/presentation.xml", 600), "READ_UNPACKED_MB"),
    "bomb.pdf": (make_bomb_pdf(3000), "READ_MEMORY_MB"),
    "bomb.xlsx": (make_bomb("xl/workbook.xml", 600), "READ_UNPACKED_MB"),
    "cut.docx": (GOOD["good.docx"][:-800], "damaged or cut off"),
    "cut.pptx": (GOOD["good.pptx"][:5000], "damaged or cut off"),
    "cut.xlsx": (GOOD["good.xlsx"][:-100], "damaged or cut off"),
    "cut.pdf": (b"%PDF-1.7\n" + GOOD["good.pdf"][100:200], "damaged"),
    "cut.json": (b'{"a": [1, 2', "not JSON"),
    "cut.jsonl": (b'{\n"a": 1\n}\n', "Line 1 is not JSON"),
    "noise.csv": (bytes(range(256)) * 100, "not text"),
    "noise.html": (bytes(range(256)) * 100, "not text"),
    "deep.json": (b"[" * 200_000, "nested too deeply"),
    "empty.pdf": (b"", "empty"),
    "empty.txt": (b"", "empty"),
    "blank.md": (b" \n\n", "no text"),
    "locked.pdf": (make_encrypted_pdf(), "encrypted"),
    "locked.docx": (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504) + "EncryptedPackage".encode("utf-16-le"),
        "without a password",
    ),
    "loop.pdf": (
        pdf_of([b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [2 0 R 2 0 R] /Count 4000 >>"]),
        "PDF",
    ),
    "noise.txt": (bytes(range(256)) * 100, "not text"),
    "old.doc": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 WordDocument", "save it as DOCX"),
    "scan.pdf": (make_pdf([[], []]), "OCR"),
}


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[SqliteIndex]:
    index = SqliteIndex(tmp_path / "data" / "index.db")
    yield index
    await index.close()


@pytest.fixture(scope="module")
def pool() -> Iterator[ReaderPool]:
    with ReaderPool(Limits(seconds=20)) as pool:
        yield pool


async def test_a_folder_with_everything_in_it_is_synced(
    index: SqliteIndex, pool: ReaderPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    for name, data in GOOD.items():
        (folder / name).write_bytes(data)
    expected = {}
    for name, (data, reason) in BAD.items():
        (folder / name).write_bytes(data)
        expected[name] = reason
    write_huge_csv(folder / "huge.csv")
    expected["huge.csv"] = "larger than 100 MB"
    os.mkfifo(folder / "pipe.txt")
    expected["pipe.txt"] = "not a regular file"
    monkeypatch.chdir(folder)  # the address of a Unix socket is short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.txt")
    expected["socket.txt"] = "not a regular file"
    (folder / "device.txt").symlink_to("/dev/zero")
    expected["device.txt"] = "leads out of the folder"
    (folder / "circle.txt").symlink_to("circle.txt")
    expected["circle.txt"] = "cannot be opened"
    (folder / "nowhere.txt").symlink_to("missing.txt")
    expected["nowhere.txt"] = "cannot be opened"
    (folder / "inside").mkdir()
    (folder / "inside" / "up").symlink_to(folder)
    (folder / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    (folder / "archive.zip").write_bytes(make_bomb("a.txt", 1))
    (folder / "program.py").write_text("print()")
    if os.geteuid() != 0:
        (folder / "secret.txt").write_text("Words")
        (folder / "secret.txt").chmod(0)
        expected["secret.txt"] = "cannot be opened"

    report = sync([folder], index, pool=pool)

    reasons = {failure.uri.removeprefix("docs/"): failure.reason for failure in report.failed}
    assert set(reasons) == set(expected)
    assert [name for name, reason in expected.items() if reason not in reasons[name]] == []
    assert {document.uri.removeprefix("docs/") for document in await index.documents(owner="local")} == set(GOOD)
    assert report.added == len(GOOD)
    found = {word: [passage.uri for passage in await index.search(word, owner="local")] for word in ODD_WORDS}
    assert found == {word: [f"docs/odd {name}"] for word, name in ODD_WORDS.items()}
    assert report.ignored == 3
    assert all(str(tmp_path) not in reason for reason in reasons.values())

    again = sync([folder], index, pool=pool)
    assert (again.added, again.changed, again.unchanged) == (0, 0, len(GOOD))
    assert {failure.uri.removeprefix("docs/"): failure.reason for failure in again.failed} == reasons


SYNC = """
import resource, sys
from pathlib import Path
from millstream.documents.limits import Limits
from millstream.documents.pool import ReaderPool
from millstream.documents.sync import sync
from millstream.search.sqlite import SqliteIndex

with ReaderPool(Limits(file_mb=250, seconds=20, memory_mb=600), 1) as pool:
    (failure,) = sync([Path(sys.argv[1])], SqliteIndex(Path(sys.argv[2])), pool=pool).failed
own = next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)
print(own // 1024, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024, failure.reason)
"""


def test_a_200_mb_csv_is_read_in_bounded_memory(tmp_path: Path) -> None:
    write_huge_csv(tmp_path / "huge.csv")
    command = [sys.executable, "-c", SYNC, str(tmp_path / "huge.csv"), str(tmp_path / "index.db")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    own_mb, readers_mb, reason = done.stdout.split(" ", 2)
    assert "READ_SECONDS" in reason or "READ_MEMORY_MB" in reason
    assert int(own_mb) < 100
    assert int(readers_mb) < 600


def write_huge_csv(path: Path) -> None:
    rows = b"Lamp,1500,A lamp that gives light,in stock\n" * 20_000
    with open(path, "wb") as stream:
        stream.write(b"Product,Price,Description,State\n")
        while stream.tell() < 200_000_000:
            stream.write(rows)
