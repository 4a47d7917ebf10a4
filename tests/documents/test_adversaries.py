"""Files made to be slow: an expression that goes back over what it has seen takes hours for one of these."""

import subprocess
import sys

import pytest

_ENOUGH_S = 60  # for what takes a second or two
_LONG = 1_000_000

COMMENTS = b"".join(b"<!-- line %d of the licence -->\n" % n for n in range(100))
HEADS = {
    "comments before an image": COMMENTS + b"<svg/>",
    "comments behind a declaration": b'<?xml version="1.0"?>\n' + COMMENTS + b"<project/>",
    "blanks": b" \n" * 2000 + b"x",
    "declarations": b"<?xml ?>" * 500 + b"<svg/>",
    "comments that do not end": b"<!--" * 1000,
}
FILES = {
    "blanks in a heading.md": "# a" + " " * _LONG + "x",
    "brackets in a heading.md": "# " + "[" * _LONG,
    "dots.txt": "." * _LONG + "x",
    "stops and quotes.txt": '."' * _LONG + "x",
    "one word.txt": "x" * _LONG,
    "addresses of data.md": "data:" * _LONG + "data:a" + ";a" * _LONG,
    "bars.md": "| " * _LONG,
    "dashes.md": "|-" * _LONG + "x",
    "encodings.html": "<html>" + "<meta " * 300 + "charset=" + " " * 2000 + "<p>words",
}


def _done_in_time(code: str, data: bytes, name: str) -> bytes:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\ndata, name = sys.stdin.buffer.read(), sys.argv[1]\n{code}", name],
        input=data,
        stdout=subprocess.PIPE,
        timeout=_ENOUGH_S,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.parametrize("head", HEADS)
def test_what_a_file_is_is_told_in_one_pass(head: str) -> None:
    code = "from millstream.documents.formats import is_candidate\nprint(is_candidate(data, name))"
    assert _done_in_time(code, HEADS[head], "a.svg") == b"False"


@pytest.mark.parametrize("name", FILES)
def test_a_text_is_read_and_split_in_one_pass(name: str) -> None:
    code = (
        "from millstream.documents import Source, formats, split\n"
        "document, _ = formats.read_document(Source(data, name))\n"
        "print(sum(1 for chunk in split.split(document)) > 0)"
    )
    assert _done_in_time(code, FILES[name].encode(), name) == b"True"


def test_a_word_of_a_pdf_is_looked_at_once() -> None:
    code = "from millstream.documents.readers.pdf import _mend_hyphens\nprint(len(_mend_hyphens(data.decode(), set())))"
    assert _done_in_time(code, b"x" * _LONG, "a.pdf") == b"%d" % _LONG
