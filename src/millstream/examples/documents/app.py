"""Answers over a folder of documents: steps, sources and citations, and the page to ask in.

Open http://127.0.0.1:8000. Without a model it quotes the documents; with one it answers in its own words:

  OPENAI_API_KEY=… MILLSTREAM_MODEL=openai/gpt-4o-mini python app.py
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

from millstream import Millstream

DOCUMENTS = Path(__file__).parent / "documents"

stream = Millstream()


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    async with stream.lifespan():
        stream.index([DOCUMENTS], watch=True)  # in the background, and again whenever a file changes
        yield


app = Starlette(routes=[Mount("/", stream.app)], lifespan=lifespan)

if __name__ == "__main__":
    uvicorn.run(app)
