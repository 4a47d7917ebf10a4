"""Microsoft's AI Chat Protocol, with what azure-search-openai-demo adds to it: `/chat` and `/chat/stream`."""

import hashlib

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from millstream.errors import MillstreamError
from millstream.events import encode_json
from millstream.request import RunRequest
from millstream.server.app_of import millstream_of
from millstream.server.identity import owner_of
from millstream.server.protocols.address import address_of
from millstream.server.protocols.ai_chat_request import DemoInputError, received, run_request, with_files
from millstream.server.protocols.answering import RunAnswer, start_run
from millstream.server.protocols.endpoint import Refuse, refusal_headers, route
from millstream.server.settings import Settings
from millstream.wire.ai_chat import AIChatEncoder

OWNS = ("/chat",)

# Azure's name for what makes a retried request known as the same one.
REQUEST_ID = "x-ms-client-request-id"


def refuse(error: MillstreamError) -> Response:
    """`{"error": {code, message}}` with the status."""
    if isinstance(error, DemoInputError):
        return refuse_as_text(error)
    return _refusal(error, {"code": error.code, "message": error.message})


def refuse_as_text(error: MillstreamError) -> Response:
    """`{"error": "…"}` with the status: the demo's front end shows an object as `[object Object]`."""
    return _refusal(error, error.message)


def _refusal(error: MillstreamError, what: str | dict[str, str]) -> Response:
    return Response(encode_json({"error": what}), error.status, refusal_headers(error), "application/json")


async def complete(request: Request) -> ASGIApp:
    """Whole, unless the body says `stream`: older versions of the demo do."""
    return await _answer(request, streamed=False)


async def stream(request: Request) -> ASGIApp:
    return await _answer(request, streamed=True)


async def _answer(request: Request, *, streamed: bool) -> ASGIApp:
    async with received(request) as (body, files):
        refusing: Refuse = refuse_as_text if body.is_of_demo else refuse
        streamed = streamed or body.stream is True
        try:
            asked = await _identified(request, await with_files(request, run_request(request, body), files))
            run_id = await start_run(request, asked, resumable=asked.run_id is not None, stream=streamed)
        except MillstreamError as error:
            return refusing(error)
    encoder = AIChatEncoder(
        base=address_of(request),
        session_state=body.state,
        errors_as_text=body.is_of_demo,
        followups=body.wants_followups,
    )
    return RunAnswer(run_id, encoder, refusing, stream=streamed)


async def _identified(request: Request, asked: RunRequest) -> RunRequest:
    """With the run id that a retry of the same request has too, if the client says which request this is."""
    request_id = request.headers.get(REQUEST_ID, "").strip()
    if not request_id:
        return asked
    owner = await owner_of(request, millstream_of(request).identify)
    same = encode_json([owner, request_id, asked.fingerprint()])
    return msgspec.structs.replace(asked, run_id=hashlib.sha256(same).hexdigest()[:32])


def routes(prefix: str, settings: Settings) -> list[BaseRoute]:
    return [
        route(f"{prefix}/chat", refuse, POST=complete),
        route(f"{prefix}/chat/stream", refuse, POST=stream),
    ]
