"""A client of a Millstream server: follows a run through cuts, so that every event comes exactly once."""

import asyncio
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec

from millstream.errors import CursorAhead, Gone, InputError, MillstreamError, RunError, Unavailable
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
        self._session = aiohttp.ClientSession(timeout=timeout, headers=self._headers)
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
        seq, failures, reached = 0, 0, False
        while True:
            before = seq
            try:
                if seq == 0:
                    response = await self._request("POST", "/api/runs", json=request)
                else:
                    response = await self._request(
                        "GET", f"/api/runs/{run_id}/events?after={seq}", headers={"Accept": "application/x-ndjson"}
                    )
                reached = True
                async with response, aclosing(_lines(response)) as lines:
                    async for line in lines:
                        event = decode(line) if line.strip() else None
                        if event is None or event.seq <= seq:
                            continue
                        seq = event.seq
                        yield event
                        if isinstance(event, RunFinished | RunStopped | RunFailed):
                            return
                reason = Unavailable(f"{self._url} ended the answer before its end, again and again.")
            except Unavailable as error:
                if not reached:
                    raise  # nobody is there, or nobody takes the question: waiting is for the caller to decide
                reason = error
            failures = 1 if seq > before else failures + 1
            if failures > ATTEMPTS:
                raise reason
            await asyncio.sleep(BACKOFF_S[min(failures, len(BACKOFF_S)) - 1])

    async def run(self, request: dict[str, Any]) -> Snapshot:
        """The whole answer at once. Raises MillstreamError, also when the run failed (with the status withheld)."""
        return await self._snapshot("POST", "/api/runs", json={**request, "stream": False})

    async def stop(self, run_id: str, seen: int | None = None) -> Snapshot:
        """Stops the run; `seen` counts the code points of the answer that the reader had on screen."""
        body = {} if seen is None else {"seen": seen}
        return await self._snapshot("POST", f"/api/runs/{run_id}/stop", json=body)

    async def snapshot(self, run_id: str) -> Snapshot:
        return await self._snapshot("GET", f"/api/runs/{run_id}")

    async def _request(self, method: str, path: str, **options: Any) -> aiohttp.ClientResponse:
        """The server's answer, which is not a refusal. Raises InputError for a url that is none, else as `stream`."""
        assert self._session is not None
        try:
            response = await self._session.request(method, self._url + path, **options)
            if response.status < 400:
                return response
            async with response:
                raise _refusal(response.status, await response.read())
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as error:
            raise InputError(f"{self._url!r} is not the address of a server; it begins with http://.") from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _unreachable(self._url, error) from error

    async def _snapshot(self, method: str, path: str, **options: Any) -> Snapshot:
        async with await self._request(method, path, **options) as response:
            try:
                return msgspec.json.decode(await response.read(), type=Snapshot)
            except (aiohttp.ClientError, TimeoutError) as error:
                raise _unreachable(self._url, error) from error


async def _lines(response: aiohttp.ClientResponse) -> AsyncGenerator[bytes, None]:
    """Whole lines, however long. Raises Unavailable where the connection was cut."""
    rest = bytearray()
    try:
        async for piece in response.content.iter_any():
            begin = len(rest)
            rest += piece
            end = rest.rfind(b"\n", begin) + 1
            if end:
                for line in bytes(rest[:end]).split(b"\n"):
                    yield line
                del rest[:end]
    except (aiohttp.ClientError, TimeoutError) as error:
        raise _unreachable(str(response.url.origin()), error) from error


def _unreachable(url: str, error: Exception) -> Unavailable:
    return Unavailable(f"{url} cannot be reached: {error or type(error).__name__}.")


def _refusal(status: int, body: bytes) -> MillstreamError:
    try:
        problem = msgspec.json.decode(body)
        detail, code = str(problem["detail"]), str(problem["code"])
    except (msgspec.DecodeError, TypeError, KeyError):
        if status in (502, 503, 504):  # a proxy whose server is away
            return Unavailable(f"The server is not there: its proxy answered {status}.")
        detail, code, problem = f"The server answered {status}.", "http-error", {}
    if "message" in problem or code in (CursorAhead.code, Gone.code):
        return RunError(
            detail,
            code=code,
            status=status,
            retryable=bool(problem.get("retryable")),
            retry_after=problem.get("retry_after"),
        )
    if status == 503:
        return Unavailable(detail, code=code, retry_after=problem.get("retry_after"))
    error = InputError(detail, code=code)
    error.status = status
    return error
