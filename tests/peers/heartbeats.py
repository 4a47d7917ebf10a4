"""Whether a heartbeat has been sent, for tests that only go on when a client has had one."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from millstream.server.app import Millstream
from serving import Telling, within


class Heartbeats:
    """`serving(app=heartbeats.heard)` serves a Millstream whose comment lines are noticed."""

    def __init__(self) -> None:
        self._beaten = asyncio.Event()

    async def between(self, telling: Telling, *words: str) -> None:
        """Writes these words, each after a heartbeat, and ends the answer."""
        for each in words:
            self._beaten.clear()
            await within(self._beaten.wait())
            telling.run.write(each)
        telling.end()

    def heard(self, millstream: Millstream) -> ASGIApp:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            async def sending(message: Message) -> None:
                await send(message)
                if message.get("body") == b": ping\n":
                    self._beaten.set()

            await millstream.app(scope, receive, sending)

        return app
