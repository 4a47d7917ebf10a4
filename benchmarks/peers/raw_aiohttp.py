"""Raw relay: aiohttp client -> StreamingResponse, no parsing."""

import contextlib
import os

import aiohttp
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route

UP = os.environ["UPSTREAM"]


@contextlib.asynccontextmanager
async def lifespan(app):
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=None), auto_decompress=False
    ) as c:
        app.state.c = c
        yield


async def chat(request):
    body = await request.body()
    r = await request.app.state.c.post(
        UP + "/v1/chat/completions", data=body, headers={"content-type": "application/json"}
    )

    async def gen():
        try:
            async for b in r.content.iter_any():
                yield b
        finally:
            r.close() if not r.content.at_eof() else r.release()

    return StreamingResponse(gen(), media_type="text/event-stream")


app = Starlette(routes=[Route("/v1/chat/completions", chat, methods=["POST"])], lifespan=lifespan)
