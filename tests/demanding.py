"""What stands in front of a server and lets only those in who send the right Authorization, as a proxy does."""

from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Receive, Scope, Send


class Demanding:
    def __init__(self, app: ASGIApp, authorization: str) -> None:
        self._app = app
        self._authorization = authorization.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if dict(scope["headers"]).get(b"authorization") == self._authorization:
            await self._app(scope, receive, send)
        else:
            refusal = HTMLResponse("<h1>Who are you?</h1>", 401, {"WWW-Authenticate": "Bearer"})
            await refusal(scope, receive, send)
