"""MCP's clients against `/mcp`: PyPI `mcp` in both of its eras, npm `@modelcontextprotocol/sdk`."""

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import anyio
import hatch_build
import pytest
from mcp import MCPError
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from running_node import Node
from starlette.applications import Starlette
from starlette.routing import Mount

from millstream.errors import ModelError
from millstream.run import Run
from millstream.search import Passage
from serving import CuttingProxy, Server, serving, within

PAGE = Path(__file__).parents[2] / "docs" / "clients" / "mcp.md"

Mode = Literal["auto", "legacy"]
BOTH = pytest.mark.parametrize("mode", ["auto", "legacy"])
LEAVE = b"Paid leave is twenty days a year. Sick leave is paid for six weeks."


async def everything(run: Run) -> None:
    """Says something of every kind."""
    async with run.step("search", "Searching…") as step:
        run.cite(
            [Passage("s1", "d1", "v1", "Tariff", "tariff.pdf", "It costs 3 €.", page_start=2, page_end=2, score=0.5)]
        )
        step.done("Found 1 passage")
    run.think("A price is asked for.")
    run.write("It costs 3 € [1].")
    run.followups(["And two?"])


@asynccontextmanager
async def connected(server: Server, mode: Mode) -> AsyncIterator[Client]:
    async with Client(f"{server.url}/mcp", mode=mode) as client:
        yield client


async def upload(server: Server) -> str:
    answered = await server.request("POST", "/api/documents", params={"name": "leave.md", "wait": "30"}, data=LEAVE)
    document_id: str = answered.json["documents"][0]["document_id"]
    return document_id


@BOTH
async def test_the_python_client_finds_the_tools(tmp_path: Path, mode: Mode) -> None:
    async with serving(tmp_path) as server, connected(server, mode) as client:
        tools = (await client.list_tools()).tools
        assert [tool.name for tool in tools] == ["search_documents", "read_document", "ask"]
        assert client.server_info.name == "millstream"
        assert "search_documents" in (client.instructions or "")


@BOTH
async def test_the_python_client_searches_reads_and_asks(tmp_path: Path, mode: Mode) -> None:
    async with serving(tmp_path, everything, embedder="none") as server, connected(server, mode) as client:
        document_id = await upload(server)
        found = await client.call_tool(
            "search_documents", {"query": "sick leave", "filters": {"formats": ["markdown"]}}
        )
        read = await client.call_tool("read_document", {"document_id": document_id, "start": 0, "end": 10})
        told: list[tuple[float, str | None]] = []

        async def on_progress(progress: float, total: float | None, message: str | None) -> None:
            told.append((progress, message))

        asked = await client.call_tool("ask", {"question": "Why?"}, progress_callback=on_progress)
    [passage] = found.structured_content["passages"]
    assert (passage["document_id"], passage["uri"]) == (document_id, "uploads/leave.md")
    assert read.structured_content["text"] == LEAVE.decode()[:10]
    answered = asked.structured_content
    assert (answered["state"], answered["answer"], answered["reason"]) == ("finished", "It costs 3 €.", "stop")
    [citation] = answered["citations"]
    assert answered["answer"][citation["start"] : citation["end"]] == "It costs 3 €"
    assert (answered["sources"][0]["n"], answered["sources"][0]["page_start"]) == (citation["n"], 2)
    assert answered["followups"] == ["And two?"]
    assert asked.content[0].text == "It costs 3 € [1].\n\nSources:\n[1] Tariff (tariff.pdf, page 2)"
    assert told == [(1, "Searching…"), (2, "Found 1 passage"), (3, "It costs 3 €"), (4, "It costs 3 €.")]


@BOTH
async def test_a_failure_is_the_tools_error(tmp_path: Path, mode: Mode) -> None:
    async def answer(run: Run) -> None:
        raise ModelError("Too many.", code="model-rate-limited", retryable=True, retry_after=7)

    async with serving(tmp_path, answer) as server, connected(server, mode) as client:
        asked = await client.call_tool("ask", {"question": "Why?"})
        wrong = await client.call_tool("ask", {"question": ""})
        with pytest.raises(MCPError, match="no tool"):
            await client.call_tool("delete_all", {})
    assert (asked.is_error, asked.content[0].text) == (True, "Too many.")
    assert asked.meta["millstream/code"] == "model-rate-limited"
    assert wrong.is_error
    assert "empty" in wrong.content[0].text


@BOTH
async def test_a_filtered_answer_says_so(tmp_path: Path, mode: Mode) -> None:
    async def answer(run: Run) -> None:
        run.write("No")
        run.finish("content_filter")

    async with serving(tmp_path, answer) as server, connected(server, mode) as client:
        asked = await client.call_tool("ask", {"question": "Why?"})
    assert asked.structured_content["reason"] == "content_filter"


@BOTH
async def test_a_stopped_run_gives_what_was_seen(tmp_path: Path, mode: Mode) -> None:
    async with serving(tmp_path) as server, connected(server, mode) as client:
        asked = asyncio.create_task(client.call_tool("ask", {"question": "Why?"}))
        telling = await server.told.next()
        telling.run.write("One. Two.")
        await server.post(f"/api/runs/{telling.run.id}/stop", {"seen": 4})
        result = await asked
    assert (result.structured_content["state"], result.structured_content["answer"]) == ("stopped", "One.")


