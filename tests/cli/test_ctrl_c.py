"""Ctrl-C ends a command quietly with exit code 130, wherever it hits."""

import contextlib
import http.server
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from commands import PATIENCE_S, environment, serve, until
from held_model import HeldModel

STARTED = {
    "type": "run.started", "seq": 1, "at": 0, "format": 1, "run_id": "r", "conversation_id": "c", "message_id": "m",
    "model": "x", "created": 0,
}  # fmt: skip


def command(
    folder: Path, *arguments: str, preexec_fn: Callable[[], object] | None = None, **variables: str
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "millstream", *arguments],
        cwd=folder,
        env=environment(folder, **variables),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=preexec_fn,
    )


def assert_ended_quietly(process: subprocess.Popen[str]) -> None:
    _, said = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, said) == (130, "")


@pytest.mark.parametrize("module", ["typer", "starlette"])  # the first and one of the last
@pytest.mark.parametrize("otherwise", ["raise", "pass"], ids=["", "and one of them swallows it"])
def test_while_modules_load(tmp_path: Path, module: str, otherwise: str) -> None:
    loads = (
        f"import signal\ntry:\n  print('loading', flush=True)\n  signal.pause()\nexcept BaseException:\n  {otherwise}"
    )
    (tmp_path / f"{module}.py").write_text(loads)
    asking = command(tmp_path, "ask", "Why?", PYTHONPATH=str(tmp_path))
    assert asking.stdout is not None
    assert asking.stdout.readline() == "loading\n"
    asking.send_signal(signal.SIGINT)
    assert_ended_quietly(asking)


class Silent:
    """A server that takes a question, tells that the run has begun when it is `kind`, and never says more."""

    def __init__(self, *, kind: bool) -> None:
        self.kind = kind
        self.asked = threading.Event()
        self.told_to_stop = threading.Event()
        self.over = threading.Event()
        self.url = ""

    @contextlib.contextmanager
    def serving(self) -> Iterator["Silent"]:
        silent = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                if self.path.endswith("/stop"):
                    silent.told_to_stop.set()
                elif silent.kind:
                    self.send_response(200)
                    self.end_headers()
                    self.wfile.write(json.dumps(STARTED).encode() + b"\n")
                silent.asked.set()
                silent.over.wait(PATIENCE_S)

            def log_message(self, format: str, *args: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield self
        finally:
            self.over.set()
            server.shutdown()
            server.server_close()
            thread.join()


def test_while_nothing_has_been_answered(tmp_path: Path) -> None:
    with Silent(kind=False).serving() as server:
        asking = command(tmp_path, "ask", "Why?", "--url", server.url)
        assert server.asked.wait(PATIENCE_S)
        asking.send_signal(signal.SIGINT)
        assert server.told_to_stop.wait(PATIENCE_S)
        server.over.set()
        assert_ended_quietly(asking)


def test_twice_when_the_server_does_not_listen(tmp_path: Path) -> None:
    with Silent(kind=True).serving() as server:
        asking = command(tmp_path, "ask", "Why?", "--url", server.url)
        assert server.asked.wait(PATIENCE_S)
        asking.send_signal(signal.SIGINT)
        assert server.told_to_stop.wait(PATIENCE_S)
        asking.send_signal(signal.SIGINT)
        assert_ended_quietly(asking)


@pytest.fixture
def model() -> Iterator[HeldModel]:
    with HeldModel().serving() as model:
        yield model


@pytest.mark.parametrize("how", ["ask", "chat"])
@pytest.mark.parametrize("served", ["by another", "by itself"])
def test_while_the_answer_is_written_it_is_stopped(tmp_path: Path, model: HeldModel, how: str, served: str) -> None:
    variables = {"MILLSTREAM_MODEL": "openai/held", "OPENAI_BASE_URL": model.url}
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(serve(tmp_path, **variables)) if served == "by another" else None
        asking = command(tmp_path, how, *["Why?"] * (how == "ask"), "--answer", "chat", **variables)
        assert asking.stdin is not None
        assert asking.stdout is not None
        if how == "chat":
            asking.stdin.write("Why?\n")
            asking.stdin.flush()
        assert asking.stdout.read(5) == "Held "
        asking.send_signal(signal.SIGINT)
        assert_ended_quietly(asking)
        if server is not None:
            [conversation] = server.ask("GET", "/api/conversations")[2]["conversations"]
            path = f"/api/conversations/{conversation['conversation_id']}"
            until(lambda: server.ask("GET", path)[2]["messages"][-1]["run"]["state"] == "stopped")


def test_where_it_is_ignored_the_answer_is_written_to_its_end(tmp_path: Path, model: HeldModel) -> None:
    """As after `nohup`, and for what a script starts in the background."""
    variables = {"MILLSTREAM_MODEL": "openai/held", "OPENAI_BASE_URL": model.url}
    ignore = lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)  # noqa: E731
    asking = command(tmp_path, "ask", "Why?", "--answer", "chat", preexec_fn=ignore, **variables)
    assert asking.stdout is not None
    assert asking.stdout.read(5) == "Held "
    asking.send_signal(signal.SIGINT)
    model.go.set()
    out, said = asking.communicate(timeout=PATIENCE_S)
    assert (asking.returncode, out, said) == (0, "words.\n", "")
