"""A body is the same however it is cut, read and held back, and it is ours from its first chunk on."""

import asyncio
import gzip

import pytest
from aiohttp import ClientPayloadError
from aiohttp.client_proto import ResponseHandler
from aiohttp.streams import StreamReader
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.models.connections import Body, Connection

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
LIMIT = 4096


class Transport(asyncio.Transport):
    """Counts what a peer would notice."""

    def __init__(self) -> None:
        super().__init__()
        self.paused = False

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def is_closing(self) -> bool:
        return False

    def close(self) -> None: ...


def connected() -> tuple[Connection, Transport]:
    connection, transport = Connection(asyncio.get_running_loop()), Transport()
    connection.connection_made(transport)
    connection.set_response_params(read_until_eof=True, auto_decompress=True, read_bufsize=LIMIT)
    return connection, transport


def chunked(words: list[bytes]) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(word), word) for word in words) + b"0\r\n\r\n"


async def body_of(connection: ResponseHandler) -> StreamReader:
    _, body = await connection.read()
    return body


async def rest_of(body: StreamReader) -> bytes:
    received = b""
    while piece := await body.readany():
        received += piece
    return received


@settings(max_examples=200, deadline=None)
@given(
    words=st.lists(st.binary(min_size=1, max_size=3000), max_size=20),
    cuts=st.lists(st.integers(1, 4000), max_size=40),
    reads=st.lists(st.booleans(), min_size=41, max_size=41),
)
def test_any_cut_read_at_any_time_gives_the_same_body(words: list[bytes], cuts: list[int], reads: list[bool]) -> None:
    async def exchange() -> bytes:
        connection, _ = connected()
        left, received, body = HEAD + chunked(words), b"", None
        for cut, read in zip([*cuts, len(left)], reads, strict=False):
            connection.data_received(left[:cut])
            left = left[cut:]
            if body is None and not connection._buffer:
                continue
            body = body or await body_of(connection)
            assert type(body) is Body
            if read and not body.at_eof() and body._buffer:
                received += await body.readany()
        assert body is not None
        return received + await rest_of(body)

    assert asyncio.run(exchange()) == b"".join(words)


@pytest.mark.parametrize("size", [1, 1000])
async def test_who_does_not_read_holds_the_peer_back_and_loses_nothing(size: int) -> None:
    """Many small chunks cost memory too: they are held back before their bytes reach the limit."""
    connection, transport = connected()
    words = [b"x" * size] * 2000
    left = HEAD + chunked(words)
    fed = 0
    while not transport.paused:
        connection.data_received(left[fed : fed + 500])
        fed += 500
    assert fed < len(left) / 2
    body = await body_of(connection)
    received = b""
    while not body.at_eof():
        received += await body.readany()
        while not transport.paused and fed < len(left):
            connection.data_received(left[fed : fed + 500])
            fed += 500
    assert received == b"".join(words)


async def test_what_unpacks_to_far_more_than_came_is_held_back_too() -> None:
    connection, transport = connected()
    words = gzip.compress(b"x" * 10_000_000)
    head = HEAD.replace(b"Content-Type", b"Content-Encoding: gzip\r\nContent-Type")
    connection.data_received(head + chunked([words]))
    assert transport.paused
    body = await body_of(connection)
    assert body._size <= 20 * LIMIT
    assert await rest_of(body) == b"x" * 10_000_000


async def test_a_part_may_be_read_first_as_of_an_error() -> None:
    connection, _ = connected()
    connection.data_received(HEAD + chunked([b"one", b"two", b"three"]))
    body = await body_of(connection)
    assert await body.read(4) == b"onet"
    assert await body.readany() == b"wothree"
    assert await body.readany() == b""


async def test_a_connection_that_ends_early_is_told_to_who_waits() -> None:
    connection, _ = connected()
    connection.data_received(HEAD + b"3\r\none\r\n")
    body = await body_of(connection)
    assert await body.readany() == b"one"
    waiting = asyncio.ensure_future(body.readany())
    await asyncio.sleep(0)
    connection.connection_lost(None)
    with pytest.raises(ClientPayloadError):
        await waiting
