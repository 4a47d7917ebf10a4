"""Connections of aiohttp whose bodies cost little where they come in many small HTTP chunks, one per token.

aiohttp's own body calls five Python functions per chunk: it keeps where each begins and ends, takes them out of its
buffer one by one, and resumes reading after each, parser included, whether it was paused or not. The names used here
are its internals: where they change, nothing is lost but speed.
"""

import asyncio
import functools
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.streams import StreamReader


class Connector(aiohttp.TCPConnector):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._factory = functools.partial(Connection, loop=asyncio.get_running_loop())  # type: ignore[assignment]


class Connection(ResponseHandler):
    def data_received(self, data: bytes) -> None:
        if data.startswith(b"HTTP/") and (head := data.find(b"\r\n\r\n") + 4) > 3:
            super().data_received(data[:head])  # first, so that the body is ours before anything is fed to it
            data = data[head:]
            if not data:
                return
        super().data_received(data)

    def set_exception(self, exc: BaseException, *cause: Any) -> None:
        """Who reads the body learns at once that it cannot be read; aiohttp would let it wait for more."""
        super().set_exception(exc, *cause)
        body = self._payload
        if body is not None and body.exception() is None and not body.is_eof():
            body.set_exception(aiohttp.ClientPayloadError(str(exc)))

    def feed_data(self, data: Any, size: int = 0) -> None:
        """Takes a response's head, and its body that is to come."""
        body = data[1]
        if type(body) is StreamReader and _IS_KNOWN:
            body.__class__ = Body
        super().feed_data(data, size)


class Body(StreamReader):
    """For who takes all that has come, and does not ask how it was cut: `readany`, and `read` for an error's body."""

    __slots__ = ()

    def feed_data(self, data: bytes, size: int = 0) -> bool:
        if not data:
            return False
        buffer = self._buffer
        buffer.append(data)
        self._size = size = self._size + len(data)
        if (waiter := self._waiter) is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)
        if size > self._high_water or len(buffer) > self._high_water_chunks:
            self._protocol.pause_reading()
        return False

    def begin_http_chunk_receiving(self) -> None:
        pass

    def end_http_chunk_receiving(self) -> None:
        pass

    async def readany(self) -> bytes:
        buffer = self._buffer
        if self._exception is not None and not buffer:  # what came before it counts
            raise self._exception
        while not buffer and not self._eof:
            if not self._protocol.connected:
                raise RuntimeError("Connection closed.")
            self._waiter = waiter = self._loop.create_future()
            try:
                await waiter
            finally:
                self._waiter = None
        if self._buffer_offset:  # after a `read` that left a part of a chunk
            return self._read_nowait(-1)
        data = buffer[0] if len(buffer) == 1 else b"".join(buffer)
        buffer.clear()
        self._size = 0
        if self._protocol._reading_paused:
            self._protocol.resume_reading()
        return data


_IS_KNOWN = hasattr(ResponseHandler, "_reading_paused") and {
    "_buffer", "_buffer_offset", "_eof", "_exception", "_high_water", "_high_water_chunks", "_loop",
    "_protocol", "_size", "_waiter",
} <= {*StreamReader.__slots__}  # fmt: skip
