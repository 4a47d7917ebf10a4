"""What a client of the AI Chat Protocol asks for: JSON, or a form with it and the files of its messages."""

import asyncio
import contextlib
import mimetypes
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from hashlib import sha256
from pathlib import PurePath
from typing import Any, Literal, get_args

import msgspec
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request

from millstream.conversations import FilePart, TextPart, text_of
from millstream.errors import Conflict, InputError, TooLarge
from millstream.models import ReasoningEffort
from millstream.request import GivenMessage, RunRequest, request_from
from millstream.server.app_of import millstream_of
from millstream.server.bounds import within_bounds
from millstream.server.identity import owner_of
from millstream.server.protocols.endpoint import json_object, read_json
from millstream.server.uploading import MAX_WAIT_S, check_space, keep_files, received_form, state_of

_FILE = re.compile(r"messages\[(\d{1,4})\]\.files\[(\d{1,4})\]\Z")
_AS_FORM = "send them as multipart/form-data: the request as part `json`, files as parts `messages[0].files[0]`"

_READ_BYTES = 1 << 20

# Message → its files, in their order.
Files = Mapping[int, Sequence[UploadFile]]


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


class Message(msgspec.Struct):
    role: Literal["system", "user", "assistant"]
    content: str
    files: list[Any] | None = None


class DemoInputError(InputError):
    """What the demo's front end asks cannot be understood."""


class Body(msgspec.Struct):
    """`is_of_demo`, whatever the client says of it: the demo's front end asks, or something made like it."""

    messages: list[Message]
    context: Context | None = None
    session_state: Any = None
    sessionState: Any = None  # noqa: N815
    stream: bool | None = None
    is_of_demo: Any = False

    @property
    def overrides(self) -> Overrides | None:
        return None if self.context is None else self.context.overrides

    @property
    def wants_followups(self) -> bool:
        return self.overrides is None or self.overrides.suggest_followup_questions is not False

    @property
    def state(self) -> Any:
        """What the client wants to have back, by either name."""
        return self.session_state if self.sessionState is None else self.sessionState


@contextlib.asynccontextmanager
async def received(request: Request) -> AsyncIterator[tuple[Body, Files]]:
    """The request and its files, which are there until the end. Raises InputError, TooLarge, Unavailable."""
    millstream = millstream_of(request)
    await owner_of(request, millstream.identify)  # before anything is received
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        yield _body(await read_json(request)), {}
        return
    assert millstream.library is not None
    await check_space(request, millstream, millstream.library)
    limit = millstream.settings.max_body_bytes
    async with received_form(request, millstream, max_part_bytes=limit) as form:
        body = _body(json_object(await _json_part(form, limit)))
        yield body, _files(form, len(body.messages))


def run_request(request: Request, body: Body) -> RunRequest:
    """Without files. Raises InputError."""
    if any(message.files for message in body.messages):
        raise InputError(f"Files cannot be part of JSON; {_AS_FORM}.")
    asked: dict[str, Any] = {"messages": [{"role": each.role, "content": each.content} for each in body.messages]}
    context = body.context or Context()
    overrides = context.overrides or Overrides()
    if isinstance(context.answer, str) and context.answer in millstream_of(request).offered:
        asked["answer"] = context.answer
    effort = overrides.reasoning_effort if overrides.reasoning_effort in get_args(ReasoningEffort) else None
    options = {"sources": overrides.top, "temperature": overrides.temperature, "reasoning_effort": effort}
    asked["options"] = {name: value for name, value in options.items() if value is not None}
    asked["options"]["followups"] = body.wants_followups
    try:
        return within_bounds(request_from(asked), millstream_of(request).settings)
    except InputError as error:
        raise InputError(_in_their_words(error.message), code=error.code) from error


async def with_files(request: Request, asked: RunRequest, files: Files) -> RunRequest:
    """The request with its files as parts, kept as documents of the owner and read. Raises InputError, Conflict."""
    if not files:
        return asked
    millstream = millstream_of(request)
    assert millstream.library is not None
    owner = await owner_of(request, millstream.identify)
    named = [(at, await _name(file), file) for at, several in files.items() for file in several]
    kept = await keep_files(millstream, millstream.library, owner, [(name, file) for _, name, file in named])
    await asyncio.wait([each.read for each in kept], timeout=MAX_WAIT_S)
    messages = list(asked.messages or ())
    for (at, name, _), each in zip(named, kept, strict=True):
        document = await state_of(millstream.library, owner, each)
        if document.state == "waiting":
            raise Conflict(f"The file {name!r} is still being read: ask again in a moment.", code="still-reading")
        if document.reason:
            raise InputError(f"The file {name!r} cannot be read: {document.reason}")
        messages[at] = _attached(messages[at], FilePart(each.document_id, name))
    return msgspec.structs.replace(asked, messages=messages)


def _in_their_words(message: str) -> str:
    for ours, theirs in (("sources", "top"), ("temperature", "temperature"), ("reasoning_effort", "reasoning_effort")):
        message = message.replace(f"`options.{ours}`", f"`context.overrides.{theirs}`")
    return message


def _body(value: dict[str, Any]) -> Body:
    try:
        body = msgspec.convert(value, Body)
        body.is_of_demo = _is_of_demo(value)
        return body
    except msgspec.ValidationError as error:
        kind = DemoInputError if _is_of_demo(value) else InputError
        raise kind(f"The request is not valid: {error}.") from error


def _is_of_demo(value: dict[str, Any]) -> bool:
    context = value.get("context")
    return "session_state" in value or (isinstance(context, dict) and context.get("overrides") is not None)


async def _json_part(form: FormData, limit: int) -> bytes:
    part = form.get("json")
    if part is None:
        raise InputError("The form has no part `json`, which holds the request.")
    if isinstance(part, str):
        return part.encode()
    if (part.size or 0) > limit:
        raise TooLarge(f"The part `json` is larger than {limit} bytes (MILLSTREAM_MAX_BODY_BYTES).")
    return await part.read()


def _files(form: FormData, messages: int) -> Files:
    numbered: dict[tuple[int, int], UploadFile] = {}
    for name, part in form.multi_items():
        if name == "json":
            continue
        place = _FILE.match(name)
        if place is None or int(place[1]) >= messages:
            raise InputError(f"The form has a part {name[:100]!r}, which is no file of a message; {_AS_FORM}.")
        if not isinstance(part, UploadFile) or not part.filename:
            raise InputError(
                f"The part {name!r} has no file name: give it one, such as `handbook.pdf`.", code="no-name"
            )
        numbered[int(place[1]), int(place[2])] = part
    files: dict[int, list[UploadFile]] = {}
    for (message, _), file in sorted(numbered.items(), key=lambda item: item[0]):
        files.setdefault(message, []).append(file)
    return files


async def _name(file: UploadFile) -> str:
    """What the file is to be called. Microsoft's client calls bytes without a name as it calls their part."""
    name = file.filename or ""
    if _FILE.match(name):  # of two files at the same place of two requests, none must replace the other
        digest = sha256()
        while piece := await file.read(_READ_BYTES):
            digest.update(piece)
        await file.seek(0)
        name = f"file-{digest.hexdigest()[:12]}"
    elif PurePath(name).suffix:
        return name
    return name + (mimetypes.guess_extension((file.content_type or "").partition(";")[0].strip()) or "")


def _attached(message: GivenMessage, file: FilePart) -> GivenMessage:
    parts = message.content if isinstance(message.content, list) else [TextPart(text_of(message.content))]
    return msgspec.structs.replace(message, content=[*parts, file])
