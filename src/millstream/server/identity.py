"""Whose request this is: every run, conversation and document has an owner."""

import inspect
from collections.abc import Awaitable, Callable

from starlette.requests import HTTPConnection

LOCAL = "local"

# Given the request or WebSocket, returns the owner, a string that is not empty. It may raise errors.Forbidden.
Identify = Callable[[HTTPConnection], str | Awaitable[str]]


async def owner_of(connection: HTTPConnection, identify: Identify | None) -> str:
    """The owner by `identify`; "local" when there is none (no authentication). Raises TypeError."""
    if identify is None:
        return LOCAL
    owner = identify(connection)
    if inspect.isawaitable(owner):
        owner = await owner
    if not isinstance(owner, str) or not owner:
        raise TypeError(f"`identify` must return the owner as a string that is not empty, not {owner!r}")
    return owner
