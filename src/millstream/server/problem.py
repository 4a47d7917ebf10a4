"""Refusals on the wire: `application/problem+json` (RFC 9457) with our stable `code`."""

import math
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from millstream.errors import MillstreamError
from millstream.events import encode_json

MEDIA_TYPE = "application/problem+json"

_TITLES = {
    400: "Bad request",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    406: "Not acceptable",
    409: "Conflict",
    410: "Gone",
    413: "Too large",
    415: "Unsupported media type",
    422: "Unprocessable",
    429: "Too many requests",
    500: "Internal error",
    502: "Bad gateway",
    503: "Unavailable",
    504: "Gateway timeout",
}


def problem(
    status: int, code: str, detail: str, *, retry_after: float | None = None, extra: dict[str, Any] | None = None
) -> Response:
    """A refusal. `retry_after` is in seconds and becomes the header too, rounded up."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": _TITLES.get(status, "Error"),
        "status": status,
        "detail": detail,
        "code": code,
    }
    headers = {"Cache-Control": "no-store"}
    if retry_after is not None:
        body["retry_after"] = retry_after
        headers["Retry-After"] = str(math.ceil(retry_after))
    return Response(encode_json({**body, **(extra or {})}), status, headers, MEDIA_TYPE)


def problem_of(error: MillstreamError) -> Response:
    return problem(error.status, error.code, error.message, retry_after=getattr(error, "retry_after", None))


def http_problem(error: HTTPException) -> Response:
    codes = {404: "not-found", 405: "method-not-allowed"}
    response = problem(error.status_code, codes.get(error.status_code, "http-error"), error.detail)
    response.headers.update(error.headers or {})
    return response


def refusal_of(error: Exception) -> Response:
    """What the client is told: of a bug only that it happened."""
    if isinstance(error, MillstreamError):
        return problem_of(error)
    if isinstance(error, HTTPException):
        return http_problem(error)
    return problem(500, "internal", "The server failed unexpectedly; its log says why.")


async def on_error(request: Request, error: Exception) -> Response:
    """Starlette's exception handler for all of them; it logs the traceback of a bug."""
    return refusal_of(error)
