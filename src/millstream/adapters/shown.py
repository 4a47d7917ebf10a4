"""Values of other libraries as JSON that an event can hold."""

from typing import Any

import msgspec


def shown(value: Any) -> Any:
    """The value as JSON; what has no form there is shown as its text."""
    dump = getattr(value, "model_dump", None)
    return msgspec.to_builtins(dump(mode="json") if callable(dump) else value, enc_hook=str)
