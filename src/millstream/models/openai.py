"""OpenAI, Azure OpenAI and every server that speaks Chat Completions (Ollama, vLLM, llama.cpp, LiteLLM, …).

The SDK says where and as whom (`endpoint`); the stream itself is read from aiohttp as bytes and decoded by `chunks`.
"""

import asyncio
import contextlib
import email.utils
import ssl
import urllib.request
from collections.abc import AsyncGenerator, Mapping
from datetime import UTC, datetime
from typing import Any

import aiohttp
import msgspec
from yarl import URL

from millstream.errors import ModelError
from millstream.models import ModelOptions, ModelOutput, Prompt, failures
from millstream.models.chunks import ChunkTranslator, WholeTranslator
from millstream.models.connections import Connector
from millstream.models.decoding import ErrorDetail
from millstream.models.endpoint import Endpoint
from millstream.models.patience import Patience
from millstream.models.sse import BOM
from millstream.models.timeouts import Timeouts

# After the finish reason: how long usage and a late filter verdict may take.
TAIL_S = 5.0
# After [DONE]: how long the end of the body may take; later than that the connection is not kept for the next call.
DRAIN_S = 0.1
MAX_ERROR_BYTES = 64 * 1024
# How a read tells that nothing more comes: the connection broke, its deadline passed (TimeoutError is an OSError), or,
# in aiohttp's word on uvloop, its session was closed before.
BROKEN = (aiohttp.ClientError, OSError, RuntimeError)


