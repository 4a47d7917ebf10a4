"""Whose request this is: every run, conversation and document has an owner."""

import inspect
from collections.abc import Awaitable, Callable

from starlette.requests import HTTPConnection

LOCAL = "local"

# Given the request or WebSocket, returns the owner. It may raise errors.Forbidden.
Identify = Callable[[HTTPConnection], str | Awaitable[str]]


async def owner_of(connection: HTTPConnection, identify: Identify | None) -> str:
    """The owner by `identify`; "local" when there is none (no authentication)."""
    if identify is None:
        return LOCAL
    owner = identify(connection)
    return await owner if inspect.isawaitable(owner) else owner
