"""Resident memory per open stream, weighed as the answers grow: paced, so that no server falls behind."""

import time

from harness.processes import memory_kb
from harness.report import save
from harness.server import Server
from harness.upstream import FakeModel

LOAD = (
    "-c {streams} -n {streams} --tokens {most} --stall {stall} --rate {rate} "
    "--delay 1000 --ramp 900 --timeout {timeout}"
)
TOKENS_PER_S = 8_000  # over all streams


def memory(names: list[str], model: FakeModel, *, streams: int, lengths: list[int]) -> None:
    """Prints KB per stream over the idle server when every answer has so many tokens; all are still open then."""
    for name in names:
        server = Server(name, model)
        try:
            _weigh(server, streams, lengths)
        finally:
            server.close()


def _weigh(server: Server, streams: int, lengths: list[int]) -> None:
    time.sleep(0.5)
    idle = memory_kb(server.pids())
    server.model.reset()
    most = max(lengths)
    timeout = most * streams / TOKENS_PER_S * 1.5 + 20
    load = LOAD.format(
        streams=streams, most=most + 1, stall=most, rate=max(1, TOKENS_PER_S // streams), timeout=timeout
    )
    process = server.start_load(load)
    for tokens in lengths:
        end_at = time.monotonic() + timeout
        while server.model.stats()["tokens"] < streams * tokens and time.monotonic() < end_at:
            time.sleep(0.05)
        weight = memory_kb(server.pids())
        each = (weight - idle) / streams
        result = {"streams": streams, "tokens": tokens, "idle_kb": idle, "open_kb": weight, "kb_per_stream": each}
        save("memory", {"target": server.name, **result, "model": server.model.stats()})
        print(
            f"{server.name:17s} {streams} streams open after {tokens:>6} tokens: {each:6.1f} KB each "
            f"(idle {idle / 1024:.1f} MB, now {weight / 1024:.1f} MB)",
            flush=True,
        )
    process.terminate()
    process.wait()
