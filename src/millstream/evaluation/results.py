"""One run of an evaluation as it is kept: what was measured of each question, under which configuration."""

from pathlib import Path
from typing import Any

import msgspec

from millstream.errors import InputError
from millstream.evaluation.bootstrap import Estimate, mean_with_interval, paired_difference

FORMAT = 1


class Result(msgspec.Struct, frozen=True):
    """Of one question: metric → value, and under `detail` what they were computed from, for people to look at.

    A metric that does not apply to a question (there is no reference answer, say) is left out.
    """

    id: str
    question: str
    metrics: dict[str, float]
    detail: dict[str, Any] = {}


class Results(msgspec.Struct, frozen=True):
    """`questions` is the name of the set, `configuration` what can be set (embedder, model, …) as it was."""

    name: str
    questions: str
    configuration: dict[str, str]
    results: list[Result]
    seconds: float
    format: int = FORMAT

    def metrics(self) -> list[str]:
        """Names in the order in which they first occur."""
        return list(dict.fromkeys(name for result in self.results for name in result.metrics))

    def estimate(self, metric: str) -> Estimate:
        """Raises ValueError when no question has the metric."""
        return mean_with_interval([result.metrics[metric] for result in self.results if metric in result.metrics])

    def compare(self, other: "Results", metric: str) -> Estimate:
        """The mean difference, this run minus `other`, over the questions that both measured.

        Raises ValueError when there are none.
        """
        theirs = {result.id: result.metrics[metric] for result in other.results if metric in result.metrics}
        pairs = [
            (result.metrics[metric], theirs[result.id])
            for result in self.results
            if metric in result.metrics and result.id in theirs
        ]
        return paired_difference([mine for mine, _ in pairs], [their for _, their in pairs])


def together(first: Results, other: Results) -> Results:
    """Both measured the same set: of each question the metrics and details of both, which are different ones."""
    theirs = {result.id: result for result in other.results}
    mine = {result.id for result in first.results}
    joined = [
        Result(
            result.id,
            result.question,
            result.metrics | theirs[result.id].metrics,
            result.detail | theirs[result.id].detail,
        )
        if result.id in theirs
        else result
        for result in first.results
    ]
    return msgspec.structs.replace(
        first,
        configuration=first.configuration | other.configuration,
        results=joined + [result for result in other.results if result.id not in mine],
        seconds=first.seconds + other.seconds,
    )


def save(results: Results, path: Path) -> None:
    """Raises InputError when the file cannot be written."""
    try:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1))
    except OSError as error:
        raise InputError(f"The results cannot be written to {str(path)!r}: {error.strerror}.") from None


def load(path: Path) -> Results:
    """Raises InputError when the file is no results of `millstream eval`."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Results)
    except (OSError, msgspec.DecodeError):
        raise InputError(f"The file {str(path)!r} is not there or holds no results of `millstream eval`.") from None
