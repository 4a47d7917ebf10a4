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
    _body: "Body | None" = None

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"HTTP/") and (head := data.find(b"\r\n\r\n") + 4) > 3:
            # By itself, so that the body is ours before anything is fed to it.
            ResponseHandler.data_received(self, data[:head])
            data = data[head:]
            if not data:
                return
        ResponseHandler.data_received(self, data)  # `super()` looks for it anew, per token
        if self._body is not None:
            self._body.fed(len(data))

    def hold_back(self) -> None:
        """The peer sends no more until `resume_reading`. The parser, which is done with what came, goes on as it is."""
        self._reading_paused = True
        self._pause_transport_reading()

    def feed_data(self, data: Any, size: int = 0) -> None:
        """Takes a response's head, and its body that is to come."""
        message, body = data
        self._body = None
        # What is unpacked may be far more than came, and is held back as it grows: that stays aiohttp's own.
        if type(body) is StreamReader and not message.compression and _IS_KNOWN:
            body.__class__ = Body
            self._body = body  # type: ignore[assignment]
        super().feed_data(data, size)


class Body(StreamReader):
    """For who takes all that has come, and does not ask how it was cut: `readany`, and `read` for an error's body."""

    __slots__ = ()

    def feed_data(self, data: bytes, size: int = 0) -> bool:
        self._buffer.append(data)
        return False

    def fed(self, size: int) -> None:
        """What the parser made of `size` bytes, framing included, has been fed: the reader may have it."""
        self._size += size
        self.total_bytes += size
        buffer = self._buffer
        if buffer and (waiter := self._waiter) is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)
        # At its end the connection may serve another call already.
        if not self._eof and (self._size > self._high_water or len(buffer) > self._high_water_chunks):
            self._protocol.hold_back()  # type: ignore[attr-defined]

    def begin_http_chunk_receiving(self) -> None:
        pass

    def end_http_chunk_receiving(self) -> None:
        pass

    async def readany(self) -> bytes:
        if self._exception is not None:
            raise self._exception
        buffer = self._buffer
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
        self._cursor += len(data)
        if self._protocol._reading_paused:
            self._protocol.resume_reading(resume_parser=False)
        return data


_IS_KNOWN = {"_pause_transport_reading", "_reading_paused"} <= {*dir(ResponseHandler)} and {
    "_buffer", "_buffer_offset", "_cursor", "_eof", "_exception", "_high_water", "_high_water_chunks", "_loop",
    "_protocol", "_size", "_waiter", "total_bytes",
} <= {*StreamReader.__slots__}  # fmt: skip
