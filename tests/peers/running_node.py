"""What the fixture `node` is: `await node("name.mjs", url)` gives the JSON value that the script prints."""

from collections.abc import Awaitable, Callable
from typing import Any

Node = Callable[..., Awaitable[Any]]
