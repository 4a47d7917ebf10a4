"""What an error of the OpenAI SDK ends a run with: the same codes as an error of Millstream's own models."""

import openai

from millstream.errors import ModelError
from millstream.models.failures import http_error, interrupted, unreachable
from millstream.models.openai import retry_after_s


def sdk_failure(error: Exception, *, begun: bool) -> ModelError:
    """`begun`: the answer had its first word. What is no error of the SDK's own is a stream that broke off."""
    if isinstance(error, openai.APIStatusError):
        code = f"{error.code or ''} {error.type or ''}"
        wait = retry_after_s(error.response.headers)
        return http_error("The model", error.status_code, code=code, said=error.message, retry_after=wait)
    reason = str(error).rstrip(".")
    if isinstance(error, openai.APIConnectionError) and not begun:
        return unreachable("The model", reason)
    return interrupted("The model", after_first_delta=begun, reason=reason)
