"""AG-UI: `/ag-ui` takes a RunAgentInput and streams its events."""

from typing import Any

from ag_ui.core import (
    AssistantMessage,
    ContentPart,
    DeveloperMessage,
    DocumentPart,
    FileSource,
    RunAgentInput,
    RunErrorEvent,
    SystemMessage,
    TextPart,
    UserMessage,
)
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from millstream.errors import InputError, MillstreamError
from millstream.request import RunRequest, request_from
from millstream.server.app_of import millstream_of
from millstream.server.protocols.answering import RunAnswer, start_run
from millstream.server.protocols.endpoint import read_json, refusal_headers, route
from millstream.server.settings import Settings
from millstream.wire.ag_ui import AgUiEncoder, knows_1_0

OWNS = ("/ag-ui",)


def refuse(error: MillstreamError) -> Response:
    """The protocol has no body for a refusal: it is the RUN_ERROR that the run would have ended with."""
    body = RunErrorEvent(message=error.message, code=error.code).model_dump_json(by_alias=True)
    return Response(body, error.status, refusal_headers(error), "application/json")


async def answer(request: Request) -> ASGIApp:
    body = await read_json(request)
    try:
        asked = RunAgentInput.model_validate(body)
    except ValidationError as error:
        raise InputError(f"The request is not valid: {_first(error)}.") from error
    run_id = await start_run(request, _run_request(request, asked), resumable=False, stream=True)
    encoder = AgUiEncoder(asked.thread_id, asked.run_id, modern=knows_1_0(asked.protocol_version))
    return RunAnswer(run_id, encoder, refuse, stream=True)


def _run_request(request: Request, asked: RunAgentInput) -> RunRequest:
    if asked.resume:
        raise InputError("`resume` answers interrupts, and there are none here; ask again without it.")
    wanted: dict[str, Any] = {"messages": _messages(asked)}
    ours = asked.forwarded_props.get("millstream") if isinstance(asked.forwarded_props, dict) else None
    if ours is not None:
        if not isinstance(ours, dict):
            raise InputError('`forwardedProps.millstream` must be an object: {"answer": …, "options": {…}}.')
        if "options" in ours:
            wanted["options"] = ours["options"]
        if ours.get("answer") in list(millstream_of(request).offered):
            wanted["answer"] = ours["answer"]
    return request_from(wanted)


def _messages(asked: RunAgentInput) -> list[dict[str, Any]]:
    """The words of the conversation; what a client keeps of our own activities, reasoning and tools is left out."""
    messages: list[dict[str, Any]] = []
    if asked.context:
        told = "\n\n".join(f"{one.description}:\n{one.value}" for one in asked.context)
        messages.append({"role": "system", "content": told})
    for message in asked.messages:
        if isinstance(message, UserMessage):
            content = message.content
            messages.append(
                {"role": "user", "content": content if isinstance(content, str) else [_part(part) for part in content]}
            )
        elif isinstance(message, SystemMessage | DeveloperMessage):
            messages.append({"role": "system", "content": message.content})
        elif isinstance(message, AssistantMessage) and message.content:
            messages.append({"role": "assistant", "content": message.content})
    return messages


def _part(part: ContentPart) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    if isinstance(part, DocumentPart) and isinstance(part.source, FileSource):
        metadata = part.metadata if isinstance(part.metadata, dict) else {}
        name = metadata.get("filename") or part.source.value
        return {"type": "file", "document_id": part.source.value, "name": name}
    raise InputError(
        f"A part of type `{part.type}` cannot be read here: send text, or upload a document (POST /api/documents) and "
        'name it in a part `document` by its document_id, {"type": "file", "value": document_id}.'
    )


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).lstrip(".")
    return f"`{place}`: {first['msg']}" if place else first["msg"]


def routes(prefix: str, settings: Settings) -> list[BaseRoute]:
    return [route(f"{prefix}/ag-ui", refuse, POST=answer)]
