"""One server over HTTP: requests, refusals in the server's own words, and lines however long."""

import asyncio
import os
from base64 import b64encode
from collections.abc import AsyncGenerator, Mapping
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import aiohttp
import msgspec

from millstream.errors import CursorAhead, Gone, InputError, MillstreamError, RunError, Unavailable

# The server sends a heartbeat every 15 s; a stream silent for much longer is dead.
SILENCE_S = 45.0
CONNECT_S = 10.0

T = TypeVar("T")


class Connection:
    """`token` is sent as a bearer token, `headers` with every request, a name and password in `url` as HTTP Basic.

    The HTTP session is made with the first request, for each event loop anew. `url` is then without the password.
    Raises InputError for what no header can hold.
    """

    def __init__(self, url: str, token: str | None, headers: Mapping[str, str]) -> None:
        self._headers = dict(headers)
        self.url, secret = _without_secret(url.rstrip("/"))
        if token and secret:
            raise InputError("There are a token and a password in the address; a request carries one. Leave out one.")
        if token or secret:
            self._headers["Authorization"] = f"Bearer {token}" if token else f"Basic {secret}"
        for name, value in self._headers.items():
            if not value.isprintable():
                what = "token" if token and name == "Authorization" else f"header {name}"
                raise InputError(f"The {what} holds a line break or another control character. Give it alone.")
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None  # the session's

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def request(self, method: str, path: str, **options: Any) -> aiohttp.ClientResponse:
        """The server's answer, which is not a refusal.

        Raises InputError for a url that is none, or not that of a Millstream server, MillstreamError with the server's
        words when it refuses, Unavailable when it cannot be reached.
        """
        session = self._session_of_this_loop()
        try:
            response = await session.request(method, self.url + path, allow_redirects=False, **options)
            if response.status < 300 and response.content_type != "text/html":
                return response
            async with response:
                if response.status < 300:
                    raise InputError(f"{self.url} is no Millstream server: it answered with a web page.")
                if response.status < 400:
                    target = response.headers.get("Location", "elsewhere").partition("?")[0]
                    raise InputError(f"{self.url} redirects to {target}. Give the address of the server itself.")
                raise _refusal(response.status, await response.read())
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as error:
            raise InputError(f"{self.url!r} is not the address of a server; it begins with http://.") from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _unreachable(self.url, error) from error

    def _session_of_this_loop(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        if self._session is not None and self._loop is not loop:
            self._session.detach()  # its connections ended with its loop
            self._session = None
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENCE_S)
            self._session = aiohttp.ClientSession(timeout=timeout, headers=self._headers)
            self._loop = loop
        return self._session

    async def read(self, kind: type[T], method: str, path: str, **options: Any) -> T:
        """The server's answer as JSON. Raises as `request`."""
        async with await self.request(method, path, **options) as response:
            try:
                return msgspec.json.decode(await response.read(), type=kind)
            except (aiohttp.ClientError, TimeoutError) as error:
                raise _unreachable(self.url, error) from error
            except msgspec.DecodeError as error:
                raise Unavailable(f"{self.url} is no Millstream server of this version: {error}.") from error


def _without_secret(url: str) -> tuple[str, str | None]:
    """The address without the name and password in it, and these as HTTP Basic sends them (RFC 7617)."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url, None  # it is no address: that is told with the first request
    userinfo, at, host = parts.netloc.rpartition("@")
    if not at:
        return url, None
    userinfo = unquote(userinfo if ":" in userinfo else f"{userinfo}:")
    return parts._replace(netloc=host).geturl(), b64encode(userinfo.encode()).decode()


async def lines(response: aiohttp.ClientResponse) -> AsyncGenerator[bytes, None]:
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
    reason = str(error) or type(error).__name__
    if isinstance(error, aiohttp.ClientConnectorError) and error.errno is not None:
        # aiohttp's own words are those of its insides; negative numbers are those of names that are not found.
        reason = os.strerror(error.errno) if error.errno > 0 else str(error.strerror)
    return Unavailable(f"{url} cannot be reached: {reason}.")


def _refusal(status: int, body: bytes) -> MillstreamError:
    try:
        problem = msgspec.json.decode(body)
        detail, code = str(problem["detail"]), str(problem["code"])
    except (msgspec.DecodeError, TypeError, KeyError):
        if status in (502, 503, 504):  # a proxy whose server is away
            return Unavailable(f"The server is not there: its proxy answered {status}.")
        detail, code, problem = f"The server answered {status}.", "http-error", {}
        if status == 401:
            detail = "The server wants a token, or another one: set MILLSTREAM_TOKEN, or `token` of a client in Python."
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
    return refused(status, detail, code)


def refused(status: int, detail: str, code: str) -> InputError:
    """The server's refusal of what was asked for."""
    error = InputError(detail, code=code)
    error.status = status
    return error
