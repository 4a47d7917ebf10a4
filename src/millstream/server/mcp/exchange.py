"""One exchange of the Model Context Protocol over HTTP: a message comes, and its answer goes, by the package `mcp`.

Nothing outlives the exchange, so any process can answer any message. One exception: clients of the revisions up to
2025-11-25 cancel a request by another message instead of closing its stream. For them an id is given out that they send
with everything, and the asking in progress is found by it, in the process that is at it.
"""

import uuid
from collections.abc import MutableMapping
from typing import Any

from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from millstream import __version__
from millstream.events import escape_line_ends
from millstream.server.app_of import millstream_of
from millstream.server.identity import owner_of
from millstream.server.mcp import asking
from millstream.server.mcp.tools import call_tool, list_tools

_SESSION_HEADER = b"mcp-session-id"

_INSTRUCTIONS = (
    "Documents to answer from. `search_documents` finds passages, `read_document` shows more of a document around "
    "them, and `ask` has the question answered here, with citations."
)

_server: Server[Any] = Server(
    "millstream",
    version=__version__,
    title="Millstream",
    instructions=_INSTRUCTIONS,
    on_list_tools=list_tools,
    on_call_tool=call_tool,
)


async def answer(request: Request, message: dict[str, Any], body: bytes) -> ASGIApp:
    """The response to the JSON-RPC message, which was read from the request as `body`."""
    method = message.get("method")
    if method == "notifications/cancelled":
        await _cancel(request, message)
    named = [(_SESSION_HEADER, uuid.uuid4().hex.encode())] if method == "initialize" else []
    limit = millstream_of(request).settings.max_body_bytes

    async def respond(scope: Scope, receive: Receive, send: Send) -> None:
        manager = StreamableHTTPSessionManager(_server, stateless=True, max_request_body_size=limit)
        async with manager.run():
            await manager.handle_request(scope, _again(body, receive), _sending(send, named))

    return respond


async def _cancel(request: Request, message: dict[str, Any]) -> None:
    """Stops what is asked by the request that the message cancels. The client awaits no answer to it any more."""
    params = message.get("params")
    request_id = params.get("requestId") if isinstance(params, dict) else None
    if isinstance(request_id, str | int):
        owner = await owner_of(request, millstream_of(request).identify)
        await asking.cancel(request, owner, request_id)


def _again(body: bytes, receive: Receive) -> Receive:
    """`receive` from the beginning, though the body has been read."""
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receiving() -> Message:
        return first.pop() if first else await receive()

    return receiving


def _sending(send: Send, headers: list[tuple[bytes, bytes]]) -> Send:
    """`send` that adds these headers, and leaves no raw Unicode line end in a stream: some clients split it there.

    The package writes whole frames, so no character is cut in two.
    """
    is_stream = False

    async def sending(message: MutableMapping[str, Any]) -> None:
        nonlocal is_stream
        if message["type"] == "http.response.start":
            is_stream = Headers(raw=message["headers"]).get("content-type", "").startswith("text/event-stream")
            message = {**message, "headers": [*message["headers"], *headers]}
        elif is_stream:
            message = {**message, "body": escape_line_ends(message.get("body", b""))}
        await send(message)

    return sending
