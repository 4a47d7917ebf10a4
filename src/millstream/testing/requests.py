"""What the real services refuse, and in which words: bodies of `POST …/chat/completions` and their keys."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta


class Rejection(Exception):
    """The request is answered with `status`, `headers` and an `error` body."""

    def __init__(self, status: int, error: dict[str, Any]) -> None:
        super().__init__(error.get("message"))
        self.status = status
        self.error = error
        self.headers: dict[str, str] = {}


class StreamOptions(msgspec.Struct, forbid_unknown_fields=True):
    include_usage: bool = False
    include_obfuscation: bool = True


class Message(msgspec.Struct, forbid_unknown_fields=True):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[dict[str, Any]] | None = None
    name: str | None = None
    tool_call_id: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    refusal: str | None = None


class ChatRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The parameters of https://platform.openai.com/docs/api-reference/chat/create, as far as they concern text."""

    model: str
    messages: Annotated[list[Message], Meta(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1)] | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    presence_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None
    service_tier: str | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    response_format: dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None


def parse_request(body: bytes, *, deployment: str | None = None) -> ChatRequest:
    """The request in `body`; Azure's path names the model, so there the body need not. Raises Rejection."""
    try:
        given = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise invalid("We could not parse the JSON body of your request.") from None
    if not isinstance(given, dict):
        raise invalid("We could not parse the JSON body of your request.")
    if deployment is not None:
        given["model"] = deployment
    unknown = sorted(given.keys() - set(ChatRequest.__struct_fields__))
    if unknown:
        raise invalid(f"Unrecognized request argument supplied: {unknown[0]}")
    if not given.get("model"):
        raise invalid("you must provide a model parameter")
    if "messages" not in given:
        raise invalid("Missing required parameter: 'messages'.", param="messages", code="missing_required_parameter")
    try:
        request = msgspec.convert(given, ChatRequest)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at ")
        param = where.strip("`").removeprefix("$.")
        raise invalid(f"Invalid value for '{param}': {what}.", param=param, code="invalid_value") from None
    if request.stream_options is not None and not request.stream:
        raise invalid(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.", param="stream_options"
        )
    return request


def invalid(message: str, *, param: str | None = None, code: str | None = None, status: int = 400) -> Rejection:
    return Rejection(status, {"message": message, "type": "invalid_request_error", "param": param, "code": code})


def check_openai_key(authorization: str | None, key: str) -> None:
    """Raises Rejection unless the header is `Bearer KEY`; the words are OpenAI's, with the key half hidden as there."""
    if not authorization or not authorization.startswith("Bearer "):
        raise invalid(
            "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer "
            "auth (i.e. Authorization: Bearer YOUR_KEY).",
            status=401,
        )
    given = authorization.removeprefix("Bearer ")
    if given != key:
        raise invalid(
            f"Incorrect API key provided: {given[:4]}{'*' * max(0, len(given) - 8)}{given[-4:]}.",
            code="invalid_api_key",
            status=401,
        )


def check_azure(key: str | None, given: str | None, api_version: str | None) -> None:
    """Raises Rejection as Azure OpenAI does: the key goes in `api-key`, and there is an `api-version`."""
    if not api_version:
        raise Rejection(404, {"code": "404", "message": "Resource not found"})
    if key is not None and given != key:
        raise Rejection(
            401,
            {
                "code": "401",
                "message": "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide "
                "a valid key for an active subscription and use a correct regional API endpoint for your resource.",
            },
        )


PROMPT_BLOCKED = {
    "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. "
    "Please modify your prompt and retry.",
    "type": None,
    "param": "prompt",
    "code": "content_filter",
    "status": 400,
    "innererror": {
        "code": "ResponsibleAIPolicyViolation",
        "content_filter_result": {"violence": {"filtered": True, "severity": "medium"}},
    },
}
