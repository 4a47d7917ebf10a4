"""The papers lead somewhere: every link to a file of the project, and every page of docs/ from its index."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAPERS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")


def links(paper: Path) -> list[str]:
    """Targets of the links and pictures in `paper`, without those in code and those that leave the project."""
    prose = re.sub(r"^```.*?^```|`[^`\n]*`", "", paper.read_text(), flags=re.DOTALL | re.MULTILINE)
    return [link for link in LINK.findall(prose) if not re.match(r"[a-z]+:", link)]


def anchors(paper: Path) -> set[str]:
    """The names that a page's headings get where such pages are shown."""
    headings = re.findall(r"^#+ (.*)$", paper.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: str(paper.relative_to(ROOT)))
def test_every_link_leads_to_something(paper: Path) -> None:
    dead = []
    for link in links(paper):
        name, _, anchor = link.partition("#")
        target = (paper.parent / name) if name else paper
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    assert dead == []


def test_the_index_names_every_page_and_the_clients_page_every_client() -> None:
    docs = ROOT / "docs"
    indexes = docs / "index.md", docs / "clients.md"
    named = {(docs / link.partition("#")[0]).resolve() for index in indexes for link in links(index)}
    pages = {page for page in docs.rglob("*.md") if page.name != "index.md"}
    assert {str(page.relative_to(docs)) for page in pages - named} == set()
