"""The command `millstream` as a person runs it: in a process of its own, in a folder of its own."""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PATIENCE_S = 30


def environment(folder: Path, **variables: str) -> dict[str, str]:
    """Nothing of whoever runs the tests: no key, no settings, no terminal."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "COVERAGE_PROCESS_START") if name in os.environ}
    return {**kept, "HOME": str(folder), "MILLSTREAM_DATA": str(folder / "data"), "PYTHONUTF8": "1", **variables}


def millstream(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "millstream", *arguments],
        cwd=folder,
        env=environment(folder, **variables),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        stdin=subprocess.DEVNULL,
    )


def assert_one_line_error(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("millstream: ")
    for word in words:
        assert word in line


class Serve:
    """`millstream serve`, of which the line with the address has been read."""

    def __init__(self, process: subprocess.Popen[str], line: str) -> None:
        self.process = process
        self.line = line
        self.url = line.split()[-1]

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any, Any]:
        """Status, headers, JSON."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
                return response.status, response.headers, json.loads(response.read())
        except urllib.error.HTTPError as error:
            return error.code, error.headers, json.loads(error.read())

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def ended(self) -> int:
        return self.process.wait(PATIENCE_S)


@contextlib.contextmanager
def serve(folder: Path, *arguments: str, **variables: str) -> Iterator[Serve]:
    """Serves on a free port; ends it by SIGTERM when the test has not."""
    process = subprocess.Popen(
        [sys.executable, "-m", "millstream", "serve", "--port", "0", *arguments],
        cwd=folder,
        env=environment(folder, **variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            assert selector.select(PATIENCE_S), "serve said nothing"
        line = process.stdout.readline()
        if not line:
            assert process.stderr is not None
            raise AssertionError(process.stderr.read())
        yield Serve(process, line)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
        process.communicate()


class Held:
    """A stream from `POST /api/runs` that a test reads line by line."""

    def __init__(self, server: Serve, **request: Any) -> None:
        body = json.dumps({"question": "Why?", "answer": "chat", "stream": True, **request}).encode()
        self._response = urllib.request.urlopen(
            urllib.request.Request(f"{server.url}/api/runs", body), timeout=PATIENCE_S
        )
        self.run_id = self._response.headers["Millstream-Run"]

    def until(self, kind: str) -> dict[str, Any]:
        for line in self._response:
            if line.strip():
                event: dict[str, Any] = json.loads(line)
                if event["type"] == kind:
                    return event
        raise AssertionError(f"the stream ended without {kind}")


def until(condition: Any) -> None:
    """Returns when the condition holds that no event tells of."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
