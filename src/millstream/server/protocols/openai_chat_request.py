"""What a request of Chat Completions asks for, read into a RunRequest.

What this server cannot do and what would change the answer's form is refused; everything else that OpenAI knows, and
whatever it does not, is passed over.
"""

from collections.abc import Container
from typing import Any

import msgspec

from millstream.conversations import TextPart
from millstream.request import RunRequest, request_from
from millstream.server.protocols.openai_options import model_options
from millstream.server.protocols.openai_refusal import InvalidParameter, place_of
from millstream.server.settings import Settings
from millstream.wire.openai_chat import EXTRAS, Extra

_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
_NO_TOOLS = "Tools are not called here: the answer does its own search. Leave out `{name}`."
_NOT_TEXT = {
    "image_url": "Images cannot be read here; send the message's text alone.",
    "input_audio": "Sound cannot be heard here; send the message's text alone.",
    "file": "Files do not come with a message here; upload them to /api/documents, and they are searched.",
}


class _Message(msgspec.Struct, frozen=True):
    role: str
    content: str | list[dict[str, Any]] | None = None
    tool_calls: list[Any] | None = None


class _StreamOptions(msgspec.Struct, frozen=True):
    include_usage: bool | None = None


class _ResponseFormat(msgspec.Struct, frozen=True):
    type: str


class ChatRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The body, as far as it is read. None is as good as absent, as OpenAI's own server has it."""

    messages: list[_Message]
    model: str | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None
    reasoning_effort: str | None = None
    n: int | None = None
    tools: list[Any] | None = None
    functions: list[Any] | None = None
    response_format: _ResponseFormat | None = None
    modalities: list[str] | None = None
    data_sources: list[Any] | None = None
    x_extras: list[str] | None = None

    @property
    def include_usage(self) -> bool:
        return self.stream_options is not None and bool(self.stream_options.include_usage)


def chat_request(body: dict[str, Any]) -> ChatRequest:
    """The request in a decoded body. Raises InvalidParameter that names what is wrong, or what there is not."""
    try:
        asked = msgspec.convert(body, ChatRequest)
    except msgspec.ValidationError as error:
        message = str(error)
        place = place_of(error)
        if place is None:  # of the body itself: what it lacks
            raise InvalidParameter("Give `messages`.", "messages", code="missing_required_parameter") from error
        raise InvalidParameter(f"The request is not valid: {message}.", place, code="invalid_type") from error
    for name in ("tools", "functions"):
        if getattr(asked, name):
            raise InvalidParameter(_NO_TOOLS.format(name=name), name, code="unsupported_parameter")
    if asked.n not in (None, 1):
        raise InvalidParameter("There is one answer to a question here; leave `n` out.", "n", code="unsupported_value")
    if asked.response_format is not None and asked.response_format.type != "text":
        message = "Answers are text here, not JSON; leave `response_format` out."
        raise InvalidParameter(message, "response_format", code="unsupported_value")
    if any(each != "text" for each in asked.modalities or ()):
        raise InvalidParameter("Answers are text here; leave `modalities` out.", "modalities", code="unsupported_value")
    return asked


def extras_of(asked: ChatRequest, settings: Settings) -> tuple[Extra, ...]:
    """What the answer is to carry beyond OpenAI's own. Raises InvalidParameter."""
    names = settings.openai_chat_extras if asked.x_extras is None else asked.x_extras
    if unknown := [name for name in names if name not in EXTRAS]:
        raise InvalidParameter(f"{unknown[0]!r} is no extra; there are: {', '.join(EXTRAS)}.", "x_extras")
    return tuple(extra for extra in EXTRAS if extra in names)


def run_request(asked: ChatRequest, answer: str | None, offered: Container[str], settings: Settings) -> RunRequest:
    """The run; `answer` is what the client calls the model, the default answer if it is none that is offered."""
    request: dict[str, Any] = {"messages": _messages(asked.messages), "options": _options(asked, settings)}
    if answer in offered:
        request["answer"] = answer
    return request_from(request)


def _messages(messages: list[_Message]) -> list[dict[str, Any]]:
    read = []
    for number, message in enumerate(messages):
        place = f"messages[{number}]"
        if message.tool_calls or message.role in ("tool", "function"):
            raise InvalidParameter(
                "Tools are not called here; leave their calls and results out of `messages`.",
                place,
                code="unsupported_value",
            )
        if message.role not in _ROLES:
            known = ", ".join(_ROLES)
            raise InvalidParameter(f"There is no role {message.role!r}; there are: {known}.", f"{place}.role")
        if message.content is None and message.role != "assistant":
            raise InvalidParameter("A message needs `content`.", f"{place}.content", code="missing_required_parameter")
        if message.content is not None:
            content = message.content
            parts = content if isinstance(content, str) else [_text(part, place, n) for n, part in enumerate(content)]
            read.append({"role": _ROLES[message.role], "content": parts})
    return read


def _text(part: dict[str, Any], place: str, number: int) -> TextPart:
    kind = part.get("type")
    place = f"{place}.content[{number}]"
    text = part.get(kind) if kind in ("text", "refusal") else None
    if isinstance(text, str):
        return TextPart(text)
    unknown = "A part of a message's content must be `text`."
    raise InvalidParameter(_NOT_TEXT.get(str(kind), unknown), place, code="unsupported_value")


def _options(asked: ChatRequest, settings: Settings) -> dict[str, Any]:
    suggests = not {"followups", "events"}.isdisjoint(extras_of(asked, settings))
    limit = "max_tokens" if asked.max_completion_tokens is None else "max_completion_tokens"
    options = model_options(
        settings,
        temperature=asked.temperature,
        max_output_tokens=(limit, getattr(asked, limit)),
        reasoning_effort=("reasoning_effort", asked.reasoning_effort),
    )
    return options if suggests else {**options, "followups": False}
