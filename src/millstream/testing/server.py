"""The server: real sockets, the service's own strictness, and a record of what was asked, sent and given up."""

import asyncio
import json
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from ssl import SSLContext
from types import TracebackType
from typing import Any

from aiohttp import web

from millstream.models.script import (
    CountTokens,
    Cut,
    Delay,
    End,
    Malformed,
    PromptBlocked,
    RateLimited,
    Refusal,
    Refused,
    SayReasoning,
    SayText,
    Script,
    ScriptedCall,
    Stall,
)
from millstream.testing.dialect import ChunkWriter, Dialect, completion_json
from millstream.testing.requests import (
    PROMPT_BLOCKED,
    ChatRequest,
    Rejection,
    check_azure,
    check_openai_key,
    invalid,
    parse_request,
)

KEPT_ANSWERS = 10_000


@dataclass
class Answer:
    """One request for an answer and what became of it. Times are `time.monotonic()` seconds.

    `client` is the other end of its connection. `tokens` counts the pieces that were sent; `finished` is true when all
    of the script was. `closed` is set when the answer is over in either way, so that a test can wait for it.
    """

    client: tuple[str, int] | None
    path: str
    headers: Mapping[str, str]
    body: Any
    started_at: float
    status: int = 200
    tokens: int = 0
    finished: bool = False
    disconnected_at: float | None = None
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def disconnected(self) -> bool:
        """The client went away before the end."""
        return self.disconnected_at is not None


class ModelServer:
    """Serves `script` on 127.0.0.1: each request for an answer, refused ones included, is the script's next call.

    With a `key` every request must carry it. `models` are the names (or Azure deployments) that exist; None takes any.
    `answers` holds what was asked and became of it, oldest first; requests rejected as invalid are in `rejected`.
    """

    def __init__(
        self,
        script: Script,
        *,
        port: int = 0,
        key: str | None = None,
        models: frozenset[str] | None = None,
        dialect: Dialect | None = None,
        tls: SSLContext | None = None,
    ) -> None:
        self.script = script
        self.answers: deque[Answer] = deque(maxlen=KEPT_ANSWERS)
        self.rejected: deque[Answer] = deque(maxlen=KEPT_ANSWERS)
        self._port = port
        self._key = key
        self._models = models
        self._dialect = dialect or Dialect()
        self._tls = tls
        self._calls = 0
        self._runner: web.AppRunner | None = None
        self._arrived = asyncio.Condition()

    async def __aenter__(self) -> "ModelServer":
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listens. Raises OSError when the port is taken."""
        app = web.Application(middlewares=[self._as_json])
        app.router.add_post("/v1/chat/completions", self._openai)
        app.router.add_get("/v1/models", self._list_models)
        app.router.add_post("/openai/v1/chat/completions", self._openai)
        app.router.add_post("/openai/deployments/{deployment}/chat/completions", self._azure)
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, ssl_context=self._tls)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @property
    def origin(self) -> str:
        """`http://127.0.0.1:PORT`: Azure's endpoint."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}"

    @property
    def base_url(self) -> str:
        """OpenAI's base URL."""
        return f"{self.origin}/v1"

    async def asked(self, count: int = 1) -> Answer:
        """Waits until `count` answers were asked for; the last of them."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: len(self.answers) >= count)
        return self.answers[count - 1]

    async def _openai(self, request: web.Request) -> web.StreamResponse:
        async def accept(body: bytes) -> ChatRequest:
            if self._key is not None:
                check_openai_key(request.headers.get("Authorization"), self._key)
            return parse_request(body)

        return await self._answer(request, accept)

    async def _azure(self, request: web.Request) -> web.StreamResponse:
        async def accept(body: bytes) -> ChatRequest:
            check_azure(self._key, request.headers.get("api-key"), request.query.get("api-version"))
            return parse_request(body, deployment=request.match_info["deployment"])

        return await self._answer(request, accept)

    async def _answer(
        self, request: web.Request, accept: Callable[[bytes], Awaitable[ChatRequest]]
    ) -> web.StreamResponse:
        body = await request.read()
        answer = Answer(
            client=request.transport.get_extra_info("peername") if request.transport else None,
            path=request.path_qs,
            headers=dict(request.headers),
            body=_decoded(body),
            started_at=time.monotonic(),
        )
        try:
            asked = await accept(body)
            self._check_model(asked.model, azure="deployment" in request.match_info)
        except Rejection as rejection:
            answer.status = rejection.status
            self.rejected.append(answer)
            raise
        call = self.script.call(self._calls)
        self._calls += 1
        await self._record(answer)
        try:
            response = await self._play(request, asked, call, answer)
            answer.finished = True
            return response
        except (asyncio.CancelledError, ConnectionResetError):
            answer.disconnected_at = time.monotonic()
            raise
        except Rejection as rejection:
            answer.status = rejection.status
            raise
        finally:
            answer.closed.set()

    async def _record(self, answer: Answer) -> None:
        async with self._arrived:
            self.answers.append(answer)
            self._arrived.notify_all()

    def _check_model(self, model: str, *, azure: bool) -> None:
        if self._models is None or model in self._models:
            return
        if azure:
            raise Rejection(
                404,
                {
                    "code": "DeploymentNotFound",
                    "message": "The API deployment for this resource does not exist. If you created the deployment "
                    "within the last 5 minutes, please wait a moment and try again.",
                },
            )
        raise invalid(
            f"The model `{model}` does not exist or you do not have access to it.", code="model_not_found", status=404
        )

    async def _play(
        self, request: web.Request, asked: ChatRequest, call: ScriptedCall, answer: Answer
    ) -> web.StreamResponse:
        if call.refusal is not None:
            await asyncio.sleep(sum(step.seconds for step in call.steps if isinstance(step, Delay)))
            raise _refusal(call.refusal)
        if not asked.stream or self._dialect.ignores_stream:
            return await self._play_whole(asked, call, answer)
        for step in call.steps:
            if isinstance(step, Stall) and step.before == "headers":
                await _for_ever()
        stream = _Stream(request, self._dialect, asked)
        await stream.open()
        await stream.play(call, answer)
        return stream.response

    async def _play_whole(self, asked: ChatRequest, call: ScriptedCall, answer: Answer) -> web.Response:
        reason, usage = "stop", None
        for step in call.complete():
            match step:
                case Delay(seconds=seconds):
                    await asyncio.sleep(seconds)
                case SayText() | SayReasoning():
                    answer.tokens += len(step.split())
                case CountTokens():
                    usage = step
                case End():
                    reason = step.reason
                case Stall():
                    await _for_ever()
                case _:
                    raise Rejection(500, {"message": "The server had an error", "type": "server_error"})
        body = completion_json(
            self._dialect, asked.model, text=call.text, reasoning=call.reasoning, reason=reason, usage=usage
        )
        return web.Response(body=body, content_type="application/json")

    async def _list_models(self, request: web.Request) -> web.Response:
        if self._key is not None:
            check_openai_key(request.headers.get("Authorization"), self._key)
        names = sorted(self._models or {"scripted"})
        listed = [{"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "millstream"} for name in names]
        return web.json_response({"object": "list", "data": listed})

    @web.middleware
    async def _as_json(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Every refusal has the service's error body."""
        try:
            return await handler(request)
        except Rejection as rejection:
            body = {"error": rejection.error}
            return web.json_response(body, status=rejection.status, headers=rejection.headers)
        except web.HTTPException as error:
            message = f"Invalid URL ({request.method} {request.path})"
            return web.json_response({"error": invalid(message).error}, status=error.status)


