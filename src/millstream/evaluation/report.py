"""Results as Markdown, for people."""

from collections.abc import Sequence

from millstream.evaluation.bootstrap import Estimate
from millstream.evaluation.results import Results


def report(first: Results, *others: Results) -> str:
    """A table of the runs, metric by metric, and one of the paired differences of the first from each other.

    All runs are of the same questions.
    """
    runs = [first, *others]
    lines = [f"# {first.questions}", "", f"{len(first.results):,} questions. Means with 95 % bootstrap intervals.", ""]
    lines += [f"- **{run.name}**: {_configuration(run)}, {run.seconds:.1f} s" for run in runs]
    metrics = list(dict.fromkeys(name for run in runs for name in run.metrics()))
    lines += ["", *_table(["metric", *(run.name for run in runs)], [_row(name, runs) for name in metrics])]
    if others:
        rows = [[name, *(_difference(first, other, name) for other in others)] for name in metrics]
        heading = ["metric", *(f"{first.name} − {other.name}" for other in others)]
        lines += ["", "Differences on the same questions; in bold what is not chance.", "", *_table(heading, rows)]
    return "\n".join(lines) + "\n"


def _configuration(run: Results) -> str:
    return ", ".join(f"{name} `{value}`" for name, value in run.configuration.items())


def _row(metric: str, runs: Sequence[Results]) -> list[str]:
    return [metric, *(_cell(run, metric) for run in runs)]


def _cell(run: Results, metric: str) -> str:
    try:
        estimate = run.estimate(metric)
    except ValueError:
        return "–"
    partial = f", n={estimate.n}" if estimate.n != len(run.results) else ""
    return f"{estimate.mean:.3f} ({estimate.low:.3f} to {estimate.high:.3f}{partial})"


def _difference(run: Results, other: Results, metric: str) -> str:
    try:
        estimate = run.compare(other, metric)
    except ValueError:
        return "–"
    words = f"{estimate.mean:+.3f} ({estimate.low:+.3f} to {estimate.high:+.3f})"
    return f"**{words}**" if _is_certain(estimate) else words


def _is_certain(estimate: Estimate) -> bool:
    return estimate.low > 0 or estimate.high < 0


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [heading, ["---"] * len(heading), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]
