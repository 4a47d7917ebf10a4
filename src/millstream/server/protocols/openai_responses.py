"""OpenAI Responses: `/v1/responses`. A response is a run, and to come back to it is to read its log again."""

import re

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from millstream.errors import CursorAhead, Gone, NotFound
from millstream.events import RunFailed
from millstream.server.app_of import millstream_of
from millstream.server.identity import owner_of
from millstream.server.protocols.answering import RunAnswer, start_run
from millstream.server.protocols.endpoint import read_json, route
from millstream.server.protocols.openai_refusal import InvalidParameter, as_json, refuse
from millstream.server.protocols.openai_responses_request import responses_request, run_request
from millstream.server.settings import Settings
from millstream.wire.openai_responses import RESPONSE_ID, OpenAIResponsesEncoder

OWNS = ("/v1", "/openai")
_NUMBER = re.compile(r"[0-9]{1,15}\Z")


async def create(request: Request) -> ASGIApp:
    millstream = millstream_of(request)
    asked = responses_request(await read_json(request))
    follows = None
    if asked.previous_response_id is not None:
        follows, _ = await _find(request, asked.previous_response_id)
    run = run_request(asked, follows, millstream.offered, millstream.settings)
    stream, background = bool(asked.stream), bool(asked.background)
    # Whoever waits for the whole answer does not know its id, and cannot come back to it.
    resumable = asked.stored and stream
    run_id = await start_run(request, run, resumable=resumable, stream=stream, background=background)
    if background and not stream:
        return await _whole(request, run_id)
    encoder = OpenAIResponsesEncoder(resumable=resumable)
    answer = RunAnswer(run_id, encoder, refuse, stream=stream, headers={"x-request-id": run_id})
    return answer if asked.stored else _Unstored(answer, run_id)


async def retrieve(request: Request) -> ASGIApp:
    """The response as it stands, or with `stream=true` its frames behind the one numbered `starting_after`."""
    run_id, owner = await _find(request, request.path_params["response_id"])
    if request.query_params.get("stream") != "true":
        return await _whole(request, run_id)
    supervisor = millstream_of(request).supervisor
    starting_after = _starting_after(request)
    record = await supervisor.log.get(run_id)
    if record is None or record.pruned:
        if starting_after >= 0:
            raise Gone("The events of this response are no longer kept; retrieve it without `starting_after`.")
        encoder = OpenAIResponsesEncoder()
        frames = [encoder.encode(event) async for event in supervisor.events(run_id, owner)]
        return Response(b"".join(frames), 200, media_type=encoder.media_type)
    if starting_after >= 0:
        await _check_history(request, run_id, owner, starting_after)
    encoder = OpenAIResponsesEncoder(resumable=True, starting_after=starting_after)
    return RunAnswer(run_id, encoder, refuse, stream=True, withhold=False)


async def cancel(request: Request) -> ASGIApp:
    run_id, owner = await _find(request, request.path_params["response_id"])
    await millstream_of(request).supervisor.stop(run_id, owner)
    return await _whole(request, run_id)


async def delete(request: Request) -> ASGIApp:
    run_id, owner = await _find(request, request.path_params["response_id"])
    await millstream_of(request).supervisor.delete_answer(owner, run_id)
    return as_json({"id": RESPONSE_ID + run_id, "object": "response", "deleted": True})


class _Unstored:
    """Sends an answer that is not to be stored, and forgets it when it is sent, or its client is gone."""

    def __init__(self, answer: RunAnswer, run_id: str) -> None:
        self._answer = answer
        self._run_id = run_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        millstream = millstream_of(request)
        try:
            await self._answer(scope, receive, send)
        finally:
            await millstream.supervisor.delete_answer(await owner_of(request, millstream.identify), self._run_id)


async def _find(request: Request, response_id: str) -> tuple[str, str]:
    """The run of a stored response, and its owner. Raises NotFound."""
    millstream = millstream_of(request)
    owner = await owner_of(request, millstream.identify)
    run_id = response_id.removeprefix(RESPONSE_ID)
    message = await millstream.supervisor.conversations.message_of_run(run_id)
    # What an answer without a parent was asked is not kept: it belongs to a protocol that brings its own history.
    if run_id == response_id or message is None or message.owner != owner or message.parent_id is None:
        raise NotFound(f"There is no response {response_id}; only what is stored can be found.", code="no-response")
    return run_id, owner


async def _whole(request: Request, run_id: str) -> Response:
    """The response as it stands."""
    millstream = millstream_of(request)
    owner = await owner_of(request, millstream.identify)
    encoder = OpenAIResponsesEncoder()
    async for event in millstream.supervisor.events(run_id, owner):
        encoder.encode(event)
    return as_json(encoder.whole())


async def _check_history(request: Request, run_id: str, owner: str, starting_after: int) -> None:
    """Raises CursorAhead when the client has had frames that there are not: lost with the server that sent them."""
    encoder = OpenAIResponsesEncoder()
    async for event in millstream_of(request).supervisor.events(run_id, owner):
        if isinstance(event, RunFailed) and event.durable_seq is not None:
            break
        encoder.encode(event)
    if starting_after >= encoder.next_number:
        raise CursorAhead(
            f"There are no frames up to {starting_after} (any more); begin again without `starting_after`."
        )


def _starting_after(request: Request) -> int:
    """-1 where there is none: the numbers begin with 0."""
    given = request.query_params.get("starting_after")
    if given is None:
        return -1
    if not _NUMBER.match(given):
        raise InvalidParameter("`starting_after` must be the `sequence_number` that you had last.", "starting_after")
    return int(given)


def routes(prefix: str, settings: Settings) -> list[BaseRoute]:
    found: list[BaseRoute] = []
    for base in (f"{prefix}/v1/responses", f"{prefix}/openai/v1/responses", f"{prefix}/openai/responses"):
        found += [
            route(base, refuse, POST=create),
            route(f"{base}/{{response_id}}", refuse, GET=retrieve, DELETE=delete),
            route(f"{base}/{{response_id}}/cancel", refuse, POST=cancel),
        ]
    return found
