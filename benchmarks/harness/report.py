"""Where results go: one JSON object a line in benchmarks/results/, and rows for a person."""

import json
import statistics
import time
from pathlib import Path

from harness.server import Result

RESULTS = Path(__file__).resolve().parent.parent / "results"


def save(measure: str, result: Result) -> None:
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / f"{measure}.jsonl").open("a") as file:
        file.write(json.dumps({"measure": measure, "time": time.time(), **result}) + "\n")


def row(result: Result) -> str:
    return (
        f"{'  ' if result['clean'] else '~ '}{result['target']:17s} ok {result['ok']:>4}/{result['streams']:<4} "
        f"{result['us_per_token']:8.2f} us/tok  first {result['ttft']['p50']:7.2f} p99 {result['ttft']['p99']:7.2f}  "
        f"gap p50 {result['gap']['p50']:6.2f} p99 {result['gap']['p99']:7.2f}  "
        f"over p99 {result['overrun']['p99']:7.1f} ms  "
        f"{result['bytes_per_token']:5.0f} B/tok  {result['reads_per_token']:.2f} rd/tok  "
        f"waited {result['waited_s']:.2f} s of {result['wall']:.2f}  "
        f"load {result['load_average']:.1f}  {result['error_sample'][:90]}"
    )


def median_of_clean(results: list[Result], key: str) -> float:
    """The median over the clean rounds; over all when none is clean."""
    rounds = [result for result in results if result["clean"]] or results
    return statistics.median(float(result[key]) for result in rounds)


def quantile(values: list[float], share: float) -> float:
    """`values` sorted; NaN when there are none."""
    return values[min(len(values) - 1, int(share * len(values)))] if values else float("nan")
