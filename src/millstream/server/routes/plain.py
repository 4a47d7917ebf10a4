"""Asking without JavaScript: a form posts, and the answer is a page."""

import asyncio
import contextlib
from collections.abc import Sequence
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from millstream.conversations import ConversationHead, StoredMessage
from millstream.documents.examples import example_questions
from millstream.errors import InputError, MillstreamError, NotFound
from millstream.follower import Cut
from millstream.request import request_from
from millstream.server.app_of import millstream_of
from millstream.server.bounds import within_bounds
from millstream.server.identity import owner_of
from millstream.server.plain import (
    WINDOW,
    conversation_address,
    conversation_page,
    passage_page,
    passage_start,
    quoted_page,
    refusal_page,
    start_page,
)
from millstream.server.routes.runs import read_body
from millstream.server.routes.status import answers_json
from millstream.supervisor import Supervisor

# Most answers are whole by then; of a longer one the page shows what there is, and looks again by itself.
WAIT_S = 10.0
LISTED = 20
_MAX_FIELDS = 20
_FIELDS = ("question", "conversation_id", "parent_id", "continues", "run_id", "answer")


async def show(request: Request) -> Response:
    millstream = millstream_of(request)
    try:
        owner = await owner_of(request, millstream.identify)
        conversation_id = request.query_params.get("conversation_id")
        if conversation_id is not None:
            wait_s = 0 if request.method == "HEAD" else WAIT_S
            head, messages = await _answered(millstream.supervisor, owner, conversation_id, wait_s)
            chosen_id = request.query_params.get("message_id", head.chosen_id)
            head = msgspec.structs.replace(head, chosen_id=chosen_id)
            return await asyncio.to_thread(conversation_page, head, messages, answers_json(millstream))
        heads = await millstream.supervisor.conversations.list(owner, limit=LISTED)
        assert millstream.library is not None
        examples = await example_questions(millstream.library.catalogue, owner)
        return start_page(heads, examples, answers_json(millstream), quoting=millstream.model.quotes)
    except MillstreamError as error:
        return refusal_page(error.status, error.message, "", {})


async def ask(request: Request) -> Response:
    """Starts a run, or stops one, and leads to its conversation: a page that can be loaded again."""
    millstream = millstream_of(request)
    fields: dict[str, str] = {}
    try:
        fields = await _fields(request, millstream.settings.max_body_bytes)
        owner = await owner_of(request, millstream.identify)
        supervisor = millstream.supervisor
        if "stop" in fields:
            conversation_id = (await supervisor.stop(fields["stop"], owner)).conversation_id
        else:
            asked = request_from({name: fields[name] for name in _FIELDS if name in fields})
            asked = within_bounds(asked, millstream.settings)
            # Whoever asked comes back to look: that nobody reads meanwhile is no reason to stop.
            run_id, _ = await supervisor.start(asked, owner, when_unread="finish", paced=False)
            conversation_id = (await supervisor.snapshot(run_id, owner)).conversation_id
        return RedirectResponse(conversation_address(conversation_id), 303, {"Cache-Control": "no-store"})
    except MillstreamError as error:
        kept = {name: value for name, value in fields.items() if name in ("conversation_id", "parent_id")}
        return refusal_page(error.status, error.message, fields.get("question", ""), kept)


async def passage(request: Request) -> Response:
    millstream = millstream_of(request)
    assert millstream.library is not None
    try:
        owner = await owner_of(request, millstream.identify)
        if run_id := request.query_params.get("run_id"):
            answer = (await millstream.supervisor.snapshot(run_id, owner)).message
            n = _number(request, "n", 0)
            if (source := next((source for source in answer.sources if source.n == n), None)) is None:
                raise NotFound(f"That answer has no source {n}.")
            return quoted_page(source)
        start, end = _number(request, "start", 0), _number(request, "end", 0)
        begin = _number(request, "from", passage_start(start))
        document_id = request.query_params.get("document_id", "")
        opened = await millstream.library.catalogue.open(document_id, owner, begin, begin + WINDOW)
        version, cited = request.query_params.get("version", ""), _number(request, "page", 0)
        return passage_page(opened, version, start, end, cited)
    except MillstreamError as error:
        return refusal_page(error.status, error.message, "", {})


async def _answered(
    supervisor: Supervisor, owner: str, conversation_id: str, wait_s: float
) -> tuple[ConversationHead, Sequence[StoredMessage]]:
    """The conversation, once its newest answer has ended or `wait_s` have passed."""
    head, messages = await supervisor.conversation(owner, conversation_id)
    snapshot = messages[-1].snapshot if messages else None
    if snapshot is None or snapshot.state != "running":
        return head, messages
    with contextlib.suppress(TimeoutError, Cut, MillstreamError):
        async with asyncio.timeout(wait_s), supervisor.follow(snapshot.run_id, owner, snapshot.seq) as follower:
            while await follower.read() is not None:
                pass
    return await supervisor.conversation(owner, conversation_id)


async def _fields(request: Request, limit: int) -> dict[str, str]:
    """The filled-in fields, and the question; each line ends with a line feed. Raises InputError, TooLarge."""
    if request.headers.get("content-type", "").split(";")[0].strip() != "application/x-www-form-urlencoded":
        error = InputError("This address takes forms. Programs ask at api/runs.")
        error.status = 415
        raise error
    body = await read_body(request, limit)
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="strict")
    except ValueError as error:
        raise InputError("The form cannot be read.") from error
    return {name: value.replace("\r\n", "\n") for name, value in pairs if value or name == "question"}


def _number(request: Request, name: str, otherwise: int) -> int:
    text = request.query_params.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 12 else otherwise


routes: list[BaseRoute] = [
    Route("/plain", show, methods=["GET"]),
    Route("/plain", ask, methods=["POST"]),
    Route("/passage", passage, methods=["GET"]),
]
