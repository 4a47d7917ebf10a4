"""Every direct dependency has its reason in docs/dependencies.md, and nothing else stands there."""

import ast
import json
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PAGE = json.loads((ROOT / "web" / "package.json").read_text())
PEERS = json.loads((ROOT / "tests" / "peers" / "package.json").read_text())


def named(requirements: list[str]) -> set[str]:
    """The package names of requirements such as `uvloop>=0.21; sys_platform != 'win32'`."""
    return {match[0].lower() for line in requirements if (match := re.match(r"[A-Za-z0-9._-]+", line))}


def documented(section: str) -> set[str]:
    """The packages in the table below the heading `section`."""
    text = (ROOT / "docs" / "dependencies.md").read_text()
    [body] = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", text, flags=re.DOTALL | re.MULTILINE)
    return set(re.findall(r"^\| `([^`]+)` \|", body, flags=re.MULTILINE))


def test_every_dependency_to_run_is_explained() -> None:
    assert documented("To run") == named(PROJECT["dependencies"])


def test_every_extra_is_explained() -> None:
    sections = {"dev": "To develop and test"}
    for extra, requirements in PROJECT["optional-dependencies"].items():
        assert documented(sections.get(extra, f"Extra `{extra}`")) == named(requirements)


def test_every_dependency_of_the_page_is_explained() -> None:
    assert documented("The page") == {*PAGE["dependencies"], *PAGE["devDependencies"]}


def test_every_client_in_the_tests_is_explained() -> None:
    assert documented("Clients in the tests") == {*PEERS["dependencies"]}


def test_no_entry_lacks_a_reason_a_licence_or_what_it_saves() -> None:
    rows = re.findall(r"^\| `.*$", (ROOT / "docs" / "dependencies.md").read_text(), flags=re.MULTILINE)
    assert rows
    assert [row for row in rows if not re.fullmatch(r"(\| [^|]*\w[^|]* ){4}\|", row)] == []


def test_every_direct_dependency_has_an_exact_version() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", line) for line in lines)
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    extras = [line for extra in PROJECT["optional-dependencies"].values() for line in extra]
    assert named([*PROJECT["dependencies"], *extras, *build]) <= named(lines)


def test_what_the_package_imports_is_declared() -> None:
    modules = set()
    # What an adapter is given comes from a library that the application has.
    for file in (file for file in (ROOT / "src").rglob("*.py") if "adapters" not in file.parts):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                modules |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                modules.add(node.module.partition(".")[0])
    brought_by = packages_distributions()
    others = modules - set(sys.stdlib_module_names) - {"millstream"}
    assert {brought_by[module][0].lower() for module in others} <= named(PROJECT["dependencies"])
