"""Streaming routes, served before Starlette.

Each of its layers would keep a coroutine for as long as a stream is open, and two of them would be called per token.
"""

from collections.abc import Awaitable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import Match, Route
from starlette.types import Message, Receive, Scope, Send

from millstream.errors import MillstreamError
from millstream.server.problem import refusal_of


class StreamRoute(Route):
    """A route whose handler returns the stream as an ASGI response; in a Starlette alone, a route like any other."""


class StreamsFirst:
    """The ASGI application `routed`, whose `StreamRoute`s are answered without it: errors are told in the same way."""

    def __init__(self, routed: Starlette) -> None:
        self._routed = routed
        self._streams = [route for route in routed.routes if isinstance(route, StreamRoute)]

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "http":
            for route in self._streams:
                match, found = route.matches(scope)
                if match is Match.FULL:
                    scope.update(found, app=self._routed)
                    return _answered(route, scope, receive, send)
        return self._routed(scope, receive, send)


async def _answered(route: Route, scope: Scope, receive: Receive, send: Send) -> None:
    sending = Sending(send)
    try:
        response = await route.endpoint(Request(scope, receive))
        await response(scope, receive, sending.send)
    except Exception as error:
        if sending.begun:
            raise
        await refusal_of(error)(scope, receive, send)
        if not isinstance(error, MillstreamError | HTTPException):
            raise  # a bug: the server logs its traceback


class Sending:
    """`send`, and whether the answer has begun."""

    __slots__ = ("_send", "begun")

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = False

    def send(self, message: Message) -> Awaitable[None]:
        self.begun = True
        return self._send(message)
