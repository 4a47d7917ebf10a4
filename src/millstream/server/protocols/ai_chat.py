"""Microsoft's AI Chat Protocol, with what azure-search-openai-demo adds to it: `/chat` and `/chat/stream`."""

import hashlib
import math
from typing import Any, Literal, get_args

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from millstream.errors import InputError, MillstreamError
from millstream.events import encode_json
from millstream.models import ReasoningEffort
from millstream.request import RunRequest, request_from
from millstream.server.app_of import millstream_of
from millstream.server.identity import owner_of
from millstream.server.protocols.answering import RunAnswer, start_run
from millstream.server.protocols.endpoint import Refuse, read_json, route
from millstream.server.settings import Settings
from millstream.wire.ai_chat import AIChatEncoder

# Azure's name for what makes a retried request known as the same one.
REQUEST_ID = "x-ms-client-request-id"


class Overrides(msgspec.Struct):
    """What the demo lets a person choose, as far as there is such a choice here."""

    top: int | None = None
    temperature: float | None = None
    reasoning_effort: str | None = None
    suggest_followup_questions: bool | None = None


class Context(msgspec.Struct):
    """`answer` is ours: which answer is asked for, where it is the name of one."""

    overrides: Overrides | None = None
    answer: Any = None


class GivenMessage(msgspec.Struct):
    role: Literal["system", "user", "assistant"]
    content: str
    files: list[Any] | None = None


class Body(msgspec.Struct):
    messages: list[GivenMessage]
    context: Context | None = None
    session_state: Any | msgspec.UnsetType = msgspec.UNSET
    sessionState: Any = None  # noqa: N815
    stream: bool | None = None

    @property
    def is_of_demo(self) -> bool:
        """Whether the demo's front end asks, or something made like it."""
        overrides = self.context.overrides if self.context is not None else None
        return overrides is not None or self.session_state is not msgspec.UNSET

    @property
    def state(self) -> Any:
        """What the client wants to have back, by either name."""
        demos = None if self.session_state is msgspec.UNSET else self.session_state
        return demos if self.sessionState is None else self.sessionState


def refuse(error: MillstreamError) -> Response:
    """`{"error": {code, message}}` with the status."""
    return _refusal(error, {"code": error.code, "message": error.message})


def refuse_as_text(error: MillstreamError) -> Response:
    """`{"error": "…"}` with the status: the demo's front end shows an object as `[object Object]`."""
    return _refusal(error, error.message)


def _refusal(error: MillstreamError, what: str | dict[str, str]) -> Response:
    headers = {"Cache-Control": "no-store"}
    if (wait := getattr(error, "retry_after", None)) is not None:
        headers["Retry-After"] = str(math.ceil(wait))
    return Response(encode_json({"error": what}), error.status, headers, "application/json")


async def complete(request: Request) -> ASGIApp:
    """Whole, unless the body says `stream`: older versions of the demo do."""
    body = _checked(await read_json(request))
    return await _answer(request, body, stream=body.stream is True)


async def stream(request: Request) -> ASGIApp:
    return await _answer(request, _checked(await read_json(request)), stream=True)


async def _answer(request: Request, body: Body, *, stream: bool) -> ASGIApp:
    refusing: Refuse = refuse_as_text if body.is_of_demo else refuse
    try:
        asked = await _identified(request, _asked(request, body))
        run_id = await start_run(request, asked, resumable=asked.run_id is not None, stream=stream)
    except MillstreamError as error:
        return refusing(error)
    overrides = body.context.overrides if body.context is not None else None
    encoder = AIChatEncoder(
        session_state=body.state,
        errors_as_text=body.is_of_demo,
        followups=overrides is None or overrides.suggest_followup_questions is not False,
    )
    return RunAnswer(run_id, encoder, refusing, stream=stream)


def _checked(value: dict[str, Any]) -> Body:
    try:
        return msgspec.convert(value, Body)
    except msgspec.ValidationError as error:
        raise InputError(f"The request is not valid: {error}.") from error


def _asked(request: Request, body: Body) -> RunRequest:
    if any(message.files for message in body.messages):
        raise InputError(
            "Send files as multipart/form-data: the request as part `json`, files as `messages[0].files[0]`."
        )
    asked: dict[str, Any] = {"messages": [{"role": each.role, "content": each.content} for each in body.messages]}
    context = body.context or Context()
    overrides = context.overrides or Overrides()
    if isinstance(context.answer, str) and context.answer in millstream_of(request).offered:
        asked["answer"] = context.answer
    effort = overrides.reasoning_effort if overrides.reasoning_effort in get_args(ReasoningEffort) else None
    options = {"sources": overrides.top, "temperature": overrides.temperature, "reasoning_effort": effort}
    return request_from({**asked, "options": {name: value for name, value in options.items() if value is not None}})


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
