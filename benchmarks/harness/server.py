"""A server under test, and the load that is put on it."""

import json
import os
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from targets import PEERS, TARGETS

from harness.processes import (
    HARNESS_CORE,
    SERVER_CORE,
    await_calm,
    cpu_s,
    end,
    free_port,
    load_average,
    spawn,
    system_s,
    tree,
    waited_s,
)
from harness.upstream import BIN, FakeModel

# A round is clean when neighbours neither delayed the upstream nor kept the server waiting for its core.
LATE_UPSTREAM_US = 60_000
WAITING_SHARE = 0.12
# What a server does for its answers after their end counts too.
SETTLE_S = 0.5

Result = dict[str, Any]


class Server:
    """Started and warmed up when made. The target "direct" is `fake_llm` itself."""

    def __init__(self, name: str, model: FakeModel) -> None:
        self.name = name
        self.target = TARGETS[name]
        self.model = model
        self._process: subprocess.Popen[bytes] | None = None
        if self.target.command is None:
            self.port = model.port
            return
        self.port = free_port(37200)
        self._folder = Path(tempfile.mkdtemp(prefix="bench-"))
        self._start()
        self._await_listening()
        self._warm_up()

    def _start(self) -> None:
        target = self.target
        filled = {
            "port": str(self.port), "upstream": self.model.url, "upstream_port": str(self.model.port),
            "folder": str(self._folder),
        }  # fmt: skip
        if target.template:
            text = (PEERS / f"{target.template}.in").read_text().replace("@DIR@", str(self._folder))
            scheme, _, address = self.model.url.partition("://")
            upstream = address if target.template == "nginx.conf" else self.model.url
            text = text.replace("@PORT@", str(self.port)).replace("@SCHEME@", scheme).replace("@UPSTREAM@", upstream)
            (self._folder / target.template).write_text(text)
        environment = {
            **os.environ, "UPSTREAM": self.model.url, "PYTHONUNBUFFERED": "1", "HOME": str(self._folder),
            **{key: value.format(**filled) for key, value in target.environment.items()},
        }  # fmt: skip
        if self.model.certificate is not None:
            environment["SSL_CERT_FILE"] = str(self.model.certificate)
        self._log = (self._folder / "log").open("wb")
        self._process = spawn(
            shlex.split(target.command.format(**filled)),  # type: ignore[union-attr]
            SERVER_CORE, env=environment, cwd=target.folder or self._folder, stdout=self._log, stderr=self._log,
        )  # fmt: skip

    def _await_listening(self) -> None:
        end_at = time.monotonic() + self.target.ready_s
        while time.monotonic() < end_at:
            if self._process is None or self._process.poll() is not None:
                raise SystemExit(f"{self.name} ended: {self._said()}")
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.1)
        raise SystemExit(f"{self.name} does not listen: {self._said()}")

    def _warm_up(self) -> None:
        for _ in range(8):
            result = self.load("-c 2 -n 4 --tokens 100 --rate 0 --delay 0 --timeout 20")
            if result["ok"] == 4:
                break
            time.sleep(1)
        else:
            raise SystemExit(f"{self.name} gives wrong answers: {result['error_sample']} {self._said()}")
        self.load(f"-c 20 -n {self.target.warm_up} --tokens 100 --rate 0 --delay 0 --timeout 30")

    def _said(self) -> str:
        return (self._folder / "log").read_text(errors="replace")[-1500:]

    def pids(self) -> list[int]:
        return tree(self._process.pid) if self._process else []

    def start_load(self, arguments: str) -> subprocess.Popen[bytes]:
        target = self.target
        command = [
            str(BIN / "load"), "--port", str(self.port), "--path", target.path, "--framing", target.framing,
            "--key", target.key, "-j", target.body, "--label", self.name,
        ]  # fmt: skip
        if target.only:
            command += ["--only", target.only]
        for header in target.headers:
            command += ["--header", header]
        return spawn([*command, *shlex.split(arguments)], HARNESS_CORE, stdout=subprocess.PIPE)

    def load(self, arguments: str) -> Result:
        """What `load` reports of one run."""
        out, _ = self.start_load(arguments).communicate()
        result: Result = json.loads(out)
        return result

    def point(self, arguments: str, watch: Callable[[], None] | None = None) -> Result:
        """The report of `load`, the server's CPU, and what the model sent. `watch` is called meanwhile."""
        await_calm()
        self.model.reset()
        pids = self.pids()
        cpu, system, waited = cpu_s(pids), system_s(pids), waited_s(pids)
        process = self.start_load(arguments)
        while watch is not None and process.poll() is None:
            watch()
            time.sleep(0.2)
        out, _ = process.communicate()
        time.sleep(SETTLE_S)
        result: Result = json.loads(out)
        pids = self.pids()
        sent = self.model.stats()
        tokens = max(1, sent["tokens"])
        result.update(
            target=self.name,
            load=arguments,
            load_average=load_average(),
            model=sent,
            cpu_s=cpu_s(pids) - cpu,
            system_s=system_s(pids) - system,
            waited_s=max(0.0, waited_s(pids) - waited),
            reads_per_token=result["reads"] / tokens,
            bytes_per_token=result["bytes"] / tokens,
        )
        result["us_per_token"] = result["cpu_s"] * 1e6 / tokens
        result["clean"] = sent["late_max_us"] < LATE_UPSTREAM_US and (
            self.target.threads or result["waited_s"] < result["wall"] * WAITING_SHARE
        )
        return result

    def close(self) -> None:
        if self._process is not None:
            end(self._process)
            self._log.close()
            shutil.rmtree(self._folder, ignore_errors=True)
