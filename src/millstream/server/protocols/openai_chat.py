"""OpenAI Chat Completions: `/v1/chat/completions` and `/v1/models`, and the same at Azure's addresses."""

from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from millstream.errors import NotFound
from millstream.server.app_of import millstream_of
from millstream.server.identity import owner_of
from millstream.server.protocols.address import address_of
from millstream.server.protocols.answering import RunAnswer, start_run
from millstream.server.protocols.endpoint import read_json, route
from millstream.server.protocols.openai_chat_request import chat_request, extras_of, run_request
from millstream.server.protocols.openai_refusal import as_json, refuse
from millstream.server.routes.status import answers_json
from millstream.server.settings import Settings
from millstream.wire.openai_chat import Dialect, OpenAIChatEncoder

OWNS = ("/v1", "/openai")
_refuse_as_azure = partial(refuse, azure=True)


async def complete(request: Request, *, azure: bool = False) -> ASGIApp:
    millstream = millstream_of(request)
    asked = chat_request(await read_json(request))
    extras = extras_of(asked, millstream.settings)
    stream = bool(asked.stream)
    answer = request.path_params["deployment"] if azure else asked.model
    asked_run = run_request(asked, answer, millstream.offered, millstream.settings)
    run_id = await start_run(request, asked_run, resumable=False, stream=stream)
    dialect: Dialect = "openai" if not azure else "on_your_data" if asked.data_sources else "azure"
    encoder = OpenAIChatEncoder(
        base_url=address_of(request),
        dialect=dialect,
        include_usage=asked.include_usage,
        extras=extras,
        keep=not stream,
    )
    headers = {"x-request-id": run_id}
    return RunAnswer(run_id, encoder, _refuse_as_azure if azure else refuse, stream=stream, headers=headers)


async def list_models(request: Request) -> ASGIApp:
    """The answers that there are to choose from, the default one first."""
    await owner_of(request, millstream_of(request).identify)
    models = [_model(answer["name"]) for answer in answers_json(millstream_of(request))]
    return as_json({"object": "list", "data": models})


async def show_model(request: Request) -> ASGIApp:
    await owner_of(request, millstream_of(request).identify)
    name = request.path_params["model"]
    if name not in millstream_of(request).offered:
        raise NotFound(
            f"There is no model {name!r}; GET /v1/models lists those that there are.", code="model_not_found"
        )
    return as_json(_model(name))


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "millstream"}


def routes(prefix: str, settings: Settings) -> list[BaseRoute]:
    found: list[BaseRoute] = []
    for base in (f"{prefix}/v1", f"{prefix}/openai/v1"):
        found += [
            route(f"{base}/chat/completions", refuse, POST=complete),
            route(f"{base}/models", refuse, GET=list_models),
            route(f"{base}/models/{{model}}", refuse, GET=show_model),
        ]
    deployment = f"{prefix}/openai/deployments/{{deployment}}/chat/completions"
    return [
        *found,
        route(deployment, _refuse_as_azure, POST=partial(complete, azure=True)),
        route(f"{prefix}/openai/models", refuse, GET=list_models),
        route(f"{prefix}/openai/models/{{model}}", refuse, GET=show_model),
    ]
