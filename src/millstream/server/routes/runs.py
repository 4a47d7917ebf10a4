"""Runs over HTTP: start, follow, look, stop."""

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Annotated

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from millstream.errors import InputError, TooLarge
from millstream.events import encode_json
from millstream.follower import Follower
from millstream.json_body import decode_body
from millstream.request import RunRequest, parse_request
from millstream.server.app_of import millstream_of
from millstream.server.bounds import within_bounds
from millstream.server.direct import StreamRoute
from millstream.server.identity import owner_of
from millstream.server.negotiate import JSON, NDJSON, SSE, choose
from millstream.server.stream import send_head, send_stream, send_whole
from millstream.wire.native import Framing, Ndjson, Sse

if TYPE_CHECKING:
    from millstream.server.app import Millstream

_FRAMINGS: dict[str, type[Framing]] = {NDJSON: Ndjson, SSE: Sse}


class _Start:
    """`POST /runs`, as plain ASGI: nothing stands between the follower and the transport."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        millstream: Millstream = scope["millstream"]
        try:
            run_id, owner, form = await self._begin(millstream, Request(scope, receive))
        except ClientDisconnect:
            return  # it left before it had asked
        async with millstream.supervisor.follow(run_id, owner) as follower:
            await _send(scope, receive, send, millstream, follower, form)

    async def _begin(self, millstream: "Millstream", request: Request) -> tuple[str, str, str]:
        """The started run, its owner, and the form of its answer. What was asked is not kept while it is answered."""
        body = await read_body(request, millstream.settings.max_body_bytes)
        asked = within_bounds(parse_request(body), millstream.settings)
        form = form_of(asked, request)
        owner = await owner_of(request, millstream.identify)
        run_id, _ = await millstream.supervisor.start(asked, owner, paced=form != JSON)
        return run_id, owner, form


class _Events:
    """`GET /runs/{run_id}/events?after=n`, as plain ASGI."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        millstream = millstream_of(request)
        run_id = request.path_params["run_id"]
        owner = await owner_of(request, millstream.identify)
        after = cursor_of(request)
        if await millstream.supervisor.at_end(run_id, owner, after):
            await Response(status_code=204)(scope, receive, send)
            return
        form = choose(request.headers.get("accept"), (NDJSON, SSE))
        if scope["method"] == "HEAD":  # it asks how the stream would begin, and is no reader
            await millstream.supervisor.check(run_id, owner, after)
            await send_head(send, _FRAMINGS[form](), [(b"millstream-run", run_id.encode())])
            await send({"type": "http.response.body", "body": b""})
            return
        async with millstream.supervisor.follow(run_id, owner, after) as follower:
            await _send(scope, receive, send, millstream, follower, form)


def _send(
    scope: Scope, receive: Receive, send: Send, millstream: "Millstream", follower: Follower, form: str
) -> Awaitable[None]:
    """The run in that form. Not a coroutine of its own: it would stay for as long as the stream is open."""
    headers = [(b"millstream-run", follower.run_id.encode())]
    heartbeat = millstream.settings.heartbeat
    if form == JSON:
        return send_whole(scope, receive, send, follower, heartbeat, headers)
    return send_stream(receive, send, follower, _FRAMINGS[form](), heartbeat, headers)


def form_of(asked: RunRequest, request: Request) -> str:
    """The media type of the answer: `stream` beats Accept."""
    if asked.stream is not None:
        return NDJSON if asked.stream else JSON
    return choose(request.headers.get("accept"), (JSON, NDJSON, SSE))


async def read_body(request: Request, limit: int) -> bytes:
    """The request's body. Raises TooLarge as soon as it exceeds `limit` bytes."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise TooLarge(f"The request body is larger than {limit} bytes (MILLSTREAM_MAX_BODY_BYTES).")
    return bytes(body)


def cursor_of(request: Request) -> int:
    """The cursor of a reader: `Last-Event-ID` beats `after`; 0 without either."""
    text = request.headers.get("last-event-id") or request.query_params.get("after") or "0"
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise InputError("`after` (or Last-Event-ID) must be the seq of the last event that you have, 0 for none.")
    return int(text)


class StopRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`seen`: code points of the answer's Markdown that the reader had on screen; absent means all of it."""

    seen: Annotated[int, msgspec.Meta(ge=0)] | None = None


_stop = msgspec.json.Decoder(StopRequest)


async def snapshot(request: Request) -> Response:
    millstream = millstream_of(request)
    owner = await owner_of(request, millstream.identify)
    found = await millstream.supervisor.snapshot(request.path_params["run_id"], owner)
    return Response(encode_json(found), 200, {"Cache-Control": "no-store"}, "application/json")


async def stop(request: Request) -> Response:
    millstream = millstream_of(request)
    body = await read_body(request, millstream.settings.max_body_bytes)
    seen = decode_body(body, _stop).seen if body.strip() else None
    owner = await owner_of(request, millstream.identify)
    found = await millstream.supervisor.stop(request.path_params["run_id"], owner, seen)
    return Response(encode_json(found), 200, {"Cache-Control": "no-store"}, "application/json")


routes: list[BaseRoute] = [
    StreamRoute("/api/runs", _Start(), methods=["POST"]),
    Route("/api/runs/{run_id}", snapshot, methods=["GET"]),
    StreamRoute("/api/runs/{run_id}/events", _Events(), methods=["GET"]),
    Route("/api/runs/{run_id}/stop", stop, methods=["POST"]),
]
