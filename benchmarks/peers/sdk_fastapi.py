"""The usual way: AsyncOpenAI stream -> model_dump -> json.dumps -> NDJSON StreamingResponse on FastAPI."""

import json
import os

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from openai import AsyncOpenAI
from pydantic import BaseModel

client = AsyncOpenAI(base_url=os.environ["UPSTREAM"] + "/openai/v1/", api_key="x")
app = FastAPI()


class ChatRequest(BaseModel):
    messages: list[dict]


@app.post("/chat/stream")
async def chat(req: ChatRequest):
    async def gen():
        all_messages = [{"role": "system", "content": "You are a helpful assistant."}, *req.messages]
        async for event in await client.chat.completions.create(model="gpt-4o", messages=all_messages, stream=True):
            d = event.model_dump()
            if d["choices"]:
                yield json.dumps(d["choices"][0], ensure_ascii=False) + "\n"

    return StreamingResponse(gen(), media_type="application/x-ndjson")
