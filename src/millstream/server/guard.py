"""Who may talk to this server: its Host names, and the Origins of pages that may change anything.

A website in a person's browser must not reach the server on their own machine: DNS rebinding is stopped by the Host
allow-list, cross-site requests and WebSockets by the Origin check.
"""

import functools
import re
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import urlsplit

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from millstream.errors import Forbidden, MillstreamError
from millstream.server.problem import problem_of

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^\[\]:/@\s]+))(?::\d*)?\Z")
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Guard:
    """ASGI middleware. `hosts` are names without port, "*" for any; loopback names are always among them.

    `refusals` says how to refuse at and below a path; elsewhere it is a problem. The first that fits is taken.
    """

    def __init__(
        self,
        app: ASGIApp,
        hosts: Sequence[str],
        origins: Sequence[str],
        refusals: Sequence[tuple[str, Callable[[MillstreamError], Response]]] = (),
    ) -> None:
        self._app = app
        self._refusals = refusals
        self._hosts = None if "*" in hosts else LOOPBACK_NAMES | {name.lower().strip("[]") for name in hosts}
        self._origins = frozenset(origins)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] in ("http", "websocket"):
            refusal = self._refusal(scope)
            if refusal is not None:
                return self._refuse(refusal, scope, receive, send)
        return self._app(scope, receive, send)

    async def _refuse(self, refusal: Forbidden, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": refusal.message[:120]})
            return
        path = scope["path"].removeprefix(scope.get("root_path", "")) + "/"
        in_shape = next((refuse for base, refuse in self._refusals if path.startswith(f"{base}/")), problem_of)
        await in_shape(refusal)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Forbidden | None:
        host, origin = "", None
        headers = scope["headers"] = [*scope["headers"]]
        for name, value in reversed(headers):  # of several the first counts
            if name == b"host":
                host = value.decode("latin-1")
            elif name == b"origin":
                origin = value.decode("latin-1")
        if self._hosts is not None and host_name(host) not in self._hosts:
            return Forbidden(
                "This server does not answer to that Host name. Add it to MILLSTREAM_HOSTS if it is yours.",
                code="host-not-allowed",
            )
        changes = scope["type"] == "websocket" or scope["method"] not in _SAFE_METHODS
        if changes and origin is not None and not self._same_site(origin, host):
            return Forbidden(
                "Pages of that origin may not use this server. Add it to MILLSTREAM_ORIGINS if it is yours.",
                code="origin-not-allowed",
            )
        return None

    def _same_site(self, origin: str, host: str) -> bool:
        if origin.lower() in self._origins:
            return True
        # An opaque origin ("null": a sandboxed frame, a file) has no host and is nobody's.
        same_as = _host_of(origin)
        return bool(same_as) and same_as == host.lower()


@functools.lru_cache(maxsize=64)
def host_name(host: str) -> str:
    """The name in a Host header, without port and brackets; "" when it is not one."""
    match = _HOST.match(host.lower())
    return (match[1] or match[2]) if match else ""


def _host_of(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
