"""Resident memory per open stream: every answer stays open after so many tokens, and then it is weighed."""

import time

from harness.processes import memory_kb
from harness.report import save
from harness.server import Server
from harness.upstream import FakeModel

LOAD = (
    "-c {streams} -n {streams} --tokens {more} --stall {tokens} --rate {rate} --delay 500 --ramp 400 "
    "--timeout {timeout}"
)
SETTLE_S = 1.5
RATE = 1000  # tokens/s a stream asks for; a server that cannot keep up takes what it can


def memory(names: list[str], model: FakeModel, *, streams: int, lengths: list[int]) -> None:
    for name in names:
        server = Server(name, model)
        try:
            for tokens in lengths:
                _weigh(server, streams, tokens)
        finally:
            server.close()


def _weigh(server: Server, streams: int, tokens: int) -> None:
    time.sleep(0.5)
    idle = memory_kb(server.pids())
    server.model.reset()
    timeout = 8 + tokens * streams / 10_000
    load = LOAD.format(streams=streams, more=tokens + 1, tokens=tokens, rate=RATE, timeout=timeout)
    process = server.start_load(load)
    end_at = time.monotonic() + timeout - SETTLE_S - 0.5
    while server.model.stats()["tokens"] < streams * tokens and time.monotonic() < end_at:
        time.sleep(0.1)
    sent = server.model.stats()
    time.sleep(SETTLE_S)
    open_ = memory_kb(server.pids())
    process.terminate()
    process.wait()
    each = (open_ - idle) / streams
    save("memory", {
        "target": server.name, "streams": streams, "tokens": tokens, "idle_kb": idle, "open_kb": open_,
        "kb_per_stream": each, "model": sent,
    })  # fmt: skip
    print(
        f"{server.name:17s} {streams} streams open after {tokens:>6} tokens: {each:6.1f} KB each "
        f"(idle {idle / 1024:.1f} MB, open {open_ / 1024:.1f} MB; {sent['active']} active, "
        f"{sent['tokens'] / streams:.0f} tokens each)",
        flush=True,
    )
    time.sleep(1)
