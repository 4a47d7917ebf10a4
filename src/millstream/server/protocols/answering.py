"""Answers of a foreign protocol: start a run, follow it from its first event, and send what its encoder makes of it.

The status is withheld until the first visible frame (whatever an encoder makes of an event after `run.started`, waiting
to ask the model again apart), the terminal event or the first heartbeat: a model's 429 reaches the client as 429.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from millstream.errors import RunError, Unavailable, status_of
from millstream.events import AnyEvent, RunFailed, RunStarted, StepFinished, StepStarted, decode_all, encode_json
from millstream.follower import Cut, Follower
from millstream.live import WhenUnread
from millstream.recovery import interrupted
from millstream.request import RunRequest, check_request
from millstream.server.app_of import millstream_of
from millstream.server.bounds import within_bounds
from millstream.server.identity import owner_of
from millstream.server.protocols.endpoint import Refuse
from millstream.server.stream import CLIENT_GONE, STREAM_HEADERS, Reader
from millstream.wire.encoder import Encoder

JSON_CACHE = [(b"cache-control", b"no-store")]


async def start_run(
    request: Request, asked: RunRequest, *, resumable: bool, stream: bool, background: bool = False
) -> str:
    """Starts the run and returns its id. Raises InputError, Conflict, NotFound, Unavailable.

    Where a client cannot come back to it (`resumable` is false), a run is stopped when its client is gone; one in the
    `background` never is.
    """
    millstream = millstream_of(request)
    within_bounds(check_request(asked), millstream.settings)
    owner = await owner_of(request, millstream.identify)
    policy: WhenUnread | None = "finish" if background else None if resumable else "stop"
    run_id, _ = await millstream.supervisor.start(asked, owner, when_unread=policy, paced=stream)
    return run_id


class RunAnswer:
    """An ASGI response: the run as `encoder` writes it, streamed, or whole as JSON.

    Without `withhold` its status is 200 at once: the client comes back to a run that it knows.
    """

    def __init__(
        self,
        run_id: str,
        encoder: Encoder,
        refuse: Refuse,
        *,
        stream: bool,
        headers: Mapping[str, str] | None = None,
        withhold: bool = True,
    ) -> None:
        self._run_id = run_id
        self._encoder = encoder
        self._refuse = refuse
        self._stream = stream
        self._withhold = withhold
        self._retries: set[str | None] = set()
        self._headers = [(b"millstream-run", run_id.encode())]
        self._headers += [(name.encode(), value.encode()) for name, value in (headers or {}).items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD":  # it asks how the answer would begin, and is no reader
            await self._send_head(send, self._encoder.media_type, STREAM_HEADERS)
            await send({"type": "http.response.body", "body": b""})
            return
        request = Request(scope)
        millstream = millstream_of(request)
        owner = await owner_of(request, millstream.identify)
        send_form = self._send_stream if self._stream else self._send_whole
        async with millstream.supervisor.follow(self._run_id, owner) as follower:
            reader = Reader(receive, follower, millstream.settings.heartbeat)
            try:
                async with aclosing(self._events(follower)) as batches:
                    await send_form(scope, receive, send, batches, reader)
            finally:
                reader.close()

    async def _events(self, follower: Follower) -> AsyncGenerator[list[AnyEvent], None]:
        """The run's events as they come; none at all means that a heartbeat is due, or that the client left."""
        try:
            while (frames := await follower.read()) is not None:
                yield [event for event in decode_all(frames) if event is not None]
        except (Cut, Unavailable):
            if not self._encoder.resumable:  # else the body ends without an end, and the client comes back
                yield [interrupted()]

    async def _send_stream(
        self, scope: Scope, receive: Receive, send: Send, batches: AsyncGenerator[list[AnyEvent], None], reader: Reader
    ) -> None:
        encoder = self._encoder
        held = b""  # what is withheld together with the status
        committed = False
        async for events in batches:
            if reader.gone:
                if not committed:
                    await CLIENT_GONE(scope, receive, send)
                return
            body = b"" if events else encoder.heartbeat
            visible = committed or not events or not self._withhold
            for event in events:
                if not visible and isinstance(event, RunFailed):
                    await self._refuse(error_of(event))(scope, receive, send)
                    return
                encoded = encoder.encode(event)
                visible = visible or (encoded != b"" and not self._is_preliminary(event))
                body += encoded
            if not visible:
                held += body
                continue
            if not committed:
                await self._send_head(send, encoder.media_type, STREAM_HEADERS)
                body, held, committed = held + body, b"", True
            if body:
                await send({"type": "http.response.body", "body": body, "more_body": True})
                reader.sent()
        if not committed:  # an answer without a single visible frame
            await self._send_head(send, encoder.media_type, STREAM_HEADERS)
        await send({"type": "http.response.body", "body": held, "more_body": False})

    def _is_preliminary(self, event: AnyEvent) -> bool:
        """Whether it may still come to a status: the beginning, and waiting to ask the model again."""
        if isinstance(event, StepStarted) and event.name == "retry":
            self._retries.add(event.step_id)
        step_id = event.step_id if isinstance(event, StepStarted | StepFinished) else None
        return isinstance(event, RunStarted) or step_id in self._retries

    async def _send_whole(
        self, scope: Scope, receive: Receive, send: Send, batches: AsyncGenerator[list[AnyEvent], None], reader: Reader
    ) -> None:
        committed = False
        failed: RunFailed | None = None
        async for events in batches:
            if reader.gone:
                if not committed:
                    await CLIENT_GONE(scope, receive, send)
                return
            for event in events:
                self._encoder.encode(event)
                failed = event if isinstance(event, RunFailed) else failed
            if reader.silent:
                if not committed:
                    await self._send_head(send, "application/json", JSON_CACHE)
                    committed = True
                await send({"type": "http.response.body", "body": b" ", "more_body": True})
                reader.sent()
        refused = self._refuse(error_of(failed)) if failed is not None else None
        if refused is not None and not committed:
            await refused(scope, receive, send)
            return
        if not committed:
            await self._send_head(send, "application/json", JSON_CACHE)
        body = encode_json(self._encoder.whole()) if refused is None or self._encoder.tells_failure else refused.body
        await send({"type": "http.response.body", "body": body, "more_body": False})

    async def _send_head(self, send: Send, media_type: str, caching: list[tuple[bytes, bytes]]) -> None:
        headers = [(b"content-type", media_type.encode()), *caching, *self._headers]
        await send({"type": "http.response.start", "status": 200, "headers": headers})


def error_of(event: RunFailed) -> RunError:
    """The failure as the error that it would have been before the run began."""
    return RunError(
        event.message,
        code=event.code,
        status=event.status or status_of(event.code),
        retryable=event.retryable,
        retry_after=event.retry_after,
    )
