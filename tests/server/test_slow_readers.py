"""A slow reader costs a cursor, not a queue."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core import until
from millstream.producer import RETAINED_BYTES
from serving import Server, asking, serving, within

WORDS = "0123456789abcdef" * 1024  # 16 KB


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(tmp_path) as server:
        yield server


def largest_buffer(server: Server) -> int:
    """Bytes that wait in the server's memory for the connection that is furthest behind."""
    return max(connection.transport.get_write_buffer_size() for connection in server.uvicorn.server_state.connections)


@pytest.mark.parametrize("accept", ["application/x-ndjson", "text/event-stream"])
async def test_a_reader_that_stalls_slows_nobody_holds_a_bounded_amount_and_still_gets_everything(
    server: Server, accept: str
) -> None:
    body = b'{"question":"Why?","run_id":"r1"}'
    stalled, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
    writer.write(
        b"POST /api/runs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAccept: %b\r\nContent-Length: %d\r\n\r\n%b"
        % (accept.encode(), len(body), body)
    )
    telling = await server.told.next()
    waiting = kept = 0
    live = server.millstream.supervisor._live
    async with asking(server, run_id="r1") as reader:
        for n in range(1, 501):  # 8 MB
            telling.run.write(WORDS)
            await reader.words(n * len(WORDS))
            waiting = max(waiting, largest_buffer(server))
            producer = live["r1"].producer
            kept = max(kept, sum(map(len, producer._frames[: producer.flushed_seq + 1 - producer._first])))
        telling.end()
        assert (await reader.rest())[-1]["type"] == "run.finished"
    assert 0 < waiting < 256 * 1024
    assert kept <= RETAINED_BYTES  # beyond what waits for the disk
    received = await within(stalled.read())
    writer.close()
    assert received.count(b"0123456789abcdef") == 500 * 1024
    assert b"run.finished" in received


async def test_a_stalled_reader_who_leaves_ends_its_stream(server: Server) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
    body = b'{"question":"Why?","run_id":"r1","stream":true}'
    writer.write(b"POST /api/runs HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    telling = await server.told.next()
    lives = server.millstream.supervisor._live
    await until(lambda: "r1" in lives)
    live = lives["r1"]
    for _ in range(500):
        telling.run.write(WORDS)
        await asyncio.sleep(0)
    writer.transport.abort()
    async with asyncio.timeout(5):
        while live.readers:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