@BOTH
async def test_a_cancelled_call_stops_the_run(tmp_path: Path, mode: Mode) -> None:
    async with serving(tmp_path, when_unread="finish") as server, connected(server, mode) as client:
        async with anyio.create_task_group() as calling:
            calling.start_soon(client.call_tool, "ask", {"question": "Why?"})
            telling = await server.told.next()
            calling.cancel_scope.cancel()
        await within(telling.cancelled.wait())
        assert len((await client.list_tools()).tools) == 3


@BOTH
async def test_a_call_that_is_cut_stops_the_run_and_is_an_error(tmp_path: Path, mode: Mode) -> None:
    heard = asyncio.Event()

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        heard.set()

    async with serving(tmp_path, when_unread="finish") as server, AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(CuttingProxy(server.port).running())
        async with Client(f"{proxy.url}/mcp", mode=mode) as client:
            calling = asyncio.create_task(client.call_tool("ask", {"question": "Why?"}, progress_callback=on_progress))
            telling = await server.told.next()
            telling.run.write("Hello")
            await within(heard.wait())
            await stack.aclose()
            await within(telling.cancelled.wait())
            with pytest.raises(MCPError):
                await within(calling)


async def test_the_javascript_client_searches_reads_and_asks(tmp_path: Path, node: Node) -> None:
    async with serving(tmp_path, everything, embedder="none") as server:
        calls = [
            {"name": "search_documents", "arguments": {"query": "sick leave"}},
            {"name": "read_document", "arguments": {"document_id": await upload(server)}},
            {"name": "ask", "arguments": {"question": "Why?"}},
            {"name": "ask", "arguments": {"question": ""}},
        ]
        told = await node("mcp.mjs", f"{server.url}/mcp", json.dumps(calls))
    assert told["tools"] == ["search_documents", "read_document", "ask"]
    assert told["server"]["name"] == "millstream"
    assert told["errors"] == []
    assert "rejected" not in told
    found, read, asked, wrong = told["calls"]
    assert found["result"]["structuredContent"]["passages"][0]["uri"] == "uploads/leave.md"
    assert read["result"]["structuredContent"]["text"] == LEAVE.decode()
    assert asked["result"]["structuredContent"]["answer"] == "It costs 3 €."
    assert [one["message"] for one in asked["progress"]] == [
        "Searching…",
        "Found 1 passage",
        "It costs 3 €",
        "It costs 3 €.",
    ]
    assert wrong["result"]["isError"] is True


async def test_the_javascript_client_cancels_by_a_signal(tmp_path: Path, node: Node) -> None:
    async with serving(tmp_path, when_unread="finish") as server:
        calls = [{"name": "ask", "arguments": {"question": "Why?"}, "abortAt": "Hello"}]
        asked = asyncio.create_task(node("mcp.mjs", f"{server.url}/mcp", json.dumps(calls)))
        telling = await server.told.next()
        telling.run.write("Hello")
        await within(telling.cancelled.wait())
        told = await asked
    assert "enough" in told["calls"][0]["error"]
    assert "rejected" not in told


async def test_the_javascript_client_is_told_a_failure(tmp_path: Path, node: Node) -> None:
    async def answer(run: Run) -> None:
        run.write("It co")
        raise ModelError("The model broke off.", code="model-interrupted", retryable=True)

    async with serving(tmp_path, answer) as server:
        calls = [{"name": "ask", "arguments": {"question": "Why?"}}]
        told = await node("mcp.mjs", f"{server.url}/mcp", json.dumps(calls))
    [call] = told["calls"]
    assert call["result"]["isError"] is True
    assert call["result"]["content"][0]["text"].startswith("The model broke off.")


@pytest.mark.parametrize("path", ["/mcp", "/mcp/"])
async def test_both_clients_find_it_below_a_mount_with_and_without_the_slash(
    tmp_path: Path, node: Node, path: str
) -> None:
    def mounted(millstream: Any) -> Starlette:
        return Starlette(routes=[Mount("/docs", app=millstream.app)])

    async with serving(tmp_path, everything, app=mounted) as server:
        told = await node("mcp.mjs", f"{server.url}/docs{path}")
        async with Client(streamable_http_client(f"{server.url}/docs{path}")) as client:
            tools = (await client.list_tools()).tools
    assert told["tools"] == [tool.name for tool in tools] == ["search_documents", "read_document", "ask"]


async def test_clients_at_the_same_time_get_each_their_own(tmp_path: Path) -> None:
    async def echo(run: Run) -> None:
        run.write(run.question)

    async def ask(server: Server, question: str) -> str:
        async with connected(server, "legacy") as client:
            result = await client.call_tool("ask", {"question": question})
        answer: str = result.structured_content["answer"]
        return answer

    questions = [f"Question {n}" for n in range(8)]
    async with serving(tmp_path, echo) as server:
        assert await asyncio.gather(*(ask(server, question) for question in questions)) == questions


@pytest.mark.parametrize("language", ["python", "js"])
async def test_the_documented_lines_work(tmp_path: Path, npm: hatch_build.Npm, language: str) -> None:
    [code] = re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), flags=re.DOTALL | re.MULTILINE)
    command = [sys.executable, "-c"] if language == "python" else ["node", "--input-type=module", "-e"]
    async with serving(tmp_path, everything) as server:
        process = await asyncio.create_subprocess_exec(
            *command,
            code.replace("http://127.0.0.1:8000", server.url),
            cwd=Path(__file__).parent,
            env={**os.environ, "PATH": npm.path},
            stdout=asyncio.subprocess.PIPE,
        )
        printed, _ = await within(process.communicate())
    assert process.returncode == 0
    assert "It costs 3 € [1]." in printed.decode()
    assert "… Searching…" in printed.decode()
