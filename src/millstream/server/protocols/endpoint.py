"""A route of a foreign protocol as plain ASGI: every refusal has that protocol's shape."""

import logging
import math
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from millstream.errors import MillstreamError, NotFound
from millstream.events import encode_json
from millstream.json_body import decode_body
from millstream.server.app_of import millstream_of
from millstream.server.direct import Sending
from millstream.server.routes.runs import read_body

logger = logging.getLogger("millstream")

_object = msgspec.json.Decoder(dict[str, Any])

# Given the error, the response in the protocol's shape with the right status.
Refuse = Callable[[MillstreamError], Response]
Handle = Callable[[Request], Awaitable[ASGIApp]]


class Endpoint:
    """Calls the method's handler and sends what it returns; every error goes through `refuse`.

    HEAD is answered by the handler for GET; a server sends no body then.
    """

    def __init__(self, refuse: Refuse, handlers: Mapping[str, Handle]) -> None:
        self.handlers = handlers
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = Sending(send)
        try:
            handle = self.handlers.get("GET" if scope["method"] == "HEAD" else scope["method"])
            if handle is None:
                raise _method_not_allowed(scope["method"], self.handlers)
            response = await handle(Request(scope, receive))
            await response(scope, receive, sending.send)
        except ClientDisconnect:
            pass  # it left before it had asked
        except Exception as error:
            if sending.begun:
                raise
            await self._refuse(_as_refusal(error))(scope, receive, send)


def route(path: str, refuse: Refuse, **handlers: Handle) -> Route:
    """One path with a handler for each method: `route("/v1/models", refuse, GET=list_models)`.

    The route itself lets every method through: it would refuse a wrong one in our own shape.
    """
    return Route(path, Endpoint(refuse, handlers))


class _Nothing:
    """Refuses whatever is asked, and says what there is."""

    def __init__(self, refuse: Refuse, there_is: Sequence[str]) -> None:
        self._refuse = refuse
        self._there_is = ", ".join(there_is)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        error = NotFound(f"There is no {scope['method']} {path} here; there are: {self._there_is}.")
        await self._refuse(error)(scope, receive, send)


def nothing_else(base: str, refuse: Refuse, routes: Iterable[Route]) -> list[Route]:
    """Routes for all that is not served at and below `base`, to be matched after `routes`."""
    there_is = [
        f"{' or '.join(route.endpoint.handlers)} {route.path_format}"
        for route in routes
        if isinstance(route.endpoint, Endpoint) and f"{route.path}/".startswith(f"{base}/")
    ]
    nothing = _Nothing(refuse, there_is)
    return [Route(base, nothing), Route(f"{base}/{{path:path}}", nothing)]


async def read_json(request: Request) -> dict[str, Any]:
    """The request's body, which must be a JSON object. Raises InputError, TooLarge."""
    return json_object(await read_body(request, millstream_of(request).settings.max_body_bytes))


def json_object(body: bytes) -> dict[str, Any]:
    """Raises InputError when the body is not a JSON object, or nested too deeply."""
    return decode_body(body, _object)


class Refusal(MillstreamError):
    """A refusal of HTTP itself, with a status and headers that no class of errors has."""

    def __init__(self, message: str, code: str, status: int, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message, code=code)
        self.status = status
        self.headers = headers or {}


def refusal_headers(error: MillstreamError) -> dict[str, str]:
    """The headers that a refusal has in every protocol; Retry-After in seconds, rounded up."""
    headers = {"Cache-Control": "no-store", **getattr(error, "headers", {})}
    if (wait := getattr(error, "retry_after", None)) is not None:
        headers["Retry-After"] = str(math.ceil(wait))
    return headers


def _method_not_allowed(method: str, methods: Collection[str]) -> MillstreamError:
    message = f"{method} is not for this address; use {' or '.join(methods)}."
    allowed = [*methods, *(["HEAD"] if "GET" in methods else [])]
    return Refusal(message, "method-not-allowed", 405, {"Allow": ", ".join(allowed)})


def _as_refusal(error: Exception) -> MillstreamError:
    if isinstance(error, MillstreamError):
        return error
    if isinstance(error, HTTPException):  # of the application's own `identify`
        detail = error.detail if isinstance(error.detail, str) else encode_json(error.detail).decode()
        return Refusal(detail, "http-error", error.status_code, error.headers)
    logger.error("a request failed", exc_info=error)
    return MillstreamError("The server failed unexpectedly; its log says why.")