class _Stream:
    """One streamed answer."""

    def __init__(self, request: web.Request, dialect: Dialect, asked: ChatRequest) -> None:
        self.response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        self._request = request
        self._dialect = dialect
        options = asked.stream_options
        self._chunks = ChunkWriter(dialect, asked.model, include_usage=options is not None and options.include_usage)

    async def open(self) -> None:
        await self.response.prepare(self._request)

    async def play(self, call: ScriptedCall, answer: Answer) -> None:
        """Sends the script. The client's departure cancels it at the next wait."""
        await self._write(self._chunks.opening())
        usage: CountTokens | None = next((s for s in call.steps if isinstance(s, CountTokens)), None)
        for step in call.complete():
            match step:
                case SayText() | SayReasoning():
                    await self._say(step, answer)
                case Delay(seconds=seconds):
                    await self._wait(seconds)
                case CountTokens():
                    await self._write(self._chunks.usage(step))
                case End(reason=reason):
                    await self._write(self._chunks.finish(reason, usage))
                case Stall():
                    await self._wait(None)
                case Malformed():
                    await self._write([self._chunks.malformed()])
                    return
                case RateLimited() | Refused() | PromptBlocked():
                    await self._write([self._chunks.error(_refusal(step).error)])
                    return
                case Cut():
                    self._cut()
                    return
        await self._write(self._chunks.ending())
        await self.response.write_eof()

    async def _say(self, step: SayText | SayReasoning, answer: Answer) -> None:
        chunk = self._chunks.text if isinstance(step, SayText) else self._chunks.reasoning
        pieces = step.split()
        if step.rate is None:
            await self._write([b"".join(map(chunk, pieces))])
            answer.tokens += len(pieces)
            return
        # The pace is kept by the clock, so that a late piece does not delay the ones after it.
        loop = asyncio.get_running_loop()
        begun = loop.time()
        for number, piece in enumerate(pieces):
            if number:
                await asyncio.sleep(begun + number / step.rate - loop.time())
            await self._write([chunk(piece)])
            answer.tokens += 1

    async def _wait(self, seconds: float | None) -> None:
        """Waits, for ever if None, with a comment every `heartbeat_s` if the dialect has them."""
        beat = self._dialect.heartbeat_s
        if beat is None:
            await (_for_ever() if seconds is None else asyncio.sleep(seconds))
            return
        while seconds is None or seconds > 0:
            await asyncio.sleep(beat if seconds is None else min(beat, seconds))
            await self._write([self._chunks.heartbeat()])
            seconds = None if seconds is None else seconds - beat

    async def _write(self, chunks: list[bytes]) -> None:
        size = self._dialect.write_bytes
        for chunk in chunks:
            parts = [chunk] if size is None else [chunk[i : i + size] for i in range(0, len(chunk), size)]
            for part in parts:
                await self.response.write(part)
                if size is not None:
                    await asyncio.sleep(0)

    def _cut(self) -> None:
        """Ends the connection in the middle of the body; what was written before still arrives."""
        if self._request.transport is not None:
            self._request.transport.close()


async def _for_ever() -> None:
    await asyncio.get_running_loop().create_future()


def _refusal(step: Refusal) -> Rejection:
    match step:
        case RateLimited():
            rejection = invalid(step.message, code="rate_limit_exceeded", status=429)
            rejection.error["type"] = "requests"
            if step.retry_after is not None:
                rejection.headers["Retry-After"] = f"{step.retry_after:g}"
            return rejection
        case Refused():
            rejection = invalid(step.message, code=step.code, status=step.status)
            if step.status >= 500:
                rejection.error["type"] = "server_error"
            return rejection
        case PromptBlocked():
            return Rejection(400, PROMPT_BLOCKED)


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None
