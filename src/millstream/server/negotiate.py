"""Content negotiation (RFC 9110, section 12.5.1), as much of it as an API needs."""

from millstream.errors import InputError

JSON = "application/json"
NDJSON = "application/x-ndjson"
SSE = "text/event-stream"

# Other names that clients use for the same line-by-line format.
_ALIASES = {"application/jsonl": NDJSON, "application/json-lines": NDJSON, "application/ndjson": NDJSON}


def choose(accept: str | None, offered: tuple[str, ...]) -> str:
    """The offered media type that `accept` likes best; `offered[0]` when it names none in particular.

    Among equals one that is named beats a wildcard, then the order in `accept` decides.
    Raises InputError (406) when it rules all of them out.
    """
    ranges = _ranges(accept) or [("*/*", 1.0)]
    best = max(offered, key=lambda media_type: _liking(media_type, ranges))
    if _liking(best, ranges)[0] > 0:
        return best
    error = InputError(
        f"This answer comes as {', '.join(offered)}; none of them is in your Accept.", code="not-acceptable"
    )
    error.status = 406
    raise error


def _ranges(accept: str | None) -> list[tuple[str, float]]:
    """The media ranges with their qualities, in their order."""
    ranges = []
    for part in (accept or "").split(","):
        name, *parameters = [piece.strip().lower() for piece in part.split(";")]
        if name:
            ranges.append((_ALIASES.get(name, name), _quality(parameters)))
    return ranges


def _liking(media_type: str, ranges: list[tuple[str, float]]) -> tuple[float, int, int]:
    """Quality of the most specific range that fits, how specific that is, and how early it stands."""
    fitting = ("*/*", media_type.split("/")[0] + "/*", media_type)
    found = [
        (fitting.index(name), -position, quality) for position, (name, quality) in enumerate(ranges) if name in fitting
    ]
    if not found:
        return 0.0, 0, 0
    specific, early, quality = max(found)
    return quality, specific, early


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                quality = float(parameter[2:])
            except ValueError:
                return 0.0
            return quality if 0 <= quality <= 1 else 0.0
    return 1.0
