"""What a request of Responses asks for, read into a RunRequest.

What this server cannot do and what would change the answer's form is refused; everything else that OpenAI knows, and
whatever it does not, is passed over.
"""

from collections.abc import Container
from typing import Any

import msgspec

from millstream.conversations import FilePart, TextPart, text_of
from millstream.request import MAX_MESSAGES, RunRequest, request_from
from millstream.server.protocols.openai_options import model_options
from millstream.server.protocols.openai_refusal import InvalidParameter, place_of
from millstream.server.settings import Settings

_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
_TEXTS = {"input_text": "text", "output_text": "text", "text": "text", "refusal": "refusal"}
# What an earlier response held besides its words, and a client gives back with them: nothing follows from it here.
_PASSED_OVER = frozenset({"reasoning", "file_search_call", "compaction"})
_WANTED = "A part of a message's content must be `input_text`, or `input_file` with a `file_id`."
_REFUSED = {
    "conversation": "Conversations of OpenAI's are not kept here; name the response before it as "
    "`previous_response_id`.",
    "prompt": "Prompts of OpenAI's are not kept here; write yours into `instructions`.",
}


class _Reasoning(msgspec.Struct, frozen=True):
    effort: str | None = None


class _Format(msgspec.Struct, frozen=True):
    type: str


class _Text(msgspec.Struct, frozen=True):
    format: _Format | None = None


class ResponsesRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The body, as far as it is read. None is as good as absent, as OpenAI's own server has it."""

    input: str | list[dict[str, Any]] | None = None
    model: str | None = None
    instructions: str | None = None
    previous_response_id: str | None = None
    stream: bool | None = None
    background: bool | None = None
    store: bool | None = None
    metadata: dict[str, str] | None = None
    temperature: float | None = None
    max_output_tokens: int | None = None
    reasoning: _Reasoning | None = None
    text: _Text | None = None
    tools: list[dict[str, Any]] | None = None
    conversation: Any = None
    prompt: Any = None

    @property
    def stored(self) -> bool:
        return self.store is not False


def responses_request(body: dict[str, Any]) -> ResponsesRequest:
    """The request in a decoded body. Raises InvalidParameter that names what is wrong, or what there is not."""
    try:
        asked = msgspec.convert(body, ResponsesRequest)
    except msgspec.ValidationError as error:
        name = place_of(error) or "input"
        raise InvalidParameter(f"The request is not valid: {error}.", name, code="invalid_type") from error
    if asked.input is None:
        raise InvalidParameter("Give `input`: the question, or messages.", "input", code="missing_required_parameter")
    for name, message in _REFUSED.items():
        if getattr(asked, name) is not None:
            raise InvalidParameter(message, name, code="unsupported_parameter")
    if asked.background and not asked.stored:
        raise InvalidParameter("A response in the `background` must be stored; leave `store` out.", "background")
    if asked.text is not None and asked.text.format is not None and asked.text.format.type != "text":
        message = "Answers are text here, not JSON; leave `text.format` out."
        raise InvalidParameter(message, "text.format", code="unsupported_value")
    return asked


def run_request(
    asked: ResponsesRequest, follows: str | None, offered: Container[str], settings: Settings
) -> RunRequest:
    """The run; `follows` is that of the previous response. Raises InputError."""
    assert asked.input is not None
    request: dict[str, Any] = {"messages": _messages(asked.input), "options": _options(asked, settings)}
    if asked.stored or follows is not None:
        request["follows"] = follows
    for name in ("instructions", "metadata"):
        if (value := getattr(asked, name)) is not None:
            request[name] = value
    if asked.model in offered:
        request["answer"] = asked.model
    return request_from(request)


def _messages(given: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
    if isinstance(given, str):
        given = [{"role": "user", "content": given}]
    read = [
        _message(item, f"input[{number}]")
        for number, item in enumerate(given)
        if str(item.get("type")) not in _PASSED_OVER
    ]
    if not read or read[-1]["role"] != "user":
        raise InvalidParameter("`input` must end with a message of role `user`.", "input")
    if len(read) > MAX_MESSAGES:
        raise InvalidParameter(f"`input` holds more than {MAX_MESSAGES} messages.", "input")
    if not text_of(read[-1]["content"]).strip():
        raise InvalidParameter("`input` is empty; give the question.", "input")
    return read


def _message(item: dict[str, Any], place: str) -> dict[str, Any]:
    kind = item.get("type") or "message"
    if kind != "message":
        raise InvalidParameter(
            f"An item of type {kind!r} cannot be read here; give messages.", place, code="unsupported_value"
        )
    role, content = item.get("role"), item.get("content")
    if not isinstance(role, str) or role not in _ROLES:
        raise InvalidParameter(f"There is no role {role!r}; there are: {', '.join(_ROLES)}.", f"{place}.role")
    if isinstance(content, list):
        content = [_part(part, f"{place}.content[{number}]") for number, part in enumerate(content)]
    elif not isinstance(content, str):
        raise InvalidParameter("A message needs `content`: a string, or a list of parts.", f"{place}.content")
    return {"role": _ROLES[role], "content": content}


def _part(part: object, place: str) -> TextPart | FilePart:
    if not isinstance(part, dict):
        raise InvalidParameter(_WANTED, place)
    kind = part.get("type")
    text = part.get(_TEXTS.get(str(kind), ""))
    if isinstance(text, str):
        return TextPart(text)
    if kind == "input_file":
        file_id, name = part.get("file_id"), part.get("filename")
        if isinstance(file_id, str):
            return FilePart(file_id, name if isinstance(name, str) else file_id)
        message = "Files do not come with a message here; upload them to /api/documents, and name one as `file_id`."
        raise InvalidParameter(message, place, code="unsupported_value")
    if kind == "input_image":
        message = "Images cannot be read here; send the message's text alone."
        raise InvalidParameter(message, place, code="unsupported_value")
    raise InvalidParameter(_WANTED, place)


def _options(asked: ResponsesRequest, settings: Settings) -> dict[str, Any]:
    options = model_options(
        settings,
        temperature=asked.temperature,
        max_output_tokens=("max_output_tokens", asked.max_output_tokens),
        reasoning_effort=("reasoning.effort", asked.reasoning.effort if asked.reasoning else None),
    )
    for number, tool in enumerate(asked.tools or ()):
        if tool.get("type") != "file_search":
            message = "No tool but `file_search` is used here; the answer does its own search. Leave out `tools`."
            raise InvalidParameter(message, f"tools[{number}]", code="unsupported_parameter")
        if (results := tool.get("max_num_results")) is not None:
            if type(results) is not int or not 1 <= results <= settings.max_sources:
                message = f"`max_num_results` must be 1 to {settings.max_sources} here (MILLSTREAM_MAX_SOURCES)."
                raise InvalidParameter(message, f"tools[{number}].max_num_results")
            options["sources"] = results
    return options
