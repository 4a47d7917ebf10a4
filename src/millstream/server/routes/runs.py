"""Runs over HTTP: start, follow, look, stop."""

from typing import TYPE_CHECKING, Annotated

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from millstream.errors import InputError, TooLarge
from millstream.events import encode_json
from millstream.json_body import decode_body
from millstream.request import RunRequest, parse_request
from millstream.server.app_of import millstream_of
from millstream.server.bounds import within_bounds
from millstream.server.direct import StreamRoute
from millstream.server.identity import owner_of
from millstream.server.negotiate import JSON, NDJSON, SSE, choose
from millstream.server.stream import CLIENT_GONE, Head, Stream, Whole
from millstream.wire.native import Framing, Ndjson, Sse

if TYPE_CHECKING:
    from millstream.server.app import Millstream

_FRAMINGS: dict[str, type[Framing]] = {NDJSON: Ndjson, SSE: Sse}


async def _start(request: Request) -> ASGIApp:
    """`POST /runs`: the started run, in the form that was asked for."""
    millstream = millstream_of(request)
    try:
        body = await read_body(request, millstream.settings.max_body_bytes)
        asked = within_bounds(parse_request(body), millstream.settings)
        owner = await owner_of(request, millstream.identify)
    except ClientDisconnect:
        return CLIENT_GONE  # it left before it had asked
    form = form_of(asked, request)
    run_id, _ = await millstream.supervisor.start(asked, owner, paced=form != JSON)
    return _in_form(millstream, form, run_id, owner)


async def _events(request: Request) -> ASGIApp:
    """`GET /runs/{run_id}/events?after=n`."""
    millstream = millstream_of(request)
    run_id = request.path_params["run_id"]
    owner = await owner_of(request, millstream.identify)
    after = cursor_of(request)
    if await millstream.supervisor.at_end(run_id, owner, after):
        return Response(status_code=204)
    form = choose(request.headers.get("accept"), (NDJSON, SSE))
    if request.method == "HEAD":  # it asks how the stream would begin, and is no reader
        await millstream.supervisor.check(run_id, owner, after)
        return Head(run_id, _FRAMINGS[form]())
    return _in_form(millstream, form, run_id, owner, after)


def _in_form(millstream: "Millstream", form: str, run_id: str, owner: str, after: int = 0) -> ASGIApp:
    following = millstream.supervisor.follow(run_id, owner, after)
    heartbeat = millstream.settings.heartbeat
    if form == JSON:
        return Whole(following, run_id, heartbeat)
    return Stream(following, run_id, heartbeat, _FRAMINGS[form]())


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
    StreamRoute("/api/runs", _start, methods=["POST"]),
    Route("/api/runs/{run_id}", snapshot, methods=["GET"]),
    StreamRoute("/api/runs/{run_id}/events", _events, methods=["GET"]),
    Route("/api/runs/{run_id}/stop", stop, methods=["POST"]),
]
