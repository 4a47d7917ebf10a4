"""Runs over one WebSocket, `/api/ws`: start, follow, stop, detach; many runs at once, each under a client's name."""

import asyncio
import contextlib
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from millstream.errors import InputError, MillstreamError
from millstream.events import encode_json
from millstream.follower import Cut
from millstream.json_body import decode_body
from millstream.request import request_from
from millstream.server.app_of import millstream_of
from millstream.server.bounds import within_bounds
from millstream.server.identity import owner_of
from millstream.wire.native import WebSocketFrames

if TYPE_CHECKING:
    from millstream.server.app import Millstream


class Start(msgspec.Struct, tag_field="op", tag="start", frozen=True):
    id: str
    request: dict[str, Any]


class Follow(msgspec.Struct, tag_field="op", tag="follow", frozen=True):
    id: str
    run_id: str
    after: Annotated[int, msgspec.Meta(ge=0)] = 0


class Stop(msgspec.Struct, tag_field="op", tag="stop", frozen=True):
    id: str
    run_id: str
    seen: Annotated[int, msgspec.Meta(ge=0)] | None = None


class Detach(msgspec.Struct, tag_field="op", tag="detach", frozen=True):
    id: str


class Auth(msgspec.Struct, tag_field="op", tag="auth", frozen=True):
    token: str


_decoder: msgspec.json.Decoder[Start | Follow | Stop | Detach | Auth] = msgspec.json.Decoder(
    Start | Follow | Stop | Detach | Auth
)

# A client's name for a subscription is echoed in every frame, so it is short.
MAX_NAME_CHARACTERS = 64


class Session:
    """One WebSocket: its subscriptions are tasks that end with it."""

    def __init__(self, socket: WebSocket, millstream: "Millstream") -> None:
        self._socket = socket
        self._millstream = millstream
        self._owner: str | None = None
        self._subscriptions: dict[str, asyncio.Task[None]] = {}

    async def serve(self) -> None:
        await self._socket.accept()
        try:
            while True:
                message = await self._socket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                frame = message.get("bytes") or (message.get("text") or "").encode()
                if len(frame) > self._millstream.settings.max_body_bytes:
                    await self._socket.close(1009, "frame larger than MILLSTREAM_MAX_BODY_BYTES")
                    return
                await self._handle(frame)
        except WebSocketDisconnect:
            pass
        finally:
            tasks = list(self._subscriptions.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _handle(self, frame: bytes) -> None:
        name: str | None = None
        try:
            op = decode_body(frame, _decoder)
            if isinstance(op, Auth):
                self._authorize(op.token)
                return
            name = op.id[:MAX_NAME_CHARACTERS]
            if not 1 <= len(op.id) <= MAX_NAME_CHARACTERS:
                raise InputError(f"`id` must be 1 to {MAX_NAME_CHARACTERS} characters.")
            if self._owner is None:
                self._owner = await owner_of(HTTPConnection(self._socket.scope), self._millstream.identify)
            await self._do(op, self._owner)
        except MillstreamError as error:
            await self._send_error(name, error)
        except HTTPException as error:  # of `identify`: an application refuses in its framework's own way
            refused = MillstreamError(error.detail, code="http-error")
            refused.status = error.status_code
            await self._send_error(name, refused)

    async def _do(self, op: Start | Follow | Stop | Detach, owner: str) -> None:
        supervisor = self._millstream.supervisor
        if isinstance(op, Detach):
            subscription = self._subscriptions.pop(op.id, None)
            if subscription is not None:
                subscription.cancel()
        elif isinstance(op, Stop):
            await supervisor.stop(op.run_id, owner, op.seen)
        else:
            if op.id in self._subscriptions:
                raise InputError(f"There is a subscription {op.id!r} already; detach it or choose another id.")
            if len(self._subscriptions) >= self._millstream.settings.max_subscriptions:
                raise InputError(
                    f"There are {len(self._subscriptions)} subscriptions on this connection, the most there may be "
                    "(MILLSTREAM_MAX_SUBSCRIPTIONS); detach one.",
                    code="too-many-subscriptions",
                )
            if isinstance(op, Start):
                request = within_bounds(request_from(op.request), self._millstream.settings)
                run_id, _ = await supervisor.start(request, owner)
                after = 0
            else:
                run_id, after = op.run_id, op.after
            task = asyncio.create_task(self._follow(op.id, run_id, owner, after), name=f"ws-{run_id}")
            self._subscriptions[op.id] = task
            # It must follow before it can be cancelled, or nobody would notice that the run's only reader left.
            await asyncio.sleep(0)

    async def _follow(self, name: str, run_id: str, owner: str, after: int) -> None:
        wrapping = WebSocketFrames(name)
        try:
            async with self._millstream.supervisor.follow(run_id, owner, after) as follower:
                while (frames := await follower.read()) is not None:
                    if frames:
                        for message in wrapping.wrap(frames):
                            await self._socket.send_text(message)
                    if follower.at_end:  # the client may use the name again as soon as it has the end
                        return
        except MillstreamError as error:
            await self._send_error(name, error)
        except Cut:
            await self._socket.close(1012, "the run moved to another server; follow it again")
        except (WebSocketDisconnect, RuntimeError):
            pass  # the client left while we were writing
        finally:
            subscription = self._subscriptions.get(name)
            if subscription is asyncio.current_task():
                del self._subscriptions[name]

    def _authorize(self, token: str) -> None:
        """The token stands where `identify` looks for one in a request."""
        headers = [pair for pair in self._socket.scope["headers"] if pair[0] != b"authorization"]
        self._socket.scope["headers"] = [*headers, (b"authorization", b"Bearer " + token.encode())]
        self._owner = None

    async def _send_error(self, name: str | None, error: MillstreamError) -> None:
        body: dict[str, Any] = {"error": {"status": error.status, "code": error.code, "message": error.message}}
        retry_after = getattr(error, "retry_after", None)
        if retry_after is not None:
            body["error"]["retry_after"] = retry_after
        if name is not None:
            body = {"id": name, **body}
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            await self._socket.send_text(encode_json(body).decode())


async def websocket(socket: WebSocket) -> None:
    await Session(socket, millstream_of(socket)).serve()


routes: list[BaseRoute] = [WebSocketRoute("/api/ws", websocket)]
