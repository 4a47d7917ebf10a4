"""One chunk of Chat Completions from its bytes: strictly, or leniently where a server is loose with the protocol.

Only the fields that we use are decoded: building the SDK's objects costs about 40 times as much per token.
"""

import json
import math
from typing import Any

import msgspec


class Delta(msgspec.Struct, gc=False):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None


class Choice(msgspec.Struct, gc=False):
    delta: Delta | None = None
    message: Delta | None = None  # in an answer that was not streamed
    finish_reason: str | None = None


class InputDetails(msgspec.Struct, gc=False):
    cached_tokens: int | None = None


class OutputDetails(msgspec.Struct, gc=False):
    reasoning_tokens: int | None = None


class Usage(msgspec.Struct, gc=False):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: InputDetails | None = None
    completion_tokens_details: OutputDetails | None = None

    @property
    def is_counted(self) -> bool:
        """It holds counts, rather than nothing or nonsense."""
        return min(self.prompt_tokens, self.completion_tokens) >= 0 and self.prompt_tokens + self.completion_tokens > 0


class ErrorDetail(msgspec.Struct, gc=False):
    """The `error` member of an error body or frame; servers differ in what they put into it."""

    message: str | None = None
    type: str | None = None
    code: str | int | None = None

    @property
    def codes(self) -> str:
        """Code and type in one string, to look for known words in."""
        return " ".join(str(part) for part in (self.code, self.type) if part)


class Chunk(msgspec.Struct, gc=False):
    choices: list[Choice] | None = None
    usage: Usage | None = None
    error: ErrorDetail | str | None = None


decode = msgspec.json.Decoder(Chunk).decode
# What `decode` raises, of what is no JSON, or is nested deeper than anybody means.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def decode_leniently(data: bytes) -> Chunk | None:
    """A chunk in which a field is not what the protocol says: counts that are null or 5.0, content in parts, half an
    emoji. What is of the right type counts. None when it is no JSON object, or holds words in a way that is not known.
    """
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    choices = found.get("choices") if isinstance(found, dict) else 0
    if not isinstance(choices, list | None) or any(map(_holds_other_words, choices or ())):
        return None
    usage = found.get("usage")
    error = found.get("error")
    return Chunk(
        choices=[_choice(each) for each in choices if isinstance(each, dict)] if isinstance(choices, list) else None,
        usage=_usage(usage) if isinstance(usage, dict) else None,
        error=_detail(error) if isinstance(error, dict) else error if isinstance(error, str) else None,
    )


def _holds_other_words(choice: object) -> bool:
    said = (choice.get("delta") or choice.get("message")) if isinstance(choice, dict) else None
    return isinstance(said, dict) and not isinstance(said.get("content"), str | list | None)


def bare_error(data: bytes) -> ErrorDetail | None:
    """The error that a chunk without choices is, where a server does not say `error` (vLLM's, FastAPI's `detail`)."""
    if b'"error"' not in data and b'"detail"' not in data:
        return None
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    if "error" in (found.get("object"), found.get("type")):
        return _detail(found)
    detail = found.get("detail")
    return ErrorDetail(detail) if isinstance(detail, str) and "object" not in found else None


def _choice(found: dict[str, Any]) -> Choice:
    delta, message = found.get("delta"), found.get("message")
    return Choice(
        delta=_delta(delta) if isinstance(delta, dict) else None,
        message=_delta(message) if isinstance(message, dict) else None,
        finish_reason=_text(found.get("finish_reason")),
    )


def _delta(found: dict[str, Any]) -> Delta:
    return Delta(**{name: _text(found.get(name)) for name in Delta.__struct_fields__})


def _text(found: object) -> str | None:
    """A string, or the text of a list of parts (`{"type": "text", "text": …}`)."""
    if isinstance(found, list):
        return "".join(_text(part.get("text")) or "" for part in found if isinstance(part, dict)) or None
    return found if isinstance(found, str) else None


def _usage(found: dict[str, Any]) -> Usage:
    inputs, outputs = found.get("prompt_tokens_details"), found.get("completion_tokens_details")
    return Usage(
        prompt_tokens=_count(found.get("prompt_tokens")) or 0,
        completion_tokens=_count(found.get("completion_tokens")) or 0,
        prompt_tokens_details=InputDetails(_count(inputs.get("cached_tokens"))) if isinstance(inputs, dict) else None,
        completion_tokens_details=(
            OutputDetails(_count(outputs.get("reasoning_tokens"))) if isinstance(outputs, dict) else None
        ),
    )


def _count(found: object) -> int | None:
    return int(found) if isinstance(found, int | float) and math.isfinite(found) else None


def _detail(found: dict[str, Any]) -> ErrorDetail:
    code = found.get("code")
    return ErrorDetail(
        _text(found.get("message")), _text(found.get("type")), code if isinstance(code, str | int) else None
    )
