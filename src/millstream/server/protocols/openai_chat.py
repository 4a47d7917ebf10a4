"""OpenAI Chat Completions: `/v1/chat/completions` and `/v1/models`."""

import math
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from millstream.errors import MillstreamError
from millstream.events import encode_json
from millstream.request import RunRequest, request_from
from millstream.server.app_of import millstream_of
from millstream.server.protocols.answering import RunAnswer, start_run
from millstream.server.protocols.endpoint import read_json, route
from millstream.server.settings import Settings
from millstream.wire.openai_chat import OpenAIChatEncoder


def refuse(error: MillstreamError) -> Response:
    """`{"error": {message, type, param, code}}` with the status."""
    kind = "invalid_request_error" if error.status < 500 else "server_error"
    body = {"error": {"message": error.message, "type": kind, "param": None, "code": error.code}}
    headers = {"Cache-Control": "no-store"}
    if (wait := getattr(error, "retry_after", None)) is not None:
        headers["Retry-After"] = str(math.ceil(wait))
    return Response(encode_json(body), error.status, headers, "application/json")


async def complete(request: Request) -> ASGIApp:
    body = await read_json(request)
    stream = body.get("stream") is True
    run_id = await start_run(request, _asked(request, body), resumable=False, stream=stream)
    include_usage = bool((body.get("stream_options") or {}).get("include_usage"))
    return RunAnswer(run_id, OpenAIChatEncoder(include_usage=include_usage), refuse, stream=stream)


def _asked(request: Request, body: dict[str, Any]) -> RunRequest:
    model = body.get("model")
    messages = [{"role": each["role"], "content": each["content"]} for each in body.get("messages") or ()]
    answer = {"answer": model} if model in millstream_of(request).offered else {}
    return request_from({"messages": messages, **answer})


async def list_models(request: Request) -> ASGIApp:
    models = [
        {"id": name, "object": "model", "created": 0, "owned_by": "millstream"}
        for name in millstream_of(request).offered
    ]
    return Response(encode_json({"object": "list", "data": models}), 200, media_type="application/json")


def routes(prefix: str, settings: Settings) -> list[BaseRoute]:
    return [
        route(f"{prefix}/v1/chat/completions", refuse, POST=complete),
        route(f"{prefix}/v1/models", refuse, GET=list_models),
    ]
