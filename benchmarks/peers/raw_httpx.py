"""Raw relay: httpx stream -> StreamingResponse, no parsing."""

import contextlib
import os

import httpx
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route

UP = os.environ["UPSTREAM"]


@contextlib.asynccontextmanager
async def lifespan(app):
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=100)
    async with httpx.AsyncClient(base_url=UP, timeout=None, limits=limits) as c:  # noqa: S113
        app.state.c = c
        yield


async def chat(request):
    body = await request.body()
    c = request.app.state.c
    r = await c.send(
        c.build_request("POST", "/v1/chat/completions", content=body, headers={"content-type": "application/json"}),
        stream=True,
    )

    async def gen():
        try:
            async for b in r.aiter_raw():
                yield b
        finally:
            await r.aclose()

    return StreamingResponse(gen(), media_type="text/event-stream")


app = Starlette(routes=[Route("/v1/chat/completions", chat, methods=["POST"])], lifespan=lifespan)
