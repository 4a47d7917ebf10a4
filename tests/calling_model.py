"""An OpenAI-compatible server that gives the chunks of its answers as a test wants them, tool calls among them."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

Chunk = dict[str, Any]


def chunk(delta: Chunk | None = None, finish_reason: str | None = None, **more: Any) -> Chunk:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish_reason}]
    return {
        "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices, **more
    }  # fmt: skip


def call(arguments: str, name: str = "weather") -> list[Chunk]:
    """A tool call that comes in pieces."""
    half = len(arguments) // 2
    return [
        chunk(
            {"tool_calls": [{"index": 0, "id": "t", "type": "function", "function": {"name": name, "arguments": ""}}]}
        ),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": arguments[:half]}}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": arguments[half:]}}]}, "tool_calls"),
    ]


# In the place of a chunk: bytes that are no JSON, or the connection is lost.
BROKEN: Chunk = {"broken": True}
LOST: Chunk = {"lost": True}

Asked = list[list[dict[str, Any]]]


@asynccontextmanager
async def calling_model(*answers: list[Chunk] | int) -> AsyncIterator[tuple[str, Asked]]:
    """Its address, and the messages of each request. Gives these answers (chunks, or a status), the last for ever."""
    asked: Asked = []

    async def complete(request: web.Request) -> web.StreamResponse:
        asked.append((await request.json())["messages"])
        found = answers[min(len(asked), len(answers)) - 1]
        if isinstance(found, int):
            error = {"error": {"message": "No.", "code": None, "type": None}}
            return web.json_response(error, status=found, headers={"Retry-After": "7"})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for each in found:
            if each == BROKEN:
                await response.write(b"data: {\n\n")
            elif each == LOST:
                assert request.transport is not None
                request.transport.abort()
                return response
            else:
                await response.write(b"data: " + json.dumps(each).encode() + b"\n\n")
        await response.write(b"data: [DONE]\n\n")
        return response

    app = web.Application()
    app.router.add_post("/v1/chat/completions", complete)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1", asked
    finally:
        await runner.cleanup()
