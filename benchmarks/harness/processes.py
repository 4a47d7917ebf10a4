"""Child processes on pinned cores, and what they cost: CPU clocks, memory, time spent waiting for the core."""

import atexit
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

SERVER_CORE = os.environ.get("SERVER_CORE", "0")
HARNESS_CORE = os.environ.get("HARNESS_CORE", "1")
# Round-robin real time for short runs: neighbours on a shared machine then delay neither the server nor the harness.
REAL_TIME = os.environ.get("BENCH_RT") == "1"
CALM_S = float(os.environ.get("BENCH_CALM_S", "25"))

_children: list[subprocess.Popen[bytes]] = []


def free_port(start: int) -> int:
    """The first port from `start` on that nobody listens on."""
    for port in range(start, start + 400):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise SystemExit(f"no free port from {start} on")


def spawn(command: Sequence[str], core: str, **options: Any) -> subprocess.Popen[bytes]:
    """Starts `command` on one core. It is ended with this process at the latest."""
    prefix = (["chrt", "-r", "1"] if REAL_TIME else []) + ["taskset", "-c", core]
    process = subprocess.Popen([*prefix, *command], start_new_session=True, **options)
    _children.append(process)
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, and SIGKILL for what is left of its tree after three seconds."""
    pids = tree(process.pid)
    process.terminate()
    try:
        process.wait(3)
    except subprocess.TimeoutExpired:
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        process.wait(5)


@atexit.register
def _end_all() -> None:
    for process in _children:
        if process.poll() is None:
            end(process)


signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


def tree(pid: int) -> list[int]:
    """The process and all its descendants."""
    found, waiting = [], [pid]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        for file in Path(f"/proc/{pid}/task").glob("*/children"):
            try:
                waiting += map(int, file.read_text().split())
            except OSError:
                continue  # it has just ended
    return found


def cpu_s(pids: Iterable[int]) -> float:
    """User and system time of the processes' own clocks, in seconds: exact, dead threads included."""
    total = 0
    for pid in pids:
        try:
            total += time.clock_gettime_ns((~pid << 3) | 2)
        except OSError:
            continue  # it has just ended
    return total / 1e9


def system_s(pids: Iterable[int]) -> float:
    """System time in seconds, in steps of a clock tick."""
    ticks = 0
    for pid in pids:
        try:
            ticks += int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[12])
        except OSError:
            continue
    return ticks / os.sysconf("SC_CLK_TCK")


def waited_s(pids: Iterable[int]) -> float:
    """How long the processes' main threads were runnable without running, in seconds.

    Less the time of their other threads: those share the core with it, and are no neighbours.
    """
    waited = 0
    for pid in pids:
        for file in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            try:
                ran, delayed, _ = map(int, file.read_text().split())
            except (OSError, ValueError):
                continue
            waited += delayed if file.parent.name == str(pid) else -ran
    return waited / 1e9


def memory_kb(pids: Iterable[int]) -> int:
    """Resident memory in KB; pages that processes share are counted once (proportional set size)."""
    total = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total


def load_average() -> float:
    return os.getloadavg()[0]


def await_calm(idle: float = 0.5) -> None:
    """Waits, at most BENCH_CALM_S seconds, until neighbours leave both cores half idle."""
    end_at = time.monotonic() + CALM_S
    while time.monotonic() < end_at:
        before = _core_times()
        time.sleep(0.4)
        after = _core_times()
        if all(
            (b[3] + b[4] - a[3] - a[4]) / max(1, sum(b) - sum(a)) >= idle for a, b in zip(before, after, strict=True)
        ):
            return


def _core_times() -> list[list[int]]:
    cores = (f"cpu{SERVER_CORE} ", f"cpu{HARNESS_CORE} ")
    return [
        list(map(int, line.split()[1:9]))
        for line in Path("/proc/stat").read_text().splitlines()
        if line.startswith(cores)
    ]
