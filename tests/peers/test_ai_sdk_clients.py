"""The AI SDK against `/api/chat`: its chat of versions 5, 6 and 7, and `useChat` in React."""

from pathlib import Path

import pytest
from running_node import Node

from millstream.run import Run
from serving import serving

VERSIONS = ["ai", "ai5", "ai6", "ai500", "ai600"]


async def answer(run: Run) -> None:
    run.write("Hello ")
    run.write("world")


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_text_arrives(tmp_path: Path, node: Node, version: str) -> None:
    async with serving(tmp_path, answer) as server:
        told = await node("ai_sdk.mjs", server.url, version, "ask")
    assert (told["status"], told["text"]) == ("ready", "Hello world")
