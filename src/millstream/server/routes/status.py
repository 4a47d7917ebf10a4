"""What this server is and what it knows: for the page and for people."""

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from millstream import __version__
from millstream.events import encode_json
from millstream.recordings import SHIPPED
from millstream.server.app_of import millstream_of
from millstream.server.identity import owner_of


async def status(request: Request) -> Response:
    millstream = millstream_of(request)
    owner = await owner_of(request, millstream.identify)
    assert millstream.model is not None
    assert millstream.library is not None
    assert millstream.backfill is not None
    body: dict[str, Any] = {
        "version": __version__,
        "model": millstream.model.name,
        "quoting": millstream.model.quotes,
        "answers": sorted(millstream.offered),
        "documents": msgspec.to_builtins(await millstream.library.progress(owner)),
        "embedding": msgspec.to_builtins(millstream.backfill.progress),
        "recordings": [msgspec.to_builtins(recording) for recording in SHIPPED],
    }
    return Response(encode_json(body), 200, {"Cache-Control": "no-store"}, "application/json")


routes: list[BaseRoute] = [Route("/api/status", status, methods=["GET"])]
