"""What clients send as JSON, decoded or refused in one way, whichever route or protocol it came by.

Much of it may be a client's own and goes back to it (`session_state`), deeper inside other JSON than it came: what is
nested too deeply to be encoded again is refused before anything begins.
"""

from typing import TypeVar

import msgspec

from millstream.errors import InputError

MAX_DEPTH = 100  # arrays and objects within one another

T = TypeVar("T")
Container = dict[str, object] | list[object]


class NotJson(InputError):
    """The request is not JSON at all."""


def decode_body(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Raises NotJson; InputError when it is not what `decoder` wants, or nested deeper than `MAX_DEPTH`."""
    try:
        value = decoder.decode(body)
    except msgspec.ValidationError as error:
        raise InputError(f"The request is not valid: {error}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotJson(f"The request is not JSON: {error}.") from error
    except RecursionError as error:
        raise _nested_too_deeply() from error
    # With fewer brackets than that none can be so deep: then it need not be walked through.
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and _is_deeper(value, MAX_DEPTH):
        raise _nested_too_deeply()
    return value


def _is_deeper(value: object, most: int) -> bool:
    """Of a struct's own fields only its type says how deep they are."""
    level = _containers([value])
    for _ in range(most):
        level = [inner for outer in level for inner in _containers(outer)]
    return bool(level)


def _containers(values: Container) -> list[Container]:
    within = values.values() if isinstance(values, dict) else values
    return [value for value in within if isinstance(value, dict | list)]


def _nested_too_deeply() -> InputError:
    return InputError(f"The request is nested too deeply: {MAX_DEPTH} arrays and objects within one another at most.")
