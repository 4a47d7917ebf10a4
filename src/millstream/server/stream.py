"""One engine for every stream: follow a run and write its frames to an ASGI transport, whatever the framing."""

import asyncio
from contextlib import AbstractAsyncContextManager

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

Following = AbstractAsyncContextManager[Follower]

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


class Head:
    """An ASGI response: how the stream of a run begins, and nothing of it."""

    def __init__(self, run_id: str, framing: Framing) -> None:
        self._run_id = run_id
        self._framing = framing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send(_head(self._run_id, self._framing))
        await send({"type": "http.response.body", "body": b""})


class Stream:
    """An ASGI response: the run as it comes, until its terminal event, or until the client leaves.

    It follows, reads and writes in one coroutine: each one more would be woken for every token.
    """

    __slots__ = ("_following", "_framing", "_heartbeat_s", "_run_id")

    def __init__(self, following: Following, run_id: str, heartbeat_s: float, framing: Framing) -> None:
        self._following = following
        self._run_id = run_id
        self._heartbeat_s = heartbeat_s
        self._framing = framing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        framing = self._framing
        async with self._following as follower:
            await send(_head(self._run_id, framing))
            reader = Reader(receive, follower, self._heartbeat_s)
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


class Whole:
    """An ASGI response: the whole answer at once, as JSON.

    The status is withheld until the end: 200, or the failure's own. After `heartbeat_s` of silence it is 200, white
    space follows as heartbeat, and a failure shows as `state: failed`.
    """

    def __init__(self, following: Following, run_id: str, heartbeat_s: float) -> None:
        self._following = following
        self._headers = [_run_header(run_id)]
        self._heartbeat_s = heartbeat_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._following as follower:
            await self._send(scope, receive, send, follower)

    async def _send(self, scope: Scope, receive: Receive, send: Send, follower: Follower) -> None:
        reader = Reader(receive, follower, self._heartbeat_s)
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
                        headers = JSON_HEADERS + self._headers
                        await send({"type": "http.response.start", "status": 200, "headers": headers})
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
        response.raw_headers.extend(self._headers)
        await response(scope, receive, send)


def _head(run_id: str, framing: Framing) -> Message:
    media_type = (b"content-type", framing.media_type.encode())
    headers = [media_type, *STREAM_HEADERS, _run_header(run_id)]
    return {"type": "http.response.start", "status": 200, "headers": headers}


def _run_header(run_id: str) -> tuple[bytes, bytes]:
    return b"millstream-run", run_id.encode()


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
