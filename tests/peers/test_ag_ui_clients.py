"""AG-UI's clients against `/ag-ui`: npm `@ag-ui/client` with its verification, PyPI `ag-ui-protocol`."""

import json
from pathlib import Path
from typing import Any

from running_node import Node

from millstream.run import Run
from serving import serving


async def answer(run: Run) -> None:
    run.write("Hello ")
    run.write("world")


async def test_the_client_streams_the_text(tmp_path: Path, node: Node) -> None:
    async with serving(tmp_path, answer) as server:
        told = await node("ag_ui.mjs", server.url)
        print(json.dumps(told, indent=1))
        assert told["messages"][-1]["content"] == "Hello world"
