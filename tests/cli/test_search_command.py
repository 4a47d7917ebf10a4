import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from millstream.cli.app import app


@pytest.fixture(autouse=True)
def _synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLSTREAM_DATA", str(tmp_path / "data"))
    folder = tmp_path / "docs"
    (folder / "old").mkdir(parents=True)
    (folder / "leave.md").write_text("# Leave\n\nEmployees receive twenty days of paid holiday.")
    (folder / "old" / "leave.txt").write_text("In those days holiday was not paid at all.")
    assert CliRunner().invoke(app, ["sync", str(folder)]).exit_code == 0


def search(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["search", *arguments])


def test_an_explained_hit_shows_what_each_half_made_of_it() -> None:
    best = json.loads(search("paid holiday", "--json", "--explain").stdout.splitlines()[0])
    assert list(best)[7:] == ["coverage", "lexical", "semantic", "reranked"]
    assert best["lexical"]["rank"] in (1, 2)
    assert 0.3 < best["semantic"]["score"] < 1
    shown = search("paid holiday", "--explain").stdout
    assert "words #1 (BM25" in shown
    assert "meaning #1 (cosine" in shown


def test_a_passage_is_found_by_its_meaning_alone() -> None:
    (best, *_) = map(json.loads, search("vacation for workers", "--json", "--explain").stdout.splitlines())
    assert best["uri"] == "docs/leave.md"
    assert best["lexical"] is None


def test_without_vectors_it_says_how_many_are_missing(tmp_path: Path) -> None:
    (tmp_path / "docs" / "pay.md").write_text("Salaries are paid monthly.")
    CliRunner().invoke(app, ["sync", str(tmp_path / "docs"), "--no-vectors"])
    assert "1 passages have no vector yet" in search("salaries", "--explain").stderr


@pytest.mark.parametrize(
    ("options", "uris"),
    [
        (["--within", "docs/old"], ["docs/old/leave.txt"]),
        (["--format", "markdown"], ["docs/leave.md"]),
        (["--within", "docs/old", "--format", "markdown"], []),
        (["--since", "2020-01-01"], ["docs/leave.md", "docs/old/leave.txt"]),
        (["--since", "2020-01-01", "--before", "2020-01-02"], []),
        (["--before", "2020-01-01T12:00:00"], []),
        (["--since", "0001-01-01", "--before", "9999-12-31"], ["docs/leave.md", "docs/old/leave.txt"]),
        (["--within", "docs/old", "--within", "docs/leave.md"], ["docs/leave.md", "docs/old/leave.txt"]),
    ],
)
def test_filters_may_be_combined(options: list[str], uris: list[str]) -> None:
    lines = search("paid holiday", "--json", *options).stdout.splitlines()
    assert sorted(json.loads(line)["uri"] for line in lines) == uris
