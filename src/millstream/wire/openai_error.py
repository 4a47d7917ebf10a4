"""Errors as OpenAI writes them, the same in a body and in a stream: `{"error": {message, type, param, code}}`."""

from typing import Any

# Our codes for which OpenAI has one; clients look for these. The others go out as they are.
_CODES = {"model-rate-limited": "rate_limit_exceeded", "model-content-filter": "content_filter"}


def openai_error(
    message: str, code: str, status: int, *, retryable: bool = True, param: str | None = None
) -> dict[str, Any]:
    """The object; `code` is ours, `status` that of the response, or what it would have been."""
    if code == "model-rate-limited" and not retryable:  # no waiting helps: the account has no money left
        code = kind = "insufficient_quota"
    elif status == 429:
        kind = "rate_limit_error"
    else:
        kind = "invalid_request_error" if openai_status(code, status) < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "param": param, "code": _CODES.get(code, code)}}


def openai_status(code: str, status: int) -> int:
    """The status that OpenAI gives to an error that is `code` and `status` here."""
    return 400 if code == "model-content-filter" else status
