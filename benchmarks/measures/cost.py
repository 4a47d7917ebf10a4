"""CPU per token, side by side.

The servers take turns (A B C, A B C, …). Figures are medians of clean rounds; ratios are taken within a round.
"""

import statistics
import time

from harness.report import median_of_clean, row, save
from harness.server import Result, Server
from harness.upstream import FakeModel

PACED = "-c {streams} -n {streams} --tokens 100 --rate 50 --delay {delay} --timeout 40"
BURST = "-c {streams} -n {answers} --tokens {tokens} --rate 0 --delay 0 --timeout 60"


def cost(names: list[str], model: FakeModel, *, load: str, rounds: int, tries: int, base: str, measure: str) -> None:
    """Prints µs per token of every server, and its ratio to `base` paired by rounds."""
    servers = [Server(name, model) for name in names]
    results: dict[str, list[Result]] = {name: [] for name in names}
    try:
        for number in range(rounds):
            for server in servers:
                result = clean_point(server, load, tries, measure, number)
                results[server.name].append(result)
    finally:
        for server in servers:
            server.close()
    print(f"\nmedian of {rounds} rounds; load: {load}")
    print(f"{'':17s} us/token  rd/tok  x {base} (range)         first token ms  bytes/token  clean")
    for name in names:
        ratios = [
            mine["us_per_token"] / its["us_per_token"]
            for mine, its in zip(results[name], results.get(base, []), strict=False)
            if mine["clean"] and its["clean"] and its["us_per_token"] > 0
        ]
        ratio = f"{statistics.median(ratios):6.3f} ({min(ratios):.3f}-{max(ratios):.3f})" if ratios else "-"
        firsts = statistics.median(result["ttft"]["p50"] for result in results[name])
        print(
            f"{name:17s} {median_of_clean(results[name], 'us_per_token'):8.2f}"
            f"  {median_of_clean(results[name], 'reads_per_token'):6.2f}  {ratio:24s} {firsts:8.2f}"
            f"  {median_of_clean(results[name], 'bytes_per_token'):11.0f}"
            f"  {sum(result['clean'] for result in results[name])}/{rounds}"
        )


def clean_point(server: Server, load: str, tries: int, measure: str, number: int) -> Result:
    """The first clean run of at most `tries`, else the last one."""
    while True:
        tries -= 1
        result = server.point(load)
        save(measure, {**result, "round": number})
        print(row(result), flush=True)
        if result["clean"] or tries <= 0:
            return result
        time.sleep(1)
