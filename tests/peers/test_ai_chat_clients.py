"""Microsoft's clients of the AI Chat Protocol, and the merge rules of azure-search-openai-demo's front end."""

from pathlib import Path

from running_node import Node

from millstream.run import Run
from serving import serving


async def answer(run: Run) -> None:
    run.write("Hello ")
    run.write("world")


async def test_the_sdk_reads_both_forms(tmp_path: Path, node: Node) -> None:
    async with serving(tmp_path, answer) as server:
        made = await node("ai_chat.mjs", server.url)
    assert made["whole"]["message"] == {"role": "assistant", "content": "Hello world"}
    assert "".join(line["delta"].get("content", "") for line in made["lines"]) == "Hello world"
