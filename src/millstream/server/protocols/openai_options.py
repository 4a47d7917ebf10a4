"""The parameters of a model call as OpenAI's requests name them, checked against the operator's bounds."""

from typing import Any

from millstream.server.protocols.openai_refusal import InvalidParameter
from millstream.server.settings import Settings


def model_options(
    settings: Settings,
    *,
    temperature: float | None,
    max_output_tokens: tuple[str, int | None],
    reasoning_effort: tuple[str, str | None],
) -> dict[str, Any]:
    """The `options` of our own request; a pair is what the protocol calls it, and its value.

    Raises InvalidParameter that names it so.
    """
    options: dict[str, Any] = {}
    name, limit = max_output_tokens
    if limit is not None:
        if limit < 1:
            raise InvalidParameter(f"`{name}` must be at least 1.", name)
        options["max_output_tokens"] = limit
    if temperature is not None:
        if not 0 <= temperature <= settings.max_temperature:
            message = f"`temperature` must be 0 to {settings.max_temperature:g} here (MILLSTREAM_MAX_TEMPERATURE)."
            raise InvalidParameter(message, "temperature")
        options["temperature"] = temperature
    name, effort = reasoning_effort
    if effort is not None:
        if effort not in settings.efforts:
            choice = f"may be {', '.join(settings.efforts)}" if settings.efforts else "cannot be chosen"
            message = f"`{name}` {choice} here (MILLSTREAM_EFFORTS)."
            raise InvalidParameter(message, name, code="unsupported_value")
        options["reasoning_effort"] = effort
    return options
