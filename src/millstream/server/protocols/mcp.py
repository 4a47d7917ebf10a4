"""Model Context Protocol: `/mcp`, streamable HTTP without sessions.

The package `mcp` takes about a second and 30 MB to load: the first request loads it, in a thread.
"""

import asyncio
from importlib import import_module

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from millstream.errors import MillstreamError
from millstream.events import encode_json
from millstream.json_body import NotJson
from millstream.server.app_of import millstream_of
from millstream.server.identity import owner_of
from millstream.server.protocols.endpoint import Refusal, json_object, refusal_headers, route
from millstream.server.routes.runs import read_body
from millstream.server.settings import Settings

OWNS = ("/mcp",)

# JSON-RPC 2.0, section 5.1: what is not a request; our other refusals are the server's own.
_INVALID_REQUEST = -32600
_PARSE_ERROR = -32700
_REFUSED = -32000


def refuse(error: MillstreamError) -> Response:
    """A JSON-RPC error to no request in particular, with the HTTP status."""
    code = _PARSE_ERROR if isinstance(error, NotJson) else _INVALID_REQUEST if error.status == 400 else _REFUSED
    told = {"code": code, "message": error.message, "data": {"code": error.code}}
    body = encode_json({"jsonrpc": "2.0", "id": None, "error": told})
    return Response(body, error.status, refusal_headers(error), "application/json")


async def handle(request: Request) -> ASGIApp:
    """One message and its answer. There is nothing to GET: whatever the server says, it says in an answer."""
    await owner_of(request, millstream_of(request).identify)  # who may not is told so by HTTP, for a client to sign in
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refusal("Send the message as application/json.", "unsupported-media-type", 415)
    body = await read_body(request, millstream_of(request).settings.max_body_bytes)
    message = json_object(body)
    exchange = await asyncio.to_thread(import_module, "millstream.server.mcp.exchange")
    answer: ASGIApp = await exchange.answer(request, message, body)
    return answer


def routes(prefix: str, settings: Settings) -> list[BaseRoute]:
    return [route(f"{prefix}/mcp", refuse, POST=handle), route(f"{prefix}/mcp/", refuse, POST=handle)]
