"""Conversations over HTTP: list, search, open, rename, choose a branch, export, delete, restore, rate."""

import re
import time
from typing import Any, Literal, TypeVar
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from millstream.conversations import LIST_LIMIT, ConversationHead, Feedback, Place, StoredMessage
from millstream.conversations.export import as_markdown
from millstream.conversations.match import WORD
from millstream.errors import InputError, NotFound
from millstream.events import encode_json
from millstream.json_body import decode_body
from millstream.server.app_of import millstream_of
from millstream.server.identity import owner_of
from millstream.server.routes.runs import read_body

MAX_TITLE_CHARACTERS = 200
MAX_SEARCH_CHARACTERS = 200
MAX_COMMENT_CHARACTERS = 2000

MAX_NAME_CHARACTERS = 80  # of an exported file

_NO_NAME = re.compile(r"[\x00-\x1f\x7f/\\:*?\"<>|]+")  # what some file system does not have in a name
_PLACE = re.compile(r"(\d{1,15})\.([A-Za-z0-9_-]{1,64})\Z", re.ASCII)

T = TypeVar("T")


class ChangeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    title: str | None = None
    chosen_id: str | None = None


class FeedbackRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    rating: Literal["up", "down"]
    comment: str = ""


def head_json(head: ConversationHead) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(head)
    return found


def message_json(message: StoredMessage) -> dict[str, Any]:
    found: dict[str, Any] = {
        "message_id": message.message_id,
        "role": message.role,
        "created": message.created,
    }
    if message.parent_id is not None:
        found["parent_id"] = message.parent_id
    if message.role == "user":
        found["content"] = message.content
    elif message.snapshot is not None:
        found["run"] = message.snapshot
    if message.feedback is not None:
        found["feedback"] = message.feedback
    return found


async def list_conversations(request: Request) -> Response:
    millstream = millstream_of(request)
    owner = await owner_of(request, millstream.identify)
    limit = _limit(request)
    after = _place(request)
    query = request.query_params.get("q")
    conversations = millstream.supervisor.conversations
    if query is None:
        heads = await conversations.list(owner, limit=limit, after=after)
        found = [head_json(head) for head in heads]
    else:
        if len(query) > MAX_SEARCH_CHARACTERS:
            raise InputError(f"`q` is longer than {MAX_SEARCH_CHARACTERS} characters.")
        await millstream.supervisor.settle()
        matches = await conversations.search(owner, WORD.findall(query), limit=limit, after=after)
        heads = [head for head, _ in matches]
        found = [{**head_json(head), "match": match} for head, match in matches]
    body: dict[str, Any] = {"conversations": found}
    if len(found) == limit:
        body["next"] = "{}.{}".format(*heads[-1].place)
    return _json(body)


async def open_conversation(request: Request) -> Response:
    millstream = millstream_of(request)
    owner = await owner_of(request, millstream.identify)
    head, messages = await millstream.supervisor.conversation(owner, request.path_params["conversation_id"])
    return _json({**head_json(head), "messages": [message_json(message) for message in messages]})


async def change_conversation(request: Request) -> Response:
    millstream = millstream_of(request)
    change = await _body(request, ChangeRequest)
    owner = await owner_of(request, millstream.identify)
    conversation_id = request.path_params["conversation_id"]
    conversations = millstream.supervisor.conversations
    body = {"conversation_id": conversation_id}
    if change.title is None and change.chosen_id is None:
        raise InputError("Give `title` or `chosen_id`.")
    if change.title is not None:
        body["title"] = title = change.title.strip()
        if not 1 <= len(title) <= MAX_TITLE_CHARACTERS:
            raise InputError(f"`title` must be 1 to {MAX_TITLE_CHARACTERS} characters.")
        if not await conversations.rename(owner, conversation_id, title):
            raise _no_conversation()
    if change.chosen_id is not None:
        body["chosen_id"] = change.chosen_id
        if not await conversations.choose(owner, conversation_id, change.chosen_id):
            raise NotFound("There is no such message in such a conversation.", code="no-message")
    return _json(body)


