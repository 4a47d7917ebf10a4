"""Clients of every transport that resume: each assembles a run's native frames through any number of cuts."""

import json
from collections.abc import Awaitable, Callable

import aiohttp
import websockets

from millstream.client import AsyncClient
from millstream.events import encode, encode_json

TERMINAL = {"run.finished", "run.stopped", "run.failed"}

# Reads the run to its end; returns its frames, in the order and number in which they came.
Reading = Callable[[str, str], Awaitable[list[bytes]]]


def is_terminal(frame: bytes) -> bool:
    return json.loads(frame)["type"] in TERMINAL


async def ndjson(url: str, run_id: str) -> list[bytes]:
    frames: list[bytes] = []
    async with aiohttp.ClientSession() as session:
        while not (frames and is_terminal(frames[-1])):
            try:
                address = f"{url}/api/runs/{run_id}/events?after={len(frames)}"
                async with session.get(address, headers={"Accept": "application/x-ndjson"}) as response:
                    assert response.status == 200
                    async for line in response.content:
                        if line.endswith(b"\n") and line.strip():
                            frames.append(line)
            except aiohttp.ClientError:
                pass  # cut: once more
    return frames


async def sse(url: str, run_id: str) -> list[bytes]:
    """As a browser's EventSource: what has no blank line after it is not dispatched; Last-Event-ID resumes."""
    frames: list[bytes] = []
    last = ""
    async with aiohttp.ClientSession() as session:
        while not (frames and is_terminal(frames[-1])):
            pending_id, data = last, b""
            try:
                headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last else {})
                async with session.get(f"{url}/api/runs/{run_id}/events", headers=headers) as response:
                    assert response.status == 200
                    async for line in response.content:
                        if not line.endswith(b"\n"):
                            continue
                        name, _, value = line.rstrip(b"\n").partition(b": ")
                        if line == b"\n":
                            last = pending_id
                            frames.append(data + b"\n")
                        elif name == b"id":
                            pending_id = value.decode()
                        elif name == b"data":
                            data = value
            except aiohttp.ClientError:
                pass
    return frames


async def websocket(url: str, run_id: str) -> list[bytes]:
    frames: list[bytes] = []
    while not (frames and is_terminal(frames[-1])):
        try:
            async with websockets.connect(f"{url.replace('http', 'ws', 1)}/api/ws", proxy=None) as socket:
                await socket.send(json.dumps({"op": "follow", "id": "f", "run_id": run_id, "after": len(frames)}))
                prefix = '{"id":"f","event":'
                while not (frames and is_terminal(frames[-1])):
                    message = await socket.recv()
                    assert isinstance(message, str)
                    assert message.startswith(prefix), message
                    frames.append(message.removeprefix(prefix)[:-1].encode() + b"\n")
        except (websockets.WebSocketException, OSError, EOFError):
            pass
    return frames


async def client(url: str, request: dict[str, str]) -> list[bytes]:
    """Our own client decodes; what it yields is encoded again."""
    async with AsyncClient(url) as asking:
        return [encode(event) async for event in asking.run(**request)]


async def whole(url: str, request: dict[str, str]) -> bytes:
    """Plain JSON has no cursor: the same start again attaches."""
    body = encode_json(request)
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                headers = {"Content-Type": "application/json"}
                async with session.post(f"{url}/api/runs", data=body, headers=headers) as response:
                    assert response.status == 200
                    return await response.read()
            except aiohttp.ClientError:
                pass


READINGS: dict[str, Reading] = {"ndjson": ndjson, "sse": sse, "websocket": websocket}
