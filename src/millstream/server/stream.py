"""One engine for every stream: follow a run and write its frames to an ASGI transport, whatever the framing."""

import asyncio

import msgspec
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from millstream.errors import Unavailable, status_of
from millstream.events import encode_json
from millstream.follower import Cut, Follower
from millstream.server.problem import problem
from millstream.snapshot import Fold, Snapshot
from millstream.wire.native import Framing

STREAM_HEADERS = [(b"cache-control", b"no-cache, no-transform"), (b"x-accel-buffering", b"no")]

# The client's leaving is looked for from then on: most answers that come at once have ended by then.
WATCH_AFTER_S = 0.002

JSON_HEADERS = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]

# Nobody reads it, but layers of a host's application take an answer without a beginning for a fault. As nginx's status.
CLIENT_GONE = Response(status_code=499)


class Reader:
    """The client's side of one stream: whether it is still there, and how long it has been sent nothing."""

    __slots__ = ("_follower", "_heartbeat_s", "_last", "_loop", "_receive", "_timer", "_watching", "gone")

    def __init__(self, receive: Receive, follower: Follower, heartbeat_s: float) -> None:
        self.gone = False
        self._receive = receive
        self._follower = follower
        self._heartbeat_s = heartbeat_s
        self._loop = asyncio.get_running_loop()
        self._last = self._loop.time()
        self._watching: asyncio.Future[Message] | None = None
        self._timer = self._loop.call_later(min(WATCH_AFTER_S, heartbeat_s), self._tick)

    def sent(self) -> None:
        self._last = self._loop.time()

    @property
    def silent(self) -> bool:
        """A heartbeat is due."""
        return self._loop.time() - self._last >= self._heartbeat_s

    def close(self) -> None:
        self._timer.cancel()
        if self._watching is not None:
            self._watching.cancel()

    def _tick(self) -> None:
        # One timer per stream, re-armed only when it fires: nothing per token.
        left = self._heartbeat_s - (self._loop.time() - self._last)
        if left <= 0:
            self._follower.nudge()
            left = self._heartbeat_s
        self._timer = self._loop.call_later(left, self._tick)
        if self._watching is None:
            self._watch()

    def _watch(self) -> None:
        # The task is `receive` itself: a coroutine around it would stay for as long as the stream is open.
        self._watching = asyncio.ensure_future(self._receive())
        self._watching.add_done_callback(self._on_message)

    def _on_message(self, received: "asyncio.Future[Message]") -> None:
        if received.cancelled():
            return
        if received.exception() is None and received.result()["type"] != "http.disconnect":
            self._watch()
            return
        self.gone = True
        self._follower.nudge()


async def send_head(send: Send, framing: Framing, headers: list[tuple[bytes, bytes]]) -> None:
    media_type = [(b"content-type", framing.media_type.encode())]
    await send({"type": "http.response.start", "status": 200, "headers": media_type + STREAM_HEADERS + headers})


async def send_stream(
    receive: Receive,
    send: Send,
    follower: Follower,
    framing: Framing,
    heartbeat_s: float,
    headers: list[tuple[bytes, bytes]],
) -> None:
    """Writes the run until its terminal event, or until the client leaves."""
    await send_head(send, framing, headers)
    reader = Reader(receive, follower, heartbeat_s)
    try:
        first = follower.cursor + 1
        while (frames := await follower.read()) is not None:
            if reader.gone:
                return
            body = framing.wrap(first, frames) if frames else framing.heartbeat
            last = follower.at_end  # then the body ends with it: one write less
            await send({"type": "http.response.body", "body": body, "more_body": not last})
            if last:
                return
            reader.sent()
            first = follower.cursor + 1
    except (Cut, Unavailable):
        pass  # the body ends without a terminal event: the client resumes
    finally:
        reader.close()
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def send_whole(
    scope: Scope,
    receive: Receive,
    send: Send,
    follower: Follower,
    heartbeat_s: float,
    headers: list[tuple[bytes, bytes]],
) -> None:
    """Writes the whole answer at once, as JSON.

    The status is withheld until the end: 200, or the failure's own. After `heartbeat_s` of silence it is 200, white
    space follows as heartbeat, and a failure shows as `state: failed`.
    """
    reader = Reader(receive, follower, heartbeat_s)
    fold = Fold()
    committed = False
    try:
        while (frames := await follower.read()) is not None:
            if reader.gone:
                if not committed:
                    await CLIENT_GONE(scope, receive, send)
                return
            fold.add_frames(frames)
            if reader.silent:
                if not committed:
                    await send({"type": "http.response.start", "status": 200, "headers": JSON_HEADERS + headers})
                    committed = True
                await send({"type": "http.response.body", "body": b" ", "more_body": True})
                reader.sent()
    except (Cut, Unavailable):
        if fold.seq == 0:
            raise
        # state is still "running": the client asks for the snapshot
    finally:
        reader.close()
    snapshot = fold.snapshot()
    if committed:
        await send({"type": "http.response.body", "body": encode_json(snapshot), "more_body": False})
        return
    response = whole_response(snapshot)
    response.raw_headers.extend(headers)
    await response(scope, receive, send)


def whole_response(snapshot: Snapshot) -> Response:
    """The ended run: its snapshot, or a problem with the failure's status that holds the partial message too."""
    error = snapshot.message.error
    if error is None:
        return Response(encode_json(snapshot), 200, {"Cache-Control": "no-store"}, "application/json")
    return problem(
        error.status or status_of(error.code),
        error.code,
        error.message,
        retry_after=error.retry_after,
        extra={**msgspec.to_builtins(snapshot), "retryable": error.retryable},
    )
