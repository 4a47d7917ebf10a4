"""A whole answer over documents: when the first step, the first source and the first word are on the wire.

The model is scripted: rewriting the question takes 700 ms, the answer's first token 500 ms. The index is real, and so
are the conversation (the question is the second one), the log and the socket.
"""

import http.client
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from harness.processes import SERVER_CORE, end, free_port, spawn
from harness.report import quantile, save
from targets import MILLSTREAM

REWRITE_MS = 700
FIRST_TOKEN_MS = 500
FOLLOWED_UP = [
    {"role": "user", "content": "What is this about?"},
    {"role": "assistant", "content": "About several things."},
]


def rag_turn(documents: Path, *, rounds: int, question: str, rewritten: str) -> None:
    """Prints milliseconds: p50 and the worst of `rounds` turns."""
    folder = Path(tempfile.mkdtemp(prefix="bench-rag-"))
    subprocess.run([MILLSTREAM, "sync", documents.resolve(), "--data", folder / "data"], check=True, cwd=folder)
    port = free_port(37300)
    script = _script(folder, rounds, rewritten)
    environment = {**os.environ, "MILLSTREAM_MODEL": f"scripted/{script}", "HOME": str(folder)}
    server = spawn(
        [str(MILLSTREAM), "serve", "--port", str(port), "--data", str(folder / "data")],
        SERVER_CORE, env=environment, cwd=folder, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _await_listening(port)
        turns = [_turn(port, question) for _ in range(rounds)]
    finally:
        end(server)
    save("rag-turn", {"documents": len(list(documents.rglob("*"))), "turns": turns})
    for key, title in (
        ("step", "first step on the wire, after the request"),
        ("source", "first source, after the search began"),
        ("word", f"first word, over the model's own {REWRITE_MS} + {FIRST_TOKEN_MS} ms"),
    ):
        values = sorted(turn[key] for turn in turns)
        print(f"{title:50s} p50 {statistics.median(values):6.1f} ms, worst {quantile(values, 1.0):6.1f} ms")


def _script(folder: Path, rounds: int, rewritten: str) -> Path:
    def call(delay_ms: int, text: str) -> dict[str, object]:
        return {"steps": [{"type": "delay", "seconds": delay_ms / 1000}, {"type": "text", "text": text}]}

    turn = [
        call(REWRITE_MS, rewritten),
        call(FIRST_TOKEN_MS, "The plan covers it [1]. There is more to say about it [2]."),
        call(0, '["What else?"]'),
    ]
    file = folder / "script.json"
    file.write_text(json.dumps({"calls": turn * rounds}))
    return file


def _await_listening(port: int) -> None:
    end_at = time.monotonic() + 30
    while time.monotonic() < end_at:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/health")
            connection.getresponse().read()
            return
        except OSError:
            time.sleep(0.05)
        finally:
            connection.close()
    raise SystemExit("Millstream does not listen")


def _turn(port: int, question: str) -> dict[str, float]:
    """Milliseconds on the client's clock: `step`, `source`, `word` as in the table."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.connect()
    body = json.dumps({"messages": [*FOLLOWED_UP, {"role": "user", "content": question}], "stream": True})
    begun = time.perf_counter()
    connection.request("POST", "/api/runs", body, {"Content-Type": "application/json"})
    seen: dict[str, float] = {}
    response = connection.getresponse()
    while line := response.readline():
        event = json.loads(line)
        now = (time.perf_counter() - begun) * 1000
        kind = event["type"]
        if kind == "step.started":
            seen.setdefault("step", now)
            seen.setdefault(f"step {event['name']}", now)
        elif kind == "run.failed":
            raise SystemExit(f"the run failed: {event['message']}")
        else:
            seen.setdefault(kind, now)
    connection.close()
    if "source" not in seen:
        raise SystemExit("nothing is found in the documents: give --rewritten, a search that finds something")
    return {
        "step": seen["step"],
        "source": seen["source"] - seen["step search"],
        "word": seen["text.delta"] - REWRITE_MS - FIRST_TOKEN_MS,
    }
