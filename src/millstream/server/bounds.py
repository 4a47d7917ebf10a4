"""The bounds that the operator sets to what a client may choose for one run."""

from typing import Any

from millstream.errors import InputError
from millstream.request import RunOptions, RunRequest
from millstream.server.settings import Settings


def bounds_json(settings: Settings) -> dict[str, Any]:
    """The bounds as the status tells them: the least and the most."""
    return {
        "sources": [1, settings.max_sources],
        "temperature": [0, settings.max_temperature],
        "efforts": settings.efforts,
    }


def within_bounds(request: RunRequest, settings: Settings) -> RunRequest:
    """The same request. Raises InputError that names the option which exceeds its bounds."""
    _check(request.options, settings)
    return request


def _check(options: RunOptions, settings: Settings) -> None:
    if options.sources is not None and options.sources > settings.max_sources:
        raise InputError(f"`options.sources` may be {settings.max_sources} here at most (MILLSTREAM_MAX_SOURCES).")
    if options.temperature is not None and options.temperature > settings.max_temperature:
        raise InputError(
            f"`options.temperature` may be {settings.max_temperature:g} here at most (MILLSTREAM_MAX_TEMPERATURE)."
        )
    if options.reasoning_effort is not None and options.reasoning_effort not in settings.efforts:
        choice = f"may be {', '.join(settings.efforts)}" if settings.efforts else "cannot be chosen"
        raise InputError(f"`options.reasoning_effort` {choice} here (MILLSTREAM_EFFORTS).")
