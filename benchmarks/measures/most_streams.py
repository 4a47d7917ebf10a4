"""The most concurrent streams at 50 tokens/s with a p99 gap under 100 ms: doubling, then bisection."""

from harness.report import row, save
from harness.server import Result, Server
from harness.upstream import FakeModel

# Every connection is made while the model still thinks, so that what is judged is streaming alone.
LOAD = "-c {streams} -n {streams} --tokens 120 --rate 50 --delay 2000 --ramp 1500 --timeout 45"
GAP_MS = 100
OVERRUN_MS = 250  # a server that falls behind evenly shows small gaps; the answer's end tells


def most_streams(names: list[str], model: FakeModel, *, start: int, steps: int, tries: int) -> None:
    for name in names:
        server = Server(name, model)
        try:
            most = _search(server, start, steps, tries)
        finally:
            server.close()
        if most is None:
            print(f"MOST {name}: none, from {start} down", flush=True)
        else:
            print(f"MOST {name}: {most['streams']} streams, {most['us_per_token']:.1f} us/token there", flush=True)


def _search(server: Server, level: int, steps: int, tries: int) -> Result | None:
    best: Result | None = None
    low, high = 0, 0
    for _ in range(steps):
        result = _passing(server, level, tries)
        if result is not None:
            best, low = result, level
        else:
            high = level
        following = low * 2 if not high else (low + high) // 2
        following = round(following, -1 if following < 400 else -2) if following > 40 else following
        if following in (low, high) or (high and high - low <= max(10, low * 0.12)):
            break
        level = following
    return best


def _passing(server: Server, streams: int, tries: int) -> Result | None:
    """A level fails only if every try fails: the machine may be shared."""
    for _ in range(tries):
        result = server.point(LOAD.format(streams=streams))
        save("most-streams", {**result, "level": streams})
        good = result["ok"] == streams and result["gap"]["p99"] < GAP_MS and result["overrun"]["p99"] < OVERRUN_MS
        print(("pass" if good else "FAIL"), row(result), flush=True)
        if good:
            return result
    return None
