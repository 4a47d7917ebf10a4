"""Content negotiation (RFC 9110, section 12.5.1), as much of it as an API needs."""

from millstream.errors import InputError

JSON = "application/json"
NDJSON = "application/x-ndjson"
SSE = "text/event-stream"

# Other names that clients use for the same line-by-line format.
_ALIASES = {"application/jsonl": NDJSON, "application/json-lines": NDJSON, "application/ndjson": NDJSON}


def choose(accept: str | None, offered: tuple[str, ...]) -> str:
    """The offered media type that `accept` likes best; `offered[0]` when it names none in particular.

    Raises InputError (406) when it rules all of them out.
    """
    best, best_quality = None, 0.0
    anything = not accept
    for part in (accept or "").split(","):
        name, *parameters = [piece.strip().lower() for piece in part.split(";")]
        name = _ALIASES.get(name, name)
        quality = _quality(parameters)
        if name in ("*/*", "application/*"):
            anything = anything or quality > 0
        elif name in offered and quality > best_quality:
            best, best_quality = name, quality
    if best is not None:
        return best
    if anything:
        return offered[0]
    error = InputError(
        f"This answer comes as {', '.join(offered)}; none of them is in your Accept.", code="not-acceptable"
    )
    error.status = 406
    raise error


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return float(parameter[2:])
            except ValueError:
                return 0.0
    return 1.0
