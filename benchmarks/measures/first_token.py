"""What a server adds to the time to the first token, over asking the model directly."""

import statistics

from harness.report import row, save
from harness.server import Server
from harness.upstream import FakeModel

# load reads times to 3 %: short delays keep that small, but not so short that nothing happens while the model thinks.
ONE = "-c 1 -n 100 --tokens 5 --rate 0 --delay 5 --timeout 20"
TWENTY = "-c 20 -n 20 --tokens 20 --rate 50 --delay 60 --ramp 0 --timeout 20"


def first_token(names: list[str], model: FakeModel, *, rounds: int) -> None:
    """One stream after the other, and twenty at the same instant; p50 of the medians of all rounds."""
    names = ["direct", *(name for name in names if name != "direct")]
    servers = [Server(name, model) for name in names]
    firsts: dict[tuple[str, str], list[float]] = {}
    try:
        for number in range(rounds):
            for title, load in (("one", ONE), ("twenty", TWENTY)):
                for server in servers:
                    result = server.point(load)
                    save("first-token", {**result, "round": number, "case": title})
                    print(row(result), flush=True)
                    firsts.setdefault((server.name, title), []).append(result["ttft"]["p50"])
    finally:
        for server in servers:
            server.close()
    print("\nadded time to the first token, ms, p50       one stream    20 at once")
    for name in names:
        added = [
            statistics.median(firsts[name, title]) - statistics.median(firsts["direct", title])
            for title in ("one", "twenty")
        ]
        print(f"{name:40s} {added[0]:12.2f} {added[1]:13.2f}")