class OpenAIModel:
    """A `ChatModel` over Chat Completions. `model` is what the request asks for, `name` what `run.started` shows.

    `tls` says which certificates are trusted; by default those that the system trusts (or SSL_CERT_FILE names).
    """

    quotes = False

    def __init__(
        self,
        model: str,
        endpoint: Endpoint,
        *,
        name: str | None = None,
        timeouts: Timeouts | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.name = name or f"openai/{model}"
        self._model = model
        self._endpoint = endpoint
        self._who = endpoint.host
        self._url = URL(endpoint.url, encoded=True)
        self._proxy, self._proxy_auth = proxy_for(self._url)
        self._timeouts = timeouts or Timeouts()
        self._tls: ssl.SSLContext | bool = tls or True
        self._session: aiohttp.ClientSession | None = None

    async def stream(self, prompt: Prompt, options: ModelOptions) -> AsyncGenerator[ModelOutput, None]:
        """See `ChatModel.stream`. Closing the generator closes the upstream connection at once."""
        response, asked_at = await self._ask(_body(self._model, prompt, options))
        body = response.content
        patience = Patience(body, limit_s=self._timeouts.first_token_s, since=asked_at)
        translator: ChunkTranslator | WholeTranslator | None = None
        waits_for = "first token"
        lost = ""
        try:
            while True:
                patience.reading = True
                try:
                    data = await body.readany()
                except BROKEN as error:
                    lost = reason_for(error)
                    break
                finally:
                    patience.reading = False
                if not data:
                    break
                if translator is None:
                    if data.isspace():
                        continue
                    # A server that ignores `stream: true` answers with JSON.
                    is_json = data.removeprefix(BOM).lstrip().startswith((b"{", b"["))
                    translator = (WholeTranslator if is_json else ChunkTranslator)(self._who)
                outputs = translator.feed(data)
                for output in outputs:
                    yield output
                if translator.failure is not None:
                    raise translator.failure
                if translator.done:
                    break
                if translator.finish_reason is not None and waits_for != "tail":
                    waits_for = "tail"
                    patience.allow(TAIL_S)
                elif outputs:
                    if waits_for != "first token":
                        patience.rewind()
                    else:
                        waits_for = "next token"
                        patience.allow(self._timeouts.between_tokens_s)
            translator = translator or ChunkTranslator(self._who)
            for output in translator.end(reason=lost):
                yield output
            if translator.failure is not None:
                raise self._silence(translator.started) if patience.expired else translator.failure
            if translator.done:
                await _drain(body, patience)
        finally:
            translator = None  # what it failed with would keep it, by this frame in its traceback
            patience.cancel()
            # One whose answer was read to its end is given back for reuse, any other is closed at once.
            response.close()

    async def close(self) -> None:
        """Closes every connection, those in use included."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _ask(self, body: bytes) -> tuple[aiohttp.ClientResponse, float]:
        """The response of a call that was accepted, and when (loop time) it was made."""
        asked_at = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout_at(asked_at + self._timeouts.first_token_s):
                response = await self._connected().post(
                    self._url,
                    data=body,
                    allow_redirects=False,
                    proxy=self._proxy,
                    proxy_auth=self._proxy_auth,
                )
                if response.status != 200:
                    raise await self._refusal(response)
        except aiohttp.ConnectionTimeoutError:
            raise failures.connect_timeout(self._who, self._timeouts) from None
        except TimeoutError:
            raise failures.first_token_timeout(self._who, self._timeouts) from None
        except (aiohttp.ClientError, OSError) as error:
            raise self._unreachable(error) from None
        if response.content_type == "text/html":
            response.close()
            raise failures.malformed(self._who, "a web page instead of an answer")
        return response, asked_at

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                headers=self._endpoint.headers,
                connector=Connector(limit=0, ssl=self._tls),
                timeout=aiohttp.ClientTimeout(total=None, connect=self._timeouts.connect_s),
                cookie_jar=aiohttp.DummyCookieJar(),
                # Proxies come from the environment (`_proxy`). With trust_env aiohttp would also look for a password in
                # ~/.netrc, in a thread, for each request, and refuse to go on when it finds one beside our key.
                trust_env=False,
            )
        return self._session

    async def _refusal(self, response: aiohttp.ClientResponse) -> ModelError:
        try:
            body = await response.content.read(MAX_ERROR_BYTES)
        except (aiohttp.ClientError, OSError):
            body = b""
        finally:
            response.close()
        detail = error_detail(body)
        return failures.http_error(
            self._who,
            response.status,
            code=detail.codes,
            said=self._without_key(detail.message or ""),
            retry_after=retry_after_s(response.headers),
        )

    def _without_key(self, said: str) -> str:
        for name in ("Authorization", "api-key"):
            key = self._endpoint.headers.get(name, "").removeprefix("Bearer ")
            if key:
                said = said.replace(key, "…")
        return said

    def _unreachable(self, error: Exception) -> ModelError:
        if isinstance(error, aiohttp.ServerDisconnectedError):
            return failures.interrupted(self._who, after_first_delta=False, reason="it closed the connection")
        return failures.unreachable(self._who, reason_for(error))

    def _silence(self, started: bool) -> ModelError:
        failure = failures.between_tokens_timeout if started else failures.first_token_timeout
        return failure(self._who, self._timeouts)


async def _drain(body: aiohttp.StreamReader, patience: Patience) -> None:
    """Waits for the end of the body, briefly, so that the connection can serve the next call."""
    patience.allow(DRAIN_S)
    patience.reading = True
    with contextlib.suppress(*BROKEN):
        while await body.readany():
            pass


def _body(model: str, prompt: Prompt, options: ModelOptions) -> bytes:
    body: dict[str, Any] = {
        "model": model,
        "messages": prompt.messages,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if options.temperature is not None:
        body["temperature"] = options.temperature
    if options.max_output_tokens is not None:
        body["max_completion_tokens"] = options.max_output_tokens
    if options.reasoning_effort is not None:
        body["reasoning_effort"] = options.reasoning_effort
    return msgspec.json.encode(body)


def proxy_for(url: URL) -> tuple[URL | None, aiohttp.BasicAuth | None]:
    """The proxy that HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY name for `url`, and its credentials."""
    proxies = urllib.request.getproxies()
    named = proxies.get(url.scheme) or proxies.get("all")
    if not named or (url.host and urllib.request.proxy_bypass(url.host)):
        return None, None
    proxy = URL(named)
    auth = aiohttp.BasicAuth(proxy.user, proxy.password or "") if proxy.user else None
    return proxy.with_user(None), auth


def retry_after_s(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """How many seconds the server asks to wait: `retry-after-ms`, or `Retry-After` as seconds or date (RFC 9110)."""
    for name, per_second in (("retry-after-ms", 1000), ("retry-after", 1)):
        try:
            seconds = float(headers.get(name, "")) / per_second
        except ValueError:
            continue
        if 0 <= seconds < float("inf"):
            return seconds
    try:
        when = email.utils.parsedate_to_datetime(headers.get("retry-after", ""))
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    seconds = (when - (now or datetime.now(UTC))).total_seconds()
    return seconds if seconds > 0 else None  # its clock is behind ours: nothing can be told from it


class _Invalid(msgspec.Struct):
    loc: list[str | int] = []
    msg: str = ""


class _ErrorBody(msgspec.Struct):
    error: ErrorDetail | str | None = None
    message: str | None = None
    detail: Any = None


_error_body = msgspec.json.Decoder(_ErrorBody | list[_ErrorBody])


def error_detail(body: bytes) -> ErrorDetail:
    """What an error body says, in the shapes of OpenAI, Azure, Google (in a list), API gateways and FastAPI."""
    try:
        parsed = _error_body.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ErrorDetail()
    if isinstance(parsed, list):
        parsed = parsed[0] if parsed else _ErrorBody()
    if isinstance(parsed.error, ErrorDetail):
        return parsed.error
    return ErrorDetail(message=parsed.error or parsed.message or _invalid(parsed.detail))


def _invalid(detail: object) -> str | None:
    """FastAPI's `detail`: words, or what is wrong with each field (`{"loc": ["body", "messages"], "msg": "…"}`)."""
    if isinstance(detail, str):
        return detail
    try:
        fields = msgspec.convert(detail, list[_Invalid])
    except msgspec.ValidationError:
        return None
    return "; ".join(f"{'.'.join(map(str, field.loc))}: {field.msg}" for field in fields) or None


def reason_for(error: BaseException) -> str:
    """One short clause for a person; the exceptions' own texts name objects and paths of the library."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "its certificate is not trusted"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its name is not known"
    if isinstance(error, aiohttp.ClientProxyConnectionError | aiohttp.ClientHttpProxyError):
        return "the proxy did not connect"
    if isinstance(error, aiohttp.ClientSSLError):
        return "the TLS handshake failed"
    if isinstance(error, aiohttp.ClientConnectorError):
        refused = isinstance(error.os_error, ConnectionRefusedError)
        return "connection refused" if refused else "no connection"
    if isinstance(error, aiohttp.InvalidURL):
        return "the address is not valid"
    if isinstance(error, RuntimeError):
        return "the connection was closed here"
    return "the connection broke"
