"""The everyday commands, on a small project of the same shape: what they install, when, and what they say."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(path.name for path in (ROOT / "scripts").iterdir() if path.is_file())
# Without dependencies, and its command only says how it was called.
PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "millstream"
version = "0"
scripts = { millstream = "millstream:main" }
[tool.hatch.build.targets.wheel]
packages = ["src/millstream"]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "a project"
    shutil.copytree(ROOT / "scripts", root / "scripts")
    (root / "src/millstream").mkdir(parents=True)
    (root / "src/millstream/__init__.py").write_text("import sys\n\n\ndef main():\n    print(*sys.argv[1:], sep='|')\n")
    (root / "web").mkdir()
    (root / "pyproject.toml").write_text(PROJECT)
    (root / "hatch_build.py").write_text("")
    (root / "constraints.txt").write_text((ROOT / "constraints.txt").read_text())
    return root


def run(script: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "PYTHON": sys.executable, "MILLSTREAM_SKIP_PAGE": "1"}
    environment |= {name: value for name, value in os.environ.items() if name.startswith(("HOME", "PIP_", "SSL_"))}
    return subprocess.run(
        ["/bin/sh", str(script), *arguments],
        env=environment | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def said(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_is_an_executable_of_the_plain_shell(name: str) -> None:
    script = ROOT / "scripts" / name
    assert os.access(script, os.X_OK)
    assert script.read_text().startswith("#!/bin/sh\n")
    subprocess.run(["/bin/sh", "-n", str(script)], check=True)


@pytest.mark.slow
def test_the_set_up_is_done_once_until_something_changes_or_moves(project: Path) -> None:
    setup = project / "scripts/setup"
    assert "Making the virtual environment" in said(run(setup, "run"))
    assert said(run(setup, "run")) == ""

    (project / "constraints.txt").open("a").write("# another version\n")
    again = said(run(setup, "run"))
    assert "Installing Millstream" in again
    assert "Making the virtual environment" not in again

    moved = project.rename(project.parent / "elsewhere")
    assert "Making the virtual environment" in said(run(moved / "scripts/setup", "run"))
    assert said(run(moved / "scripts/run")).splitlines() == [f"serve|{moved}/docs"]
    assert said(run(moved / "scripts/run", "a b", "c", "--port", "1")).splitlines() == ["serve|a b|c|--port|1"]
    assert said(run(moved / "scripts/run", "--port", "1", PORT="9000")).splitlines() == [
        f"serve|--port|9000|{moved}/docs|--port|1"
    ]


@pytest.mark.slow
def test_what_pip_said_is_shown_when_it_fails(project: Path) -> None:
    (project / "pyproject.toml").write_text(PROJECT.replace('version = "0"', 'version = "not one"'))
    done = run(project / "scripts/setup", "run")
    assert done.returncode == 1
    assert "not one" in done.stderr
    assert done.stderr.splitlines()[-1] == "pip could not install Millstream."


def test_an_old_python_is_named_with_what_to_do(project: Path, tmp_path: Path) -> None:
    old = program(tmp_path / "bin" / "old", '[ "$1" = --version ] && echo Python 3.9.2 && exit; exit 1')
    done = run(project / "scripts/setup", "run", PYTHON=str(old))
    assert done.returncode == 1
    assert "needs Python 3.11 or newer" in done.stderr
    assert "Python 3.9.2" in done.stderr


def test_without_root_and_sudo_it_says_what_to_install(project: Path, tmp_path: Path) -> None:
    """Here Python is what is missing: PATH has neither Python nor sudo."""
    for name in ("cat", "cksum", "dirname", "find", "head", "mktemp", "rm", "sort"):
        (tmp_path / name).symlink_to(shutil.which(name) or name)
    program(tmp_path / "id", "echo 1000")
    program(tmp_path / "apt-get", f"touch {tmp_path}/called")
    done = run(project / "scripts/setup", "run", PATH=str(tmp_path), PYTHON="")
    assert done.returncode == 1
    assert "apt-get install python3 python3-venv" in done.stderr
    assert "as root or as a user with sudo" in done.stderr
    assert not (tmp_path / "called").exists()


def test_an_unknown_purpose_is_refused(project: Path) -> None:
    done = run(project / "scripts/setup", "tests")
    assert done.returncode == 1
    assert "not 'tests'" in done.stderr


def program(path: Path, body: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path
