#!/usr/bin/env python3
"""Where a server's time goes: py-spy under load, samples added up by layer.

    profile_layers.py TARGET [options of bin/load]

A sample belongs to the innermost Python frame whose file is in a known layer; C functions count for their caller.
µs per token are shares of the CPU of the same load without the profiler.
"""

import collections
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness.server import Server
from harness.upstream import FakeModel
from targets import PYTHON

LOAD = "-c 100 -n 100 --tokens 300 --rate 50 --delay 500 --timeout 60"
SECONDS = 6

# Threads that wait for work.
IDLE = ("_worker (concurrent/futures", "wait (threading", "_waiting_calls (millstream/database")
# py-spy shortens paths to package/file.py
LAYERS = [
    ("openai: build typed objects", r"\(openai/(_models|_compat|_utils|_base_client|_legacy|_response|lib/streaming)"),
    ("pydantic", r"\((pydantic|pydantic_core)/"),
    ("openai: SSE and stream loop", r"\(openai/"),
    ("httpx, httpcore, h11, anyio", r"\((httpx2?|httpcore2?|h11|anyio|sniffio)/"),
    ("aiohttp client", r"\((aiohttp|yarl|multidict)/"),
    ("json", r"\(json/"),
    ("starlette, fastapi", r"\((starlette|fastapi)/"),
    ("uvicorn", r"\((uvicorn|granian|gunicorn)/"),
    ("millstream: model", r"\(millstream/models/"),
    ("millstream: run", r"\(millstream/(run|citations|answers/)"),
    ("millstream: producer, events", r"\(millstream/(producer|events)"),
    ("millstream: follower, server", r"\(millstream/(follower|server/|wire/)"),
    ("millstream: flush, log, database", r"\(millstream/(flusher|logs/|database|conversations/)"),
    ("event loop and system calls", r"\(asyncio/|uvloop"),
]


def main() -> None:
    name = sys.argv[1]
    load = " ".join(sys.argv[2:]) or LOAD
    model = FakeModel()
    server = Server(name, model)
    try:
        plain = server.point(load)
        raw = Path(tempfile.mkdtemp(prefix="bench-")) / "samples"
        profiler = subprocess.Popen(
            [PYTHON / "py-spy", "record", "-p", str(server.pids()[-1]), "-d", str(SECONDS), "-r", "500", "-f", "raw",
             "-F", "-o", raw],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(0.7)
        server.load(load)
        profiler.wait()
    finally:
        server.close()
        model.close()
    print_layers(name, raw, plain["us_per_token"])


def print_layers(name: str, raw: Path, us_per_token: float) -> None:
    layers: collections.Counter[str] = collections.Counter()
    leaves: collections.Counter[str] = collections.Counter()
    for line in raw.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        if any(idle in frames[-1] for idle in IDLE):
            continue
        layers[layer_of(frames)] += int(count)
        leaves[frames[-1]] += int(count)
    total = max(1, layers.total())
    print(f"{name}: {us_per_token:.1f} us/token unprofiled, {total} samples")
    for title, counter, most in (("layers", layers, 20), ("innermost frames", leaves, 40)):
        print(f"  {title}:")
        for key, count in counter.most_common(most):
            print(f"  {100 * count / total:5.1f}%  {us_per_token * count / total:7.2f} us  {key[-100:]}")


def layer_of(frames: list[str]) -> str:
    for frame in reversed(frames):
        for layer, pattern in LAYERS:
            if re.search(pattern, frame):
                return layer
    return "other"


if __name__ == "__main__":
    main()
