import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.documents.uploads import Uploads, safe_name
from millstream.errors import InputError

NAMES = st.text(max_size=300) | st.text(alphabet="./\\ab\0:. ", max_size=20)


@given(NAMES)
def test_a_name_is_one_part_that_any_system_can_hold(name: str) -> None:
    try:
        safe = safe_name(name)
    except InputError:
        return
    assert not re.search(r'[\x00-\x1f\x7f/\\:*?"<>|]', safe)
    assert not safe.startswith(".")
    assert not safe.endswith((".", " "))
    assert 0 < len(safe.encode()) <= 120
    assert safe_name(safe) == safe


@given(NAMES, NAMES)
def test_two_names_are_two_files(one: str, other: str) -> None:
    def last(name: str) -> str:
        return re.split(r"[/\\]", name.rstrip("/\\"))[-1]

    try:
        if safe_name(one) == safe_name(other):
            assert safe_name(last(one)) == safe_name(last(other))
    except InputError:
        pass


@pytest.mark.parametrize("name", ["handbook.pdf", "Größe 2024.docx", "日本語.txt", "no suffix"])
def test_an_ordinary_name_stays_as_it_is(name: str) -> None:
    assert safe_name(name) == name


@pytest.mark.parametrize("name", ["", "/", "..", "...", "\\", "?", " . "])
def test_nothing_is_no_name(name: str) -> None:
    with pytest.raises(InputError):
        safe_name(name)


def test_an_upload_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)
    with uploads.receiving("ann") as (_, stream):
        stream.write(b"never kept")
    assert [path.name for path in uploads.folder("ann").iterdir()] == [".owner"]
    assert uploads.count("ann") == 0
    assert uploads.owners() == {"ann": uploads.folder("ann")}
