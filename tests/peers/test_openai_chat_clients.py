"""The OpenAI SDKs against Chat Completions."""

from pathlib import Path

from openai import AsyncOpenAI
from running_node import Node

from millstream.run import Run
from serving import serving


async def answer(run: Run) -> None:
    run.write("Hello ")
    run.write("world")


async def test_the_python_sdk_streams_the_text(tmp_path: Path) -> None:
    async with serving(tmp_path, answer) as server, AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none") as client:
        stream = await client.chat.completions.create(
            model="default", messages=[{"role": "user", "content": "Why?"}], stream=True
        )
        pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
        assert "".join(pieces) == "Hello world"


async def test_the_javascript_sdk_streams_the_text(tmp_path: Path, node: Node) -> None:
    async with serving(tmp_path, answer) as server:
        assert (await node("openai_chat.mjs", server.url))["text"] == "Hello world"
