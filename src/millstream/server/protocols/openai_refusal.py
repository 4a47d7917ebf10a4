"""Refusals in OpenAI's shape."""

import re
from typing import Any

import msgspec
from starlette.responses import Response

from millstream.errors import InputError, MillstreamError, RunError
from millstream.events import encode_json
from millstream.server.protocols.endpoint import refusal_headers
from millstream.wire.openai_error import openai_error, openai_status

# What msgspec says of where a fault is.
_PLACE = re.compile(r" - at `\$\.?(.*)`\Z")
_FIRST_NAME = re.compile(r"`([a-z_]+)`")


class InvalidParameter(InputError):
    """A parameter of an OpenAI request that is wrong, or that this server does not have. `code` is one of OpenAI's."""

    def __init__(self, message: str, param: str, *, code: str = "invalid_value") -> None:
        super().__init__(message, code=code)
        self.param = param


def place_of(error: msgspec.ValidationError) -> str | None:
    """The parameter that a validation of msgspec found wrong, None for the body itself."""
    place = _PLACE.search(str(error))
    return place[1] if place else None


def as_json(value: dict[str, Any]) -> Response:
    return Response(encode_json(value), 200, {"Cache-Control": "no-store"}, "application/json")


def refuse(error: MillstreamError, *, azure: bool = False) -> Response:
    """The error as a response. Azure says in an `innererror` that it was its content filter."""
    status = openai_status(error.code, error.status)
    retryable = not isinstance(error, RunError) or error.retryable
    body = openai_error(error.message, error.code, status, retryable=retryable, param=_param_of(error))
    if azure and error.code == "model-content-filter":
        body["error"] |= {
            "param": "prompt",
            "status": status,
            "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {}},
        }
    headers = refusal_headers(error)
    if not retryable:
        headers["x-should-retry"] = "false"  # the SDKs try every 429 and 5xx again unless they are told
    return Response(encode_json(body), status, headers, "application/json")


def _param_of(error: MillstreamError) -> str | None:
    if isinstance(error, InvalidParameter):
        return error.param
    named = _FIRST_NAME.match(error.message) if isinstance(error, InputError) else None
    return named[1] if named else None
