"""A client of a Millstream server: follows a run through cuts, so that every event comes exactly once."""

import asyncio
import uuid
from collections.abc import AsyncGenerator
from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec

from millstream.errors import InputError, MillstreamError, RunError, Unavailable
from millstream.events import AnyEvent, RunFailed, RunFinished, RunStopped, decode
from millstream.snapshot import Snapshot

# Waits between attempts to resume, in seconds; the last is repeated.
BACKOFF_S = (0.1, 0.5, 1.0, 2.0, 5.0)
# A server that cannot be reached for so many attempts in a row is given up.
ATTEMPTS = 10
# The server sends a heartbeat every 15 s; a stream silent for much longer is dead.
SILENCE_S = 45.0


class Client:
    """Use as `async with Client(url) as client`. `token` is sent as a bearer token."""

    def __init__(self, url: str, *, token: str | None = None) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=SILENCE_S)
        self._session = aiohttp.ClientSession(timeout=timeout, headers=self._headers, read_bufsize=2**18)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def stream(self, request: dict[str, Any]) -> AsyncGenerator[AnyEvent, None]:
        """Starts the run that `request` (the body of `POST /api/runs`) asks for and yields its events, each once.

        Resumes after every cut. Raises MillstreamError with the server's words when it refuses, Unavailable when it
        cannot be reached, and RunError when events were lost with a server that died (the snapshot has what is left).
        """
        request = {"run_id": uuid.uuid4().hex, **request, "stream": True}
        run_id = request["run_id"]
        seq, failures = 0, 0
        while True:
            try:
                if seq == 0:
                    response = await self._request("POST", "/api/runs", json=request)
                else:
                    response = await self._request(
                        "GET", f"/api/runs/{run_id}/events?after={seq}", headers={"Accept": "application/x-ndjson"}
                    )
                async with response:
                    async for line in response.content:
                        event = decode(line) if line.endswith(b"\n") and line.strip() else None
                        if event is None or event.seq <= seq:
                            continue
                        failures = 0
                        seq = event.seq
                        yield event
                        if isinstance(event, RunFinished | RunStopped | RunFailed):
                            return
            except (aiohttp.ClientError, TimeoutError) as error:
                if failures >= ATTEMPTS:
                    raise Unavailable(f"{self._url} cannot be reached: {error or type(error).__name__}.") from error
            except Unavailable:
                if seq == 0 or failures >= ATTEMPTS:
                    raise
            await asyncio.sleep(BACKOFF_S[min(failures, len(BACKOFF_S) - 1)])
            failures += 1

    async def run(self, request: dict[str, Any]) -> Snapshot:
        """The whole answer at once. Raises MillstreamError, also when the run failed."""
        async with await self._request("POST", "/api/runs", json={**request, "stream": False}) as response:
            return msgspec.json.decode(await response.read(), type=Snapshot)

    async def stop(self, run_id: str, seen: int | None = None) -> Snapshot:
        """Stops the run; `seen` counts the code points of the answer that the reader had on screen."""
        body = {} if seen is None else {"seen": seen}
        async with await self._request("POST", f"/api/runs/{run_id}/stop", json=body) as response:
            return msgspec.json.decode(await response.read(), type=Snapshot)

    async def snapshot(self, run_id: str) -> Snapshot:
        async with await self._request("GET", f"/api/runs/{run_id}") as response:
            return msgspec.json.decode(await response.read(), type=Snapshot)

    async def _request(self, method: str, path: str, **options: Any) -> aiohttp.ClientResponse:
        assert self._session is not None
        response = await self._session.request(method, self._url + path, **options)
        if response.status < 400:
            return response
        async with response:
            raise _refusal(response.status, await response.read())


def _refusal(status: int, body: bytes) -> MillstreamError:
    try:
        problem = msgspec.json.decode(body)
        detail, code = str(problem["detail"]), str(problem["code"])
    except (msgspec.DecodeError, TypeError, KeyError):
        detail, code, problem = f"The server answered {status}.", "http-error", {}
    if status == 503:
        return Unavailable(detail, code=code, retry_after=problem.get("retry_after"))
    if "message" in problem:
        return RunError(detail, code=code, status=status, retryable=bool(problem.get("retryable")))
    error = InputError(detail, code=code)
    error.status = status
    return error
