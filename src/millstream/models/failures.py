"""The ways in which a model call fails, each as the ModelError a person reads. Codes: `errors.MODEL_ERROR_STATUS`.

`who` names the model's host ("api.openai.com") or, for a model in this process, the model itself. A provider's own
words are quoted trimmed, and never where they could repeat a part of the key.
"""

import re

from millstream.errors import ModelError
from millstream.models.timeouts import Timeouts

QUOTED_CHARACTERS = 300
# Codes of a 429 that waiting does not cure: the account has no money left.
_EXHAUSTED = {"insufficient_quota", "billing_hard_limit_reached"}
# What providers call a fault of their own in an error frame, besides its status.
_FAULTS = {
    "server_error", "internal_error", "internal_server_error", "overloaded", "overloaded_error", "service_unavailable",
    "unavailable", "api_error", "timeout",
}  # fmt: skip
_KEY_LIKE = re.compile(r"\b(?:sk|key|pk)-[\w*.-]{6,}|\b[0-9a-fA-F]{32,}\b")


def connect_timeout(who: str, timeouts: Timeouts) -> ModelError:
    return ModelError(
        f"No connection to {who} within {timeouts.connect_s:g} s. Check the address and the network.",
        code="model-timeout-connect",
        retryable=True,
    )


def first_token_timeout(who: str, timeouts: Timeouts) -> ModelError:
    return ModelError(
        f"{who} took the question but sent no word within {timeouts.first_token_s:g} s.",
        code="model-timeout-first-token",
        retryable=True,
    )


def between_tokens_timeout(who: str, timeouts: Timeouts) -> ModelError:
    return ModelError(
        f"{who} fell silent in the middle of the answer for {timeouts.between_tokens_s:g} s.",
        code="model-timeout-between-tokens",
        retryable=True,
    )


def unreachable(who: str, reason: str) -> ModelError:
    return ModelError(
        f"{who} cannot be reached: {reason}. Is it running, and is the address right?",
        code="model-unavailable",
        retryable=True,
    )


def interrupted(who: str, *, after_first_delta: bool, reason: str = "") -> ModelError:
    """The stream broke off. Before the first delta nothing is lost and the call may simply be repeated."""
    why = f": {reason}" if reason else ""
    if after_first_delta:
        return ModelError(
            f"{who} broke off in the middle of the answer{why}.", code="model-interrupted", retryable=True
        )
    return ModelError(f"{who} broke off before the first word{why}.", code="model-unavailable", retryable=True)


def malformed(who: str, what: str) -> ModelError:
    return ModelError(
        f"{who} sent {what}. Does it speak the OpenAI chat protocol?", code="model-malformed", retryable=False
    )


def prompt_blocked(who: str) -> ModelError:
    return ModelError(
        f"The content filter of {who} refused the question or its sources. Put it in other words.",
        code="model-content-filter",
        retryable=False,
    )


def http_error(
    who: str, status: int, *, code: str = "", said: str = "", retry_after: float | None = None
) -> ModelError:
    """What a response with an error status means; `code` (and type, space between) and `said` are its error body's."""
    if "content_filter" in code:
        return prompt_blocked(who)
    if status == 429:
        return rate_limited(who, code=code, said=said, retry_after=retry_after)
    words = _quoted(said)
    if status >= 500 or status in (408, 409, 425):
        return ModelError(
            f"{who} answered {status}{words}.", code="model-unavailable", retryable=True, retry_after=retry_after
        )
    if status in (401, 403):  # the provider's words may repeat a part of the key
        return ModelError(
            f"{who} answered {status}: the key is missing, wrong, or not allowed to use this model.",
            code="model-refused",
            retryable=False,
        )
    if 300 <= status < 400:
        words = ": it redirects elsewhere, which is not followed"
    return ModelError(f"{who} refused the request with {status}{words}.", code="model-refused", retryable=False)


def rate_limited(who: str, *, code: str = "", said: str = "", retry_after: float | None = None) -> ModelError:
    if _EXHAUSTED.intersection(code.split()):
        return ModelError(
            f"The quota of the account at {who} is used up (429{_quoted(said)}).",
            code="model-rate-limited",
            retryable=False,
        )
    wait = f" Try again in {retry_after:g} s." if retry_after is not None else ""
    return ModelError(
        f"{who} is limiting the rate of requests (429{_quoted(said)}).{wait}",
        code="model-rate-limited",
        retryable=True,
        retry_after=retry_after,
    )


def stream_error(who: str, *, code: str, said: str, after_first_delta: bool) -> ModelError:
    """What an `{"error": …}` frame inside a stream means."""
    if "content_filter" in code:
        return prompt_blocked(who)
    words = set(code.split())
    if "429" in words or "rate_limit" in code or words & _EXHAUSTED:
        return rate_limited(who, code=code, said=said)
    if after_first_delta:
        return ModelError(
            f"{who} broke off in the middle of the answer{_quoted(said)}.", code="model-interrupted", retryable=True
        )
    is_fault = bool(words & _FAULTS) or any(re.fullmatch("5[0-9][0-9]", word) for word in words)
    return ModelError(
        f"{who} gave up before the first word{_quoted(said)}.",
        code="model-unavailable" if is_fault else "model-interrupted",
        retryable=True,
    )


def _quoted(said: str) -> str:
    said = _KEY_LIKE.sub("…", " ".join(said.split())).rstrip(".")
    if len(said) > QUOTED_CHARACTERS:
        said = said[:QUOTED_CHARACTERS] + "…"
    return f": {said}" if said else ""
