"""How fast and in how much memory documents are indexed: a folder of PDFs is made, then `millstream sync` is run on it.

    python benchmarks/documents.py [PAGES]          10,000 pages by default, 100 in each file

Prints one line of JSON: pages, pages per second of the clock, pages per CPU-second of reading, of the whole command,
and the peak memory of the command and of the largest process that reads.
"""

import ctypes
import io
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pypdfium2  # type: ignore[import-untyped]
import pypdfium2.raw as pdfium  # type: ignore[import-untyped]

PAGES_PER_FILE = 100
LINES = 45
WORDS = 12  # in a line


def main() -> None:
    pages = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as folder:
        documents = Path(folder) / "documents"
        documents.mkdir()
        for n in range(pages // PAGES_PER_FILE):
            make_pdf(documents / f"document {n:04}.pdf", random.Random(n))
        print(json.dumps(measure(documents, Path(folder) / "data", pages)))


def measure(documents: Path, data: Path, pages: int) -> dict[str, float]:
    command = [sys.executable, "-c", _SYNC, str(documents), str(data)]
    begun = time.monotonic()
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ)
    seconds = time.monotonic() - begun
    told = json.loads(done.stdout.splitlines()[-1])
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "pages": pages,
        "megabytes": round(sum(file.stat().st_size for file in documents.iterdir()) / 1e6),
        "passages": told["passages"],
        "seconds": round(seconds, 1),
        "pages_per_second": round(pages / seconds, 1),
        "pages_per_cpu_second_of_reading": round(pages / told["reading_s"], 1),
        "pages_per_cpu_second": round(pages / (usage.ru_utime + usage.ru_stime), 1),
        "peak_mb_of_the_command": round(told["peak_kb"] / 1000),
        "peak_mb_of_a_reading_process": round(told["reader_peak_kb"] / 1000),
    }


# What `millstream sync --no-vectors` does, and then its own memory.
_SYNC = """
import asyncio, json, resource, sys
from pathlib import Path
from millstream.documents.sync import sync
from millstream.search.sqlite import SqliteIndex
index = SqliteIndex(Path(sys.argv[2]) / "index.db")
report = sync([Path(sys.argv[1])], index)
asyncio.run(index.close())
assert not report.failed, report.failed
print(json.dumps({"passages": report.passages, "reading_s": report.reading_s,
    "peak_kb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    "reader_peak_kb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss}))
"""


def make_pdf(path: Path, chance: random.Random) -> None:
    pdf = pypdfium2.PdfDocument.new()
    for _ in range(PAGES_PER_FILE):
        page = pdf.new_page(595, 842)
        for n in range(LINES):
            line = " ".join(_word(chance) for _ in range(WORDS)) + (". " if n % 3 == 2 else "")
            text = pdfium.FPDFPageObj_NewTextObj(pdf.raw, b"Helvetica", ctypes.c_float(9))
            encoded = ctypes.create_string_buffer((line.capitalize() + "\0").encode("utf-16-le"))
            pdfium.FPDFText_SetText(text, ctypes.cast(encoded, pdfium.FPDF_WIDESTRING))
            pdfium.FPDFPageObj_Transform(text, 1, 0, 0, 1, 40, 800 - n * 16)
            pdfium.FPDFPage_InsertObject(page.raw, text)
        pdfium.FPDFPage_GenerateContent(page.raw)
        page.close()
    target = io.BytesIO()
    pdf.save(target)
    pdf.close()
    path.write_bytes(target.getvalue())


def _word(chance: random.Random) -> str:
    """Of 20,000 words, the common ones often."""
    n = int(20_000 ** chance.random())
    letters = "".join("etaoinshrdlu"[(n // 12**i) % 12] for i in range(4))
    return letters + "ing" * (n % 3 == 0)


if __name__ == "__main__":
    main()
