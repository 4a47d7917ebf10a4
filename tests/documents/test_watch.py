import threading
from pathlib import Path

import pytest

from millstream.documents.watch import Watcher


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.txt").write_text("a")
    (folder / "deep" / "b.txt").write_text("b")
    return folder


def watcher(folder: Path) -> Watcher:
    return Watcher([folder], folder.parent / "data", 0.01)


@pytest.mark.parametrize("change", ["add", "edit", "remove", "rename", "move"])
def test_a_change_is_noticed(folder: Path, change: str) -> None:
    watching = watcher(folder)
    match change:
        case "add":
            (folder / "deep" / "c.txt").write_text("c")
        case "edit":
            (folder / "a.txt").write_text("A")
        case "remove":
            (folder / "a.txt").unlink()
        case "rename":
            (folder / "a.txt").rename(folder / "z.txt")
        case "move":
            (folder / "a.txt").rename(folder / "deep" / "a.txt")
    assert watching.wait()


def test_nothing_is_noticed_while_nothing_changes(folder: Path) -> None:
    watching, stop = watcher(folder), threading.Event()
    (folder / "picture.png").write_bytes(b"\x89PNG\0")
    (folder / ".hidden").write_text("hidden")
    looks = iter(range(5))
    look = watching._look

    def look_and_stop() -> dict[str, str]:
        if next(looks, None) is None:
            stop.set()
        return look()

    watching._look = look_and_stop  # type: ignore[method-assign]
    assert not watching.wait(stop)


def test_a_change_counts_when_it_is_over(folder: Path) -> None:
    watching = watcher(folder)
    sizes = iter([1, 2, 3])
    look = watching._look

    def grow_and_look() -> dict[str, str]:
        if size := next(sizes, 0):
            (folder / "a.txt").write_text("x" * size * 10)
        return look()

    watching._look = grow_and_look  # type: ignore[method-assign]
    assert watching.wait()
    assert (folder / "a.txt").read_text() == "x" * 30


def test_a_folder_that_goes_and_comes_back_is_noticed(folder: Path) -> None:
    watching = watcher(folder)
    folder.rename(folder.parent / "away")
    assert watching.wait()
    (folder.parent / "away").rename(folder)
    assert watching.wait()