async def delete_conversation(request: Request) -> Response:
    millstream = millstream_of(request)
    owner = await owner_of(request, millstream.identify)
    await millstream.supervisor.delete_conversation(owner, request.path_params["conversation_id"])
    return Response(status_code=204)


async def restore_conversation(request: Request) -> Response:
    millstream = millstream_of(request)
    owner = await owner_of(request, millstream.identify)
    conversation_id = request.path_params["conversation_id"]
    await millstream.supervisor.conversations.restore(owner, conversation_id)
    # A second click on "undo" is no error.
    head, _ = await millstream.supervisor.conversation(owner, conversation_id)
    return _json(head_json(head))


async def export_conversation(request: Request) -> Response:
    millstream = millstream_of(request)
    form = request.query_params.get("format", "markdown")
    if form not in ("markdown", "json"):
        raise InputError("`format` must be `markdown` or `json`.")
    owner = await owner_of(request, millstream.identify)
    head, messages = await millstream.supervisor.conversation(owner, request.path_params["conversation_id"])
    if form == "markdown":
        response = Response(as_markdown(head, messages), media_type="text/markdown")
        response.headers["Cache-Control"] = "no-store"
    else:
        response = _json({**head_json(head), "messages": [message_json(message) for message in messages]})
    name = " ".join(_NO_NAME.sub(" ", head.title).split())[:MAX_NAME_CHARACTERS].strip(" .") or "conversation"
    ending = "md" if form == "markdown" else "json"
    plain = f'filename="conversation.{ending}"'  # for clients that do not know the other form (RFC 6266, section 4.3)
    response.headers["Content-Disposition"] = (
        f"attachment; {plain}; filename*=UTF-8''{quote(f'{name}.{ending}', safe='')}"
    )
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


async def rate(request: Request) -> Response:
    asked = await _body(request, FeedbackRequest)
    comment = asked.comment.strip()
    if len(comment) > MAX_COMMENT_CHARACTERS:
        raise InputError(f"`comment` is longer than {MAX_COMMENT_CHARACTERS} characters.")
    feedback = Feedback(asked.rating, int(time.time() * 1000), comment or None)
    await _rate(request, feedback)
    return _json(feedback)


async def unrate(request: Request) -> Response:
    await _rate(request, None)
    return Response(status_code=204)


async def _rate(request: Request, feedback: Feedback | None) -> None:
    millstream = millstream_of(request)
    owner = await owner_of(request, millstream.identify)
    if not await millstream.supervisor.conversations.rate(owner, request.path_params["message_id"], feedback):
        raise NotFound("There is no such answer.", code="no-message")


async def _body(request: Request, kind: type[T]) -> T:
    body = await read_body(request, millstream_of(request).settings.max_body_bytes)
    return decode_body(body, msgspec.json.Decoder(kind))


def _limit(request: Request) -> int:
    text = request.query_params.get("limit", str(LIST_LIMIT))
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and int(text)):
        raise InputError("`limit` must be a whole number, 1 or more.")
    return min(int(text), LIST_LIMIT)


def _place(request: Request) -> Place | None:
    text = request.query_params.get("after")
    if text is None:
        return None
    match = _PLACE.match(text)
    if match is None:
        raise InputError("`after` must be the `next` of the part of the list before it.")
    return Place(int(match[1]), match[2])


def _no_conversation() -> NotFound:
    return NotFound("There is no such conversation.", code="no-conversation")


def _json(body: Any) -> Response:
    return Response(encode_json(body), 200, {"Cache-Control": "no-store"}, "application/json")


routes: list[BaseRoute] = [
    Route("/api/conversations", list_conversations, methods=["GET"]),
    Route("/api/conversations/{conversation_id}", open_conversation, methods=["GET"]),
    Route("/api/conversations/{conversation_id}", change_conversation, methods=["PATCH"]),
    Route("/api/conversations/{conversation_id}", delete_conversation, methods=["DELETE"]),
    Route("/api/conversations/{conversation_id}/export", export_conversation, methods=["GET"]),
    Route("/api/conversations/{conversation_id}/restore", restore_conversation, methods=["POST"]),
    Route("/api/messages/{message_id}/feedback", rate, methods=["PUT"]),
    Route("/api/messages/{message_id}/feedback", unrate, methods=["DELETE"]),
]
