"""CPU and bytes per token of an answer ten times as long."""

from harness.report import median_of_clean
from harness.server import Result, Server
from harness.upstream import FakeModel

from measures.cost import clean_point

SHORT, LONG = 1_000, 10_000


def growth(names: list[str], model: FakeModel, *, rounds: int) -> None:
    """Unpaced, ten answers of 1,000 tokens against one of 10,000: the same number of tokens, one after the other."""
    for name in names:
        server = Server(name, model)
        results: dict[int, list[Result]] = {SHORT: [], LONG: []}
        try:
            for number in range(rounds):
                for tokens in (SHORT, LONG):
                    load = f"-c 1 -n {100_000 // tokens} --tokens {tokens} --rate 0 --delay 0 --timeout 60"
                    results[tokens].append(clean_point(server, load, 2, "growth", number))
        finally:
            server.close()
        print(f"\n{name}: {LONG:,} tokens against {SHORT:,}")
        for key in ("us_per_token", "bytes_per_token"):
            short, long = median_of_clean(results[SHORT], key), median_of_clean(results[LONG], key)
            print(f"  {key:16s} {short:8.2f} -> {long:8.2f}: x {long / short:.3f}", flush=True)
