"""What a reader costs in memory that all but stops (2 kB/s) while the model writes 40,000 tokens as fast as it can."""

import time

from harness.processes import memory_kb
from harness.report import save
from harness.server import Server
from harness.upstream import FakeModel

TOKENS = 40_000  # 13 MB from the model: more than the kernel's buffers hold
FAST = "-c {streams} -n {streams} --tokens 40000 --rate 0 --delay 0 --timeout 60"
LOAD = "-c {streams} -n {streams} --tokens 40000 --rate 0 --delay 0 --slow-frac 1 --slow-bps 2000 --timeout {seconds}"


def stalled(names: list[str], model: FakeModel, *, streams: int, seconds: int) -> None:
    for name in names:
        server = Server(name, model)
        try:
            _weigh(server, streams, seconds)
        finally:
            server.close()


def _weigh(server: Server, streams: int, seconds: int) -> None:
    # The same answers for readers that keep up come first: what they leave in the heap is no cost of stalling.
    server.load(FAST.format(streams=streams))
    time.sleep(1)
    idle = memory_kb(server.pids())
    highest = last = pulled = 0

    def watch() -> None:
        nonlocal highest, last, pulled
        pulled = server.model.stats()["tokens"]
        weight = memory_kb(server.pids())
        if pulled and server.model.stats()["active"] + server.model.stats()["completed"] >= streams:
            last = weight
        highest = max(highest, weight)

    result = server.point(LOAD.format(streams=streams, seconds=seconds), watch)
    share = pulled / (TOKENS * streams)
    save("stalled", {**result, "idle_kb": idle, "highest_kb": highest, "last_kb": last, "pulled": share})
    print(
        f"{server.name:17s} {streams} stalled readers: highest +{(highest - idle) / streams:7.1f} KB each, at the end "
        f"+{(last - idle) / streams:7.1f} KB each; the model had sent {share:.0%}",
        flush=True,
    )
