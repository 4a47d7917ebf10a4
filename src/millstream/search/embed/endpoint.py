"""Vectors from an OpenAI-compatible endpoint: OpenAI, Azure OpenAI, Ollama, vLLM, llama.cpp, …"""

import asyncio
import binascii
import logging
import ssl
from collections.abc import Iterator, Sequence

import aiohttp
import msgspec
import numpy as np
from numpy.typing import NDArray
from yarl import URL

from millstream.errors import ModelError
from millstream.models import failures
from millstream.models.endpoint import Endpoint
from millstream.models.openai import error_detail, proxy_for, reason_for, retry_after_s
from millstream.models.timeouts import Timeouts
from millstream.search.embed import Vectors

logger = logging.getLogger("millstream")

BATCH = 96  # texts in one request
BATCH_CHARACTERS = 100_000  # of one request: OpenAI takes at most 300,000 tokens at once
MAX_CHARACTERS = (
    24_000  # of one text; a passage has about 1,000, a question may be a pasted page. Models take 8,191 tokens
)
REQUESTS = 2  # at a time
QUERY_TIMEOUT_S = 5.0  # then the question is searched by its words alone
BATCH_TIMEOUT_S = 60.0
TRIES = 6
FIRST_WAIT_S = 1.0  # doubled with each try, unless the service says how long
MAX_WAIT_S = 60.0
MAX_BODY_BYTES = 64 * 1024 * 1024
_MAX_ERROR_BYTES = 64 * 1024


class _Embedding(msgspec.Struct):
    embedding: str | list[float]
    index: int | None = None


class _Answer(msgspec.Struct):
    data: list[_Embedding]


class EndpointEmbedder:
    """An `Embedder` over POST …/embeddings. `model` is what the request asks for; `name` stands for its space.

    Passages are tried again on 429, 5xx and lost connections; a question is not, since somebody waits.
    """

    weight = 1.0
    floor = 0.0  # where unrelated texts lie differs from model to model

    def __init__(
        self,
        model: str,
        endpoint: Endpoint,
        *,
        name: str,
        timeouts: Timeouts | None = None,
        tls: ssl.SSLContext | None = None,
        first_wait_s: float = FIRST_WAIT_S,
    ) -> None:
        self.name = name
        self._model = model
        self._endpoint = endpoint
        self._who = endpoint.host
        self._url = URL(endpoint.url, encoded=True)
        self._proxy, self._proxy_auth = proxy_for(self._url)
        self._connect_s = (timeouts or Timeouts()).connect_s
        self._tls: ssl.SSLContext | bool = tls or True
        self._first_wait_s = first_wait_s
        self._session: aiohttp.ClientSession | None = None
        self._requests = asyncio.Semaphore(REQUESTS)
        self._told = ""  # why passages wait for their vectors

    async def load(self) -> None:
        """There is nothing to load."""

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """See `Embedder.embed`."""
        if not texts:
            return np.empty((0, 0), np.float32)
        try:
            async with asyncio.TaskGroup() as group:
                batches = [group.create_task(self._patiently(batch)) for batch in _batches(texts)]
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return np.concatenate([batch.result() for batch in batches])

    async def embed_query(self, text: str) -> NDArray[np.float32]:
        """See `Embedder.embed_query`."""
        vector: NDArray[np.float32] = (await self._ask([text[:MAX_CHARACTERS]], QUERY_TIMEOUT_S))[0]
        return vector

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _patiently(self, texts: Sequence[str]) -> Vectors:
        async with self._requests:
            wait = self._first_wait_s
            for _ in range(TRIES - 1):
                try:
                    vectors = await self._ask(texts, BATCH_TIMEOUT_S)
                except ModelError as error:
                    if not error.retryable:
                        raise
                    self._tell(error.message)
                    await asyncio.sleep(min(MAX_WAIT_S, error.retry_after or wait))
                    wait *= 2
                else:
                    self._told = ""
                    return vectors
            return await self._ask(texts, BATCH_TIMEOUT_S)

    def _tell(self, reason: str) -> None:
        """At once and once, however many requests wait for however long."""
        if reason != self._told:
            self._told = reason
            logger.warning("vectors have to wait, trying again: %s", reason)

    async def _ask(self, texts: Sequence[str], timeout_s: float) -> Vectors:
        body = msgspec.json.encode({"model": self._model, "input": texts, "encoding_format": "base64"})
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._connected().post(
                    self._url,
                    data=body,
                    headers={**self._endpoint.headers, "Accept-Encoding": "gzip, deflate"},
                    allow_redirects=False,
                    proxy=self._proxy,
                    proxy_auth=self._proxy_auth,
                ) as response,
            ):
                if response.status != 200:
                    raise await self._refusal(response)
                answer = await self._body(response)
        except TimeoutError:
            raise failures.unreachable(self._who, f"it sent no vectors within {timeout_s:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise failures.unreachable(self._who, reason_for(error)) from None
        return self._vectors(answer, len(texts))

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        parts, size = [], 0
        async for part in response.content.iter_any():
            parts.append(part)
            size += len(part)
            if size > MAX_BODY_BYTES:
                raise failures.malformed(self._who, f"an answer of more than {MAX_BODY_BYTES} bytes")
        return b"".join(parts)

    def _vectors(self, answer: bytes, count: int) -> Vectors:
        try:
            data = msgspec.json.decode(answer, type=_Answer).data
            rows = [_decoded(entry.embedding) for entry in sorted(data, key=lambda entry: entry.index or 0)]
            vectors = np.stack(rows) if rows else np.empty((0, 0), np.float32)
        except (msgspec.DecodeError, UnicodeDecodeError, binascii.Error, ValueError):
            raise failures.malformed(self._who, "something that is no list of vectors") from None
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        if len(vectors) != count or not np.isfinite(lengths).all() or not (lengths > 0).all():
            raise failures.malformed(
                self._who, f"{len(vectors)} vectors for {count} texts, or vectors that point nowhere"
            )
        unit: Vectors = vectors / lengths
        return unit

    async def _refusal(self, response: aiohttp.ClientResponse) -> ModelError:
        detail = error_detail(await response.content.read(_MAX_ERROR_BYTES))
        said = detail.message or ""
        for header in ("Authorization", "api-key"):
            key = self._endpoint.headers.get(header, "").removeprefix("Bearer ")
            said = said.replace(key, "…") if key else said
        retry_after = retry_after_s(response.headers)
        return failures.http_error(self._who, response.status, code=detail.codes, said=said, retry_after=retry_after)

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self._tls),
                timeout=aiohttp.ClientTimeout(total=None, connect=self._connect_s),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for text in texts:
        text = text[:MAX_CHARACTERS]
        if batch and (len(batch) == BATCH or size + len(text) > BATCH_CHARACTERS):
            yield batch
            batch, size = [], 0
        batch.append(text or " ")
        size += len(text)
    yield batch


def _decoded(embedding: str | list[float]) -> NDArray[np.float32]:
    if isinstance(embedding, str):  # little-endian float32, a quarter of the size of decimal numbers
        return np.frombuffer(binascii.a2b_base64(embedding), "<f4")
    return np.array(embedding, np.float32)
