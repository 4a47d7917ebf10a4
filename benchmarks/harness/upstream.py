"""The upstream of every server under test: `fake_llm`, and TLS in front of it."""

import json
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from harness.processes import HARNESS_CORE, end, free_port, spawn

HERE = Path(__file__).resolve().parent.parent
BIN = HERE / "bin"


def http_json(port: int, path: str, post: bool = False) -> Any:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=b"" if post else None)
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.loads(response.read() or b"{}")


class FakeModel:
    """`fake_llm` on the harness's core. With `tls`, servers are sent to a TLS terminator (nginx) in front of it."""

    def __init__(self, *, tls: bool = False) -> None:
        self.port = free_port(37100)
        self._process = spawn(
            [str(BIN / "fake_llm"), "--port", str(self.port)], HARNESS_CORE, stderr=subprocess.DEVNULL
        )
        for _ in range(100):
            try:
                self.stats()
                break
            except OSError:
                time.sleep(0.05)
        self.url = f"http://127.0.0.1:{self.port}"
        self.certificate: Path | None = None
        self._terminator: subprocess.Popen[bytes] | None = None
        if tls:
            self._add_tls()

    def _add_tls(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="bench-tls-"))
        port = free_port(37150)
        self.certificate = folder / "certificate.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
             "-keyout", folder / "key.pem", "-out", self.certificate],
            check=True, capture_output=True,
        )  # fmt: skip
        template = (HERE / "peers" / "nginx-tls.conf.in").read_text()
        text = template.replace("@DIR@", str(folder)).replace("@PORT@", str(port)).replace("@UPSTREAM@", str(self.port))
        (folder / "nginx.conf").write_text(text)
        self._terminator = spawn(
            ["nginx", "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")],
            HARNESS_CORE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.url = f"https://localhost:{port}"

    def stats(self) -> dict[str, int]:
        """Counters since the last reset: `active`, `completed`, `aborted`, `tokens`, `late_max_us` and others."""
        stats: dict[str, int] = http_json(self.port, "/stats")
        return stats

    def aborts(self) -> list[tuple[int, int, int]]:
        """(id, when on the monotonic clock in ns, tokens sent) of every call that was hung up on."""
        return [tuple(entry) for entry in http_json(self.port, "/stats/aborts")]

    def reset(self) -> None:
        http_json(self.port, "/reset", post=True)

    def close(self) -> None:
        for process in (self._terminator, self._process):
            if process is not None:
                end(process)
