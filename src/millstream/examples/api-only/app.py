"""An API without a page: your own generator, streamed in every chat protocol, behind your own keys.

Ask it:
curl -H "Authorization: Bearer secret-of-ann" --json '{"question": "Why?"}' http://127.0.0.1:8000/chat/api/runs
"""

import asyncio
from collections.abc import AsyncIterator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from millstream import Millstream, Run
from millstream.errors import Forbidden

KEYS = {"secret-of-ann": "ann", "secret-of-bob": "bob"}  # yours come from where you keep them


def owner_of(connection: HTTPConnection) -> str:
    """Whose request it is: nobody sees another's runs and conversations."""
    owner = KEYS.get(connection.headers.get("authorization", "").removeprefix("Bearer "))
    if owner is None:
        raise Forbidden("Send one of your keys as a bearer token.")
    return owner


stream = Millstream(identify=owner_of, page=False)


@stream.answer
async def count(run: Run) -> AsyncIterator[str]:
    """Any generator of strings will do, also one that is not async."""
    for number in range(1, 6):
        yield f"{number} … "
        await asyncio.sleep(0.2)
    yield f"that was “{run.question}”, {run.owner}."


async def version(request: Request) -> JSONResponse:
    return JSONResponse({"version": 1})


app = Starlette(routes=[Route("/version", version), Mount("/chat", stream.app)], lifespan=stream.lifespan)

if __name__ == "__main__":
    uvicorn.run(app)
