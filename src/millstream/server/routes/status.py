"""What this server is, what it knows and what it offers: for the page and for people."""

from typing import TYPE_CHECKING, Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from millstream import __version__
from millstream.documents.examples import example_questions
from millstream.events import encode_json
from millstream.recordings import SHIPPED
from millstream.server.app_of import millstream_of
from millstream.server.bounds import bounds_json
from millstream.server.identity import owner_of

if TYPE_CHECKING:
    from millstream.server.app import Millstream


async def status(request: Request) -> Response:
    millstream = millstream_of(request)
    owner = await owner_of(request, millstream.identify)
    assert millstream.library is not None
    assert millstream.backfill is not None
    body: dict[str, Any] = {
        "version": __version__,
        "model": millstream.model.name,
        "quoting": millstream.model.quotes,
        "answers": answers_json(millstream),
        "options": bounds_json(millstream.settings),
        "prompts_shown": millstream.settings.show_prompts,
        "documents": msgspec.to_builtins(await millstream.library.progress(owner)),
        "examples": await example_questions(millstream.library.catalogue, owner),
        "embedding": msgspec.to_builtins(millstream.backfill.progress),
        "recordings": [msgspec.to_builtins(recording) for recording in SHIPPED],
    }
    return Response(encode_json(body), 200, {"Cache-Control": "no-store"}, "application/json")


def answers_json(millstream: "Millstream") -> list[dict[str, Any]]:
    """The answers that a person can choose among, the default one first.

    A recording is asked for by its own name, and without a model there is nothing to chat with.
    """
    offered = dict(millstream.offered)
    hidden = {"recording", *(["chat"] if millstream.model.quotes else [])}
    default = offered.pop("default")
    named = {name: answer for name, answer in offered.items() if name not in hidden or name in millstream.answers}
    if default not in named.values():
        named["default"] = default
    listed = [{"name": name, "label": answer.label, "default": answer is default} for name, answer in named.items()]
    return sorted(listed, key=lambda answer: (not answer["default"], answer["label"]))


routes: list[BaseRoute] = [Route("/api/status", status, methods=["GET"])]
