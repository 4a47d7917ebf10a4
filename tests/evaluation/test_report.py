from pathlib import Path

import pytest

from millstream.errors import InputError
from millstream.evaluation.report import report
from millstream.evaluation.results import Result, Results, load, save


def run(name: str, **values: list[float | None]) -> Results:
    count = len(next(iter(values.values())))
    results = [
        Result(str(n), f"question {n}", {metric: each[n] for metric, each in values.items() if each[n] is not None})  # type: ignore[misc]
        for n in range(count)
    ]
    return Results(name, "mine", {"embedder": name}, results, 1.5)


def test_a_run_is_kept_and_read_back(tmp_path: Path) -> None:
    kept = run("one", hit=[1, 0, 1])
    save(kept, tmp_path / "run.json")
    assert load(tmp_path / "run.json") == kept


def test_what_is_no_run_is_told(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(InputError, match="no results"):
        load(tmp_path / "run.json")
    with pytest.raises(InputError, match="cannot be written"):
        save(run("one", hit=[1]), tmp_path / "none" / "run.json")


def test_a_report_shows_each_metric_of_each_run_and_what_is_no_chance() -> None:
    ours, theirs = run("ours", hit=[1.0] * 30, near=[1.0] * 30), run("theirs", hit=[0.0] * 29 + [1], near=[1.0] * 30)
    lines = report(ours, theirs).splitlines()
    assert lines[0] == "# mine"
    assert "- **ours**: embedder `ours`, 1.5 s" in lines
    assert "| metric | ours | theirs |" in lines
    assert any(line.startswith("| hit | 1.000 (1.000 to 1.000) | 0.033 (") for line in lines)
    assert "| metric | ours − theirs |" in lines
    assert any(line.startswith("| hit | **+0.967 (") for line in lines)
    assert "| near | +0.000 (+0.000 to +0.000) |" in lines


def test_one_run_alone_has_no_differences() -> None:
    assert "−" not in report(run("ours", hit=[1, 0]))


def test_a_metric_that_not_all_questions_have_tells_how_many() -> None:
    shown = report(run("ours", hit=[1, 0], judge=[5, None]), run("theirs", hit=[1, 1]))
    assert "5.000 (5.000 to 5.000, n=1) | – |" in shown


def test_runs_are_compared_over_the_questions_that_both_have() -> None:
    difference = run("ours", hit=[1, 1, 0]).compare(run("theirs", hit=[0, None]), "hit")
    assert (difference.mean, difference.n) == (1, 1)
