"""An OpenAI-compatible server whose answer the test holds back and lets go."""

import contextlib
import http.server
import json
import threading
from collections.abc import Iterator


class HeldModel:
    """Says "Held " at once and "words." when `go` is set."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.asked = threading.Event()
        self.url = ""

    @contextlib.contextmanager
    def serving(self) -> Iterator["HeldModel"]:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        server.daemon_threads = True
        self.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.go.set()
            server.shutdown()
            server.server_close()


def _handler(model: HeldModel) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            self._say("Held ")
            model.asked.set()
            model.go.wait(60)
            with contextlib.suppress(OSError):  # it may have been stopped meanwhile
                self._say("words.")
                self._send({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
                self.wfile.write(b"data: [DONE]\n\n")

        def _say(self, words: str) -> None:
            self._send({"choices": [{"index": 0, "delta": {"content": words}}]})

        def _send(self, chunk: dict[str, object]) -> None:
            body = {"id": "x", "object": "chat.completion.chunk", "created": 0, "model": "held", **chunk}
            self.wfile.write(b"data: " + json.dumps(body).encode() + b"\n\n")
            self.wfile.flush()

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
