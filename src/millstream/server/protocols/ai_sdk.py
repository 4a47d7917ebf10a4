"""Vercel AI SDK: `/api/chat`, what `useChat` calls by default, with the stream to come back to and a stop."""

from collections.abc import Callable, Container
from contextlib import suppress
from typing import Any, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from millstream.errors import Gone, InputError, MillstreamError, NotFound
from millstream.request import RunOptions, RunRequest, request_from
from millstream.server.app_of import millstream_of
from millstream.server.identity import owner_of
from millstream.server.protocols.address import address_of
from millstream.server.protocols.answering import RunAnswer, start_run
from millstream.server.protocols.endpoint import read_json, refusal_headers, route
from millstream.server.settings import Settings
from millstream.wire.ai_sdk import AiSdkEncoder

OWNS = ("/api/chat",)
STREAM_HEADER = {"x-vercel-ai-ui-message-stream": "v1"}
MAX_CHAT_ID = 256
# Chats whose answer's end nobody has had; beyond it the oldest can no longer be come back to.
MAX_CHATS = 10_000


def refuse(error: MillstreamError) -> Response:
    """The sentence as plain text with the status: the SDK shows the raw body to its user."""
    return PlainTextResponse(error.message, error.status, refusal_headers(error))


class Chats:
    """The newest run of each chat of an owner, until a client has had its end: what a client can come back to.

    Known to this process alone.
    """

    def __init__(self, version: int) -> None:
        self._version = version
        self._runs: dict[tuple[str, str], str] = {}

    async def send(self, request: Request) -> ASGIApp:
        """A message was submitted, or an answer is to be made again: the messages say all of it."""
        body = await read_json(request)
        chat_id, asked = read_chat(body, millstream_of(request).offered)
        run_id = await start_run(request, asked, resumable=chat_id is not None, stream=True)
        if chat_id is None:
            return self._answer(request, run_id)
        chat = await _owner(request), chat_id
        before = self._runs.pop(chat, None)
        self._runs[chat] = run_id
        if before is not None:  # who asks again has left that answer, and could not come back to it
            with suppress(NotFound):
                await millstream_of(request).supervisor.stop(before, chat[0])
        while len(self._runs) > MAX_CHATS:
            del self._runs[next(iter(self._runs))]
        return _Told(self._answer(request, run_id), lambda: self._forget(chat, run_id))

    async def resume(self, request: Request) -> ASGIApp:
        """The answer from its beginning; 204 when the chat has none in the making."""
        owner = await _owner(request)
        chat = owner, request.path_params["id"]
        run_id = self._runs.get(chat)
        if run_id is None:
            return Response(status_code=204)
        try:
            await millstream_of(request).supervisor.check(run_id, owner, 0)
        except (NotFound, Gone):
            self._forget(chat, run_id)
            return Response(status_code=204)
        # The SDK shows nothing of it before the head is there.
        answer = self._answer(request, run_id, withhold=False)
        return answer if request.method == "HEAD" else _Told(answer, lambda: self._forget(chat, run_id))

    async def stop(self, request: Request) -> ASGIApp:
        """Stops the chat's answer, if one is in the making: the SDK's own stop only leaves."""
        owner = await _owner(request)
        chat = owner, request.path_params["id"]
        run_id = self._runs.get(chat)
        if run_id is not None:
            with suppress(NotFound):  # its events are no longer kept
                await millstream_of(request).supervisor.stop(run_id, owner)
            self._forget(chat, run_id)
        return Response(status_code=204)

    def _answer(self, request: Request, run_id: str, *, withhold: bool = True) -> RunAnswer:
        encoder = AiSdkEncoder(address_of(request), self._version)
        return RunAnswer(run_id, encoder, refuse, stream=True, headers=STREAM_HEADER, withhold=withhold)

    def _forget(self, chat: tuple[str, str], run_id: str) -> None:
        if self._runs.get(chat) == run_id:
            del self._runs[chat]


class _Told:
    """Sends an answer, and calls `told` when a client that is still there has had all of it."""

    def __init__(self, answer: RunAnswer, told: Callable[[], None]) -> None:
        self._answer = answer
        self._told = told

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                self._told()

        await self._answer(scope, receive, sending)


class _UIMessage(msgspec.Struct, frozen=True):
    role: Literal["system", "user", "assistant"]
    parts: list[dict[str, Any]]


class _Body(msgspec.Struct, frozen=True):
    """What the SDK sends and what we read of an application's extra fields; all others are passed over."""

    messages: list[_UIMessage]
    id: str | None = None
    model: Any = None
    options: RunOptions = RunOptions()


def read_chat(body: dict[str, Any], answers: Container[str]) -> tuple[str | None, RunRequest]:
    """The chat's id, if there is one, and the run that is asked for. `answers` are the names to choose from.

    Raises InputError.
    """
    try:
        chat = msgspec.convert(body, _Body)
    except msgspec.ValidationError as error:
        raise InputError(f"The request is not valid: {error}.") from error
    if chat.id is not None and len(chat.id) > MAX_CHAT_ID:
        raise InputError(f"The chat's `id` is longer than {MAX_CHAT_ID} characters.")
    said = [{"role": message.role, "content": _text(message)} for message in chat.messages]
    # An answer that failed before its first word is no part of the conversation; some providers refuse an empty one.
    messages = [each for each in said if each["role"] == "user" or each["content"]]
    answer = {"answer": chat.model} if isinstance(chat.model, str) and chat.model in answers else {}
    return chat.id or None, request_from({"messages": messages, "options": chat.options, **answer})


def _text(message: _UIMessage) -> str:
    """The words of a message; of an answer of ours without the marks that we had put in."""
    texts: list[str] = []
    marks: list[tuple[int, int, int]] = []
    for part in message.parts:
        match part:
            case {"type": "text", "text": str(text)}:
                texts.append(text)
            case {"type": "text"}:
                raise InputError("A part of type `text` has no `text`.")
            case {"type": "file"} if message.role == "user":
                raise InputError(
                    "A file cannot be sent with a message here. Add it to the documents (POST /api/documents) and ask."
                )
            case {"type": "data-citation", "data": {"part": int(number), "mark": int(at), "n": int(n)}}:
                marks.append((number, at, n))
    if message.role != "assistant":
        return "\n\n".join(texts)
    for number, at, n in sorted(marks, reverse=True):
        if 0 <= number < len(texts):
            texts[number] = _without_mark(texts[number], at, f"[{n}]")
    return "".join(texts)


def _without_mark(text: str, at: int, mark: str) -> str:
    """`text` without the mark at UTF-16 index `at`, if it is still there."""
    units = text.encode("utf-16-le", "surrogatepass")
    begin, end = 2 * at, 2 * (at + len(mark))
    if at < 0 or units[begin:end] != mark.encode("utf-16-le"):
        return text
    return (units[:begin] + units[end:]).decode("utf-16-le", "surrogatepass")


async def _owner(request: Request) -> str:
    return await owner_of(request, millstream_of(request).identify)


def routes(prefix: str, settings: Settings) -> list[BaseRoute]:
    chats = Chats(settings.ai_sdk_version)
    return [
        route(f"{prefix}/api/chat", refuse, POST=chats.send),
        route(f"{prefix}/api/chat/{{id:path}}/stream", refuse, GET=chats.resume),
        route(f"{prefix}/api/chat/{{id:path}}/stop", refuse, POST=chats.stop),
    ]
