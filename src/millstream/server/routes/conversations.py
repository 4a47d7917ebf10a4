"""Conversations over HTTP: list, open, rename, delete."""

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from millstream.conversations import ConversationHead, StoredMessage
from millstream.errors import InputError, NotFound
from millstream.events import encode_json
from millstream.server.app_of import millstream_of
from millstream.server.identity import owner_of
from millstream.server.routes.runs import read_body

MAX_TITLE_CHARACTERS = 200


class RenameRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    title: str


def _head(head: ConversationHead) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(head)
    return found


def _message(message: StoredMessage) -> dict[str, Any]:
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
    return found


async def list_conversations(request: Request) -> Response:
    millstream = millstream_of(request)
    owner = await owner_of(request, millstream.identify)
    heads = await millstream.supervisor.conversations.list(owner)
    return _json({"conversations": [_head(head) for head in heads]})


async def open_conversation(request: Request) -> Response:
    millstream = millstream_of(request)
    owner = await owner_of(request, millstream.identify)
    head, messages = await millstream.supervisor.conversation(owner, request.path_params["conversation_id"])
    return _json({**_head(head), "messages": [_message(message) for message in messages]})


async def rename_conversation(request: Request) -> Response:
    millstream = millstream_of(request)
    body = await read_body(request, millstream.settings.max_body_bytes)
    try:
        title = msgspec.json.decode(body, type=RenameRequest).title.strip()
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"The request is not valid: {error}.") from error
    if not 1 <= len(title) <= MAX_TITLE_CHARACTERS:
        raise InputError(f"`title` must be 1 to {MAX_TITLE_CHARACTERS} characters.")
    owner = await owner_of(request, millstream.identify)
    conversation_id = request.path_params["conversation_id"]
    if not await millstream.supervisor.conversations.rename(owner, conversation_id, title):
        raise NotFound("There is no such conversation.", code="no-conversation")
    return _json({"conversation_id": conversation_id, "title": title})


async def delete_conversation(request: Request) -> Response:
    millstream = millstream_of(request)
    owner = await owner_of(request, millstream.identify)
    await millstream.supervisor.delete_conversation(owner, request.path_params["conversation_id"])
    return Response(status_code=204)


def _json(body: Any) -> Response:
    return Response(encode_json(body), 200, {"Cache-Control": "no-store"}, "application/json")


routes: list[BaseRoute] = [
    Route("/api/conversations", list_conversations, methods=["GET"]),
    Route("/api/conversations/{conversation_id}", open_conversation, methods=["GET"]),
    Route("/api/conversations/{conversation_id}", rename_conversation, methods=["PATCH"]),
    Route("/api/conversations/{conversation_id}", delete_conversation, methods=["DELETE"]),
]
