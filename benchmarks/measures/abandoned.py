"""Clients that leave, in the middle of the words and before the first: how soon the model's call is closed."""

import socket
import time

from harness.report import quantile, save
from harness.server import Server
from harness.upstream import FakeModel

MIDDLE = (
    "-c {streams} -n {streams} --tokens 500 --rate 50 --delay 200 --ramp 500 --timeout 30 "
    "--abort-after 20 --abort-frac 0.5"
)
WAITING = 40  # clients that leave while the model still thinks


def abandoned(names: list[str], model: FakeModel, *, streams: int) -> None:
    for name in names:
        server = Server(name, model)
        try:
            _leave_in_the_middle(server, streams)
            _leave_before_the_first_token(server)
        finally:
            server.close()


def _leave_in_the_middle(server: Server, streams: int) -> None:
    result = server.point(MIDDLE.format(streams=streams))
    time.sleep(0.5)
    closed = {number: at for number, at, _ in server.model.aborts()}
    left = result["aborts"]
    _report(server.name, "mid-stream", len(left), sorted((closed[n] - at) / 1e6 for n, at in left if n in closed))
    if result["ok"] != streams - len(left):
        print(f"  of the {streams - len(left)} others only {result['ok']} were right: {result['error_sample']}")


def _leave_before_the_first_token(server: Server) -> None:
    server.model.reset()
    clients = [_ask(server, 5000 + number) for number in range(WAITING)]
    end_at = time.monotonic() + 5
    while server.model.stats()["active"] < WAITING and time.monotonic() < end_at:
        time.sleep(0.02)
    left = {}
    for number, client in enumerate(clients):
        left[5000 + number] = time.monotonic_ns()
        client.close()
    time.sleep(2)
    milliseconds = sorted((at - left[number]) / 1e6 for number, at, _ in server.model.aborts())
    _report(server.name, "before first token", WAITING, milliseconds)


def _ask(server: Server, number: int) -> socket.socket:
    target = server.target
    body = target.body.replace("{CTL}", f"[[fake tokens=50 rate=50 delay=8000 id={number}]]").encode()
    accept = "text/event-stream" if target.framing == "sse" else "application/x-ndjson"
    head = [
        f"POST {target.path} HTTP/1.1", f"Host: 127.0.0.1:{server.port}", "Content-Type: application/json",
        f"Accept: {accept}", f"Content-Length: {len(body)}", *target.headers,
    ]  # fmt: skip
    client = socket.create_connection(("127.0.0.1", server.port))
    client.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + body)
    return client


def _report(name: str, when: str, left: int, milliseconds: list[float]) -> None:
    save("abandoned", {"target": name, "when": when, "left": left, "milliseconds": milliseconds})
    print(
        f"{name:17s} {when:19s} {len(milliseconds)} of {left} closed upstream, "
        f"p50 {quantile(milliseconds, 0.5):6.1f} ms, p99 {quantile(milliseconds, 0.99):6.1f} ms",
        flush=True,
    )
