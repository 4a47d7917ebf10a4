"""`/mcp` over HTTP, message by message: the tools, what goes wrong in them, and who may call them."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from millstream.errors import Forbidden, ModelError
from millstream.run import Run
from serving import Server, serving, within

ACCEPT = {"Accept": "application/json, text/event-stream"}
LEAVE = "Paid leave is twenty days a year. Sick leave is paid for six weeks."


def pdf(*pages: str) -> bytes:
    """A PDF with a line of words on each page."""
    kids = " ".join(f"{3 + 2 * n} 0 R" for n in range(len(pages)))
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>"]
    font = "<< /Font << /F << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >>"
    for n, words in enumerate(pages):
        drawn = f"BT /F 10 Tf 50 750 Td ({words}) Tj ET"
        objects += [
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents {4 + 2 * n} 0 R /Resources {font} >>",
            f"<< /Length {len(drawn)} >>\nstream\n{drawn}\nendstream",
        ]
    body = "".join(f"{n} 0 obj\n{content}\nendobj\n" for n, content in enumerate(objects, 1))
    return f"%PDF-1.4\n{body}trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\n%%EOF\n".encode()


async def upload(server: Server, name: str, data: bytes, **headers: str) -> str:
    answered = await server.request(
        "POST", "/api/documents", params={"name": name, "wait": "30"}, data=data, headers=headers
    )
    assert answered.status == 200, answered.body
    document_id: str = answered.json["documents"][0]["document_id"]
    return document_id


def message(method: str, request_id: int | None = 1, **params: Any) -> dict[str, Any]:
    numbered = {} if request_id is None else {"id": request_id}
    return {"jsonrpc": "2.0", **numbered, "method": method, "params": params}


async def send(server: Server, asked: Any, path: str = "/mcp", **headers: str) -> dict[str, Any]:
    """The message that answers `asked`."""
    answered = await server.request("POST", path, json=asked, headers={**ACCEPT, **headers})
    assert answered.status == 200, answered.body
    [data] = [line for line in answered.body.splitlines() if line.startswith(b"data: {")]
    found: dict[str, Any] = json.loads(data[6:])
    return found


async def call(
    server: Server, tool: str, path: str = "/mcp", headers: dict[str, str] | None = None, **arguments: Any
) -> Any:
    asked = message("tools/call", name=tool, arguments=arguments)
    return (await send(server, asked, path, **(headers or {})))["result"]


async def error_of(server: Server, tool: str, **arguments: Any) -> tuple[str, str]:
    """The code and the words of a tool's failure."""
    result = await call(server, tool, **arguments)
    assert result["isError"] is True
    return result["_meta"]["millstream/code"], result["content"][0]["text"]


async def test_the_tools_are_described_by_their_schemas(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        tools = {tool["name"]: tool for tool in (await send(server, message("tools/list")))["result"]["tools"]}
    assert list(tools) == ["search_documents", "read_document", "ask"]
    assert all(
        tool[schema]["type"] == "object" for tool in tools.values() for schema in ("inputSchema", "outputSchema")
    )
    assert [tools[name]["inputSchema"]["required"] for name in tools] == [["query"], ["document_id"], ["question"]]
    assert tools["search_documents"]["annotations"]["readOnlyHint"] is True


async def test_a_search_gives_passages_with_their_places(tmp_path: Path) -> None:
    async with serving(tmp_path, embedder="none") as server:
        document_id = await upload(server, "leave.pdf", pdf(LEAVE, "Travel by train."))
        await upload(server, "other.md", b"# Leave\n\nPaid leave elsewhere.")
        result = await call(server, "search_documents", query="twenty days of leave", top=1)
        [found] = result["structuredContent"]["passages"]
        both = (await call(server, "search_documents", query="paid leave"))["structuredContent"]["passages"]
    assert (found["n"], found["document_id"], found["uri"]) == (1, document_id, "uploads/leave.pdf")
    assert (found["page_start"], found["start"]) == (1, 0)
    assert "Paid leave is twenty days" in found["text"]
    assert found["source_id"]
    assert found["score"] > 0
    assert result["content"][0]["text"].startswith(f"[1] {found['title']} (uploads/leave.pdf, page")
    assert document_id in result["content"][0]["text"]
    assert [passage["n"] for passage in both] == [1, 2]


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({}, {"a.md", "b.txt"}),
        ({"formats": ["markdown"]}, {"a.md"}),
        ({"within": ["uploads/b.txt"]}, {"b.txt"}),
        ({"within": ["elsewhere"]}, set()),
        ({"modified_before": "2001-01-01"}, set()),
        ({"modified_from": "2001-01-01"}, {"a.md", "b.txt"}),
    ],
)
async def test_filters_restrict_what_is_searched(tmp_path: Path, filters: dict[str, Any], names: set[str]) -> None:
    async with serving(tmp_path, embedder="none") as server:
        await upload(server, "a.md", LEAVE.encode())
        await upload(server, "b.txt", b"Who is on sick leave tells the office in the morning.")
        result = await call(server, "search_documents", query="sick leave", filters=filters)
    found = {passage["uri"].removeprefix("uploads/") for passage in result["structuredContent"]["passages"]}
    assert found == names
    if not names:
        assert "fewer filters" in result["content"][0]["text"]


async def test_a_document_is_read_whole_by_page_and_by_range(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        document_id = await upload(server, "leave.pdf", pdf(LEAVE, "Travel by train."))
        whole = (await call(server, "read_document", document_id=document_id))["structuredContent"]
        second = (await call(server, "read_document", document_id=document_id, page=2))["structuredContent"]
        part = (await call(server, "read_document", document_id=document_id, start=5, end=10))["structuredContent"]
    assert (whole["uri"], whole["pages"], whole["start"]) == ("uploads/leave.pdf", 2, 0)
    assert whole["end"] == whole["length"] == len(whole["text"])
    assert "next" not in whole
    assert second["text"].strip() == "Travel by train."
    assert part["text"] == whole["text"][5:10] == "leave"


async def test_a_long_document_is_read_in_parts_of_a_bounded_size(tmp_path: Path) -> None:
    text = "".join(f"Line {n} of many.\n" for n in range(3000))
    async with serving(tmp_path) as server:
        document_id = await upload(server, "long.txt", text.encode())
        parts, start = [], 0
        while start is not None:
            result = await call(server, "read_document", document_id=document_id, start=start, end=10**6)
            part = result["structuredContent"]
            parts.append(part["text"])
            start = part.get("next")
            assert ("It goes on" in result["content"][0]["text"]) is (start is not None)
    assert max(map(len, parts)) == 20_000
    assert "".join(parts) == text.rstrip("\n") or "".join(parts) == text


async def test_asking_gives_the_answer_with_its_sources(tmp_path: Path) -> None:
    async with serving(tmp_path, embedder="none") as server:
        await upload(server, "leave.md", LEAVE.encode())
        result = await call(server, "ask", question="How long is paid leave?", answer="rag")
    answered = result["structuredContent"]
    assert (answered["state"], answered["reason"]) == ("finished", "stop")
    citation = answered["citations"][0]
    assert "twenty days" in answered["answer"][citation["start"] : citation["end"]]
    assert answered["sources"][0]["uri"] == "uploads/leave.md"
    words = result["content"][0]["text"]
    assert "[1]" in words
    assert "Sources:\n[1] leave (uploads/leave.md)" in words


async def test_another_answer_by_its_name_and_the_default_for_any_other(tmp_path: Path) -> None:
    async def default(run: Run) -> None:
        run.write(f"default {run.options.sources}")

    async def other(run: Run) -> None:
        run.write("other")

    async with serving(tmp_path, default) as server:
        server.millstream.answer(other, name="other")
        said = [
            (await call(server, "ask", question="Why?", **chosen))["structuredContent"]["answer"]
            for chosen in ({}, {"answer": "other"}, {"answer": "gpt"}, {"sources": 7})
        ]
    assert said == ["default None", "other", "default None", "default 7"]


async def test_steps_and_the_growing_text_are_told_while_it_is_asked(tmp_path: Path) -> None:
    words = [f"word{n} " for n in range(400)]

    async def answer(run: Run) -> None:
        async with run.step("search", "Searching…") as step:
            step.done("Found it")
        for word in words:
            run.write(word)
            await asyncio.sleep(0)

    asked = message("tools/call", name="ask", arguments={"question": "Why?"}, _meta={"progressToken": "p"})
    async with serving(tmp_path, answer) as server:
        answered = await server.request("POST", "/mcp", json=asked, headers=ACCEPT)
    sent = [json.loads(line[6:]) for line in answered.body.splitlines() if line.startswith(b"data: {")]
    told = [one["params"] for one in sent if one.get("method") == "notifications/progress"]
    assert [one["progress"] for one in told] == list(range(1, len(told) + 1))
    assert {one["progressToken"] for one in told} == {"p"}
    assert [one["message"] for one in told[:2]] == ["Searching…", "Found it"]
    texts = [one["message"] for one in told[2:]]
    text = "".join(words)
    assert all(text.startswith(one) for one in texts)
    assert len(texts) > 5
    assert sum(map(len, texts)) < 10 * len(text)
    assert sent[-1]["result"]["structuredContent"]["answer"] == text


async def test_no_line_of_a_stream_is_cut_by_a_unicode_line_end_in_it(tmp_path: Path) -> None:
    """Some clients split lines as Python's str.splitlines does."""
    text = "One.\x85Two.\u2028Three.\u2029Four."

    async def answer(run: Run) -> None:
        run.write(text)

    asked = message("tools/call", name="ask", arguments={"question": "Why?"}, _meta={"progressToken": "p"})
    async with serving(tmp_path, answer) as server:
        answered = await server.request("POST", "/mcp", json=asked, headers=ACCEPT)
    sent = [json.loads(line[6:]) for line in answered.body.decode().splitlines() if line.startswith("data: {")]
    assert sent[0]["params"]["message"] == text
    assert sent[-1]["result"]["structuredContent"]["answer"] == text


async def test_a_run_that_fails_is_the_tools_error_with_what_there_was(tmp_path: Path) -> None:
    async def answer(run: Run) -> None:
        run.write("It co")
        raise ModelError("The model broke off.", code="model-interrupted", retryable=True)

    async with serving(tmp_path, answer) as server:
        result = await call(server, "ask", question="Why?")
    assert result["isError"] is True
    assert result["_meta"]["millstream/code"] == "model-interrupted"
    assert result["content"][0]["text"] == "The model broke off.\n\nWhat was written until then:\nIt co"
    assert (result["structuredContent"]["state"], result["structuredContent"]["answer"]) == ("failed", "It co")


async def test_a_run_that_is_stopped_gives_what_was_seen(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        asked = asyncio.create_task(call(server, "ask", question="Why?"))
        telling = await server.told.next()
        telling.run.write("One. Two.")
        await server.post(f"/api/runs/{telling.run.id}/stop", {"seen": 4})
        result = await asked
    assert result["isError"] is False
    assert (result["structuredContent"]["state"], result["structuredContent"]["answer"]) == ("stopped", "One.")


async def test_a_bug_leaks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*arguments: Any, **options: Any) -> Any:
        raise RuntimeError("the key is hunter2")

    async with serving(tmp_path) as server:
        monkeypatch.setattr(server.millstream.search, "search", broken)
        assert await error_of(server, "search_documents", query="x") == (
            "internal",
            "The server failed unexpectedly; its log says why.",
        )


@pytest.mark.parametrize(
    ("tool", "arguments", "code", "words"),
    [
        ("search_documents", {}, "invalid-request", "query"),
        ("search_documents", {"query": ""}, "invalid-request", "query"),
        ("search_documents", {"query": "x", "top": 0}, "invalid-request", "top"),
        ("search_documents", {"query": "x", "top": 9}, "invalid-request", "MILLSTREAM_MAX_SOURCES"),
        ("search_documents", {"query": "x", "limit": 9}, "invalid-request", "limit"),
        ("search_documents", {"query": "x", "filters": {"modified_from": "May"}}, "invalid-request", "modified_from"),
        ("read_document", {"document_id": "none"}, "no-document", "There is no such document"),
        ("read_document", {"document_id": "ID", "page": 3}, "invalid-request", "`page` must be 1 to 2"),
        ("read_document", {"document_id": "ID", "page": 0}, "invalid-request", "`page` must be 1 to 2"),
        ("read_document", {"document_id": "ID", "page": 1, "start": 4}, "invalid-request", "not both"),
        ("read_document", {"document_id": "TEXT", "page": 1}, "invalid-request", "has no pages"),
        ("ask", {"question": " "}, "invalid-request", "empty"),
        ("ask", {"question": "x" * 100_001}, "invalid-request", "longer than"),
        ("ask", {"question": 7}, "invalid-request", "question"),
        ("ask", {"question": "x", "sources": 9}, "invalid-request", "MILLSTREAM_MAX_SOURCES"),
    ],
)
async def test_wrong_arguments_are_the_tools_error_and_say_what_to_do(
    tmp_path: Path, tool: str, arguments: dict[str, Any], code: str, words: str
) -> None:
    async with serving(tmp_path, max_sources=5) as server:
        ids = {"ID": await upload(server, "a.pdf", pdf("One", "Two")), "TEXT": await upload(server, "a.txt", b"One")}
        given = {name: ids.get(value, value) if isinstance(value, str) else value for name, value in arguments.items()}
        found, text = await error_of(server, tool, **given)
    assert found == code
    assert words in text


async def test_no_more_runs_than_there_may_be_is_the_tools_error(tmp_path: Path) -> None:
    async with serving(tmp_path, max_running=1) as server:
        asked = asyncio.create_task(call(server, "ask", question="Why?"))
        telling = await server.told.next()
        assert (await error_of(server, "ask", question="Why?"))[0] == "busy"
        telling.end()
        await asked


async def test_a_tool_that_there_is_not_is_an_error_of_the_protocol(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        answered = await send(server, message("tools/call", name="delete_all", arguments={}))
    assert answered["error"]["code"] == -32602
    assert "search_documents" in answered["error"]["message"]


@pytest.mark.parametrize(
    ("data", "status", "code", "ours"),
    [
        (b"{", 400, -32700, "invalid-request"),
        (b"", 400, -32700, "invalid-request"),
        (b"[]", 400, -32600, "invalid-request"),
        (json.dumps(message("tools/list", x="y" * 2000)).encode(), 413, -32000, "too-large"),
    ],
)
async def test_what_is_no_message_is_refused_as_json_rpc(
    tmp_path: Path, data: bytes, status: int, code: int, ours: str
) -> None:
    headers = {**ACCEPT, "Content-Type": "application/json"}
    async with serving(tmp_path, max_body_bytes=1024) as server:
        answered = await server.request("POST", "/mcp", data=data, headers=headers)
    assert (answered.status, answered.json["id"]) == (status, None)
    assert (answered.json["error"]["code"], answered.json["error"]["data"]["code"]) == (code, ours)


async def test_there_is_nothing_to_get_and_nothing_to_delete(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        for method in ("GET", "DELETE"):
            answered = await server.request(method, "/mcp", headers=ACCEPT)
            assert (answered.status, answered.headers["Allow"]) == (405, "POST")


async def test_documents_and_runs_are_the_callers(tmp_path: Path) -> None:
    def identify(request: Any) -> str:
        user: str = request.headers.get("x-user", "")
        if not user:
            raise Forbidden("Sign in first.")
        return user

    async with serving(tmp_path, identify=identify, embedder="none") as server:
        document_id = await upload(server, "leave.md", LEAVE.encode(), **{"x-user": "ann"})
        found = [
            len(
                (await call(server, "search_documents", headers={"x-user": who}, query="leave"))["structuredContent"][
                    "passages"
                ]
            )
            for who in ("ann", "bob")
        ]
        read = await call(server, "read_document", headers={"x-user": "bob"}, document_id=document_id)
        asked = asyncio.create_task(call(server, "ask", headers={"x-user": "bob"}, question="Why?"))
        telling = await server.told.next()
        owner = telling.run.owner
        telling.end()
        await asked
        refused = await server.request("POST", "/mcp", json=message("tools/list"), headers=ACCEPT)
    assert (refused.status, refused.json["error"]["data"]) == (403, {"code": "forbidden"})
    assert found == [1, 0]
    assert read["_meta"]["millstream/code"] == "no-document"
    assert owner == "bob"


async def test_a_caller_that_is_gone_stops_the_run(tmp_path: Path) -> None:
    asked = message("tools/call", name="ask", arguments={"question": "Why?"})
    async with serving(tmp_path, when_unread="finish") as server:
        async with server.client.post(f"{server.url}/mcp", json=asked, headers=ACCEPT) as response:
            telling = await server.told.next()
            response.close()
        await within(telling.cancelled.wait())


async def test_a_message_cancels_an_asking_of_the_same_client_alone(tmp_path: Path) -> None:
    cancel = message("notifications/cancelled", None, requestId=7)
    async with serving(tmp_path) as server:
        named = await server.request("POST", "/mcp", json=message("initialize", 0, **INITIALIZE), headers=ACCEPT)
        session = {"Mcp-Session-Id": named.headers["Mcp-Session-Id"]}
        asked = message("tools/call", 7, name="ask", arguments={"question": "Why?"})
        result = asyncio.create_task(send(server, asked, **session))
        telling = await server.told.next()
        for headers in ({}, {"Mcp-Session-Id": "another"}):
            assert (await server.request("POST", "/mcp", json=cancel, headers={**ACCEPT, **headers})).status == 202
        assert not telling.cancelled.is_set()
        assert (await server.request("POST", "/mcp", json=cancel, headers={**ACCEPT, **session})).status == 202
        await within(telling.cancelled.wait())
        assert (await result)["result"]["structuredContent"]["state"] == "stopped"
        again = await server.request("POST", "/mcp", json=cancel, headers={**ACCEPT, **session})
        assert again.status == 202


INITIALIZE = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}


@pytest.mark.parametrize(("origin", "status"), [("https://shop.example", 200), ("https://other.example", 403)])
async def test_the_hosts_and_origins_are_those_of_the_settings(tmp_path: Path, origin: str, status: int) -> None:
    headers = {**ACCEPT, "Host": "chat.example", "Origin": origin}
    async with serving(tmp_path, hosts=["chat.example"], origins=["https://shop.example"]) as server:
        answered = await server.request("POST", "/mcp", json=message("tools/list"), headers=headers)
        refused = await server.request(
            "POST", "/mcp", json=message("tools/list"), headers={**ACCEPT, "Host": "evil.example"}
        )
    assert answered.status == status
    assert refused.status == 403
    if status == 200:
        assert "Mcp-Session-Id" in answered.headers["Access-Control-Expose-Headers"]


@pytest.mark.parametrize("path", ["/mcp", "/mcp/"])
async def test_it_is_there_with_and_without_the_slash_below_any_mount_and_without_lifespan(
    tmp_path: Path, path: str
) -> None:
    async def answer(run: Run) -> None:
        run.write("Hello")

    async with serving(
        tmp_path, answer, app=lambda stream: Starlette(routes=[Mount("/docs/chat", app=stream.app)])
    ) as server:
        result = await call(server, "ask", f"/docs/chat{path}", question="Why?")
    assert result["structuredContent"]["answer"] == "Hello"


async def test_it_can_be_moved_and_switched_off(tmp_path: Path) -> None:
    async with serving(tmp_path, mcp="/tools") as server:
        assert (await send(server, message("tools/list"), "/tools/mcp"))["result"]["tools"]
        assert (await server.request("POST", "/mcp", json=message("tools/list"), headers=ACCEPT)).status == 405
    async with serving(tmp_path, mcp="off") as server:
        assert (await server.request("POST", "/mcp", json=message("tools/list"), headers=ACCEPT)).status == 405


@pytest.mark.parametrize("setting", ["on", "off"])
def test_nothing_of_it_is_loaded_before_the_first_request(tmp_path: Path, setting: str) -> None:
    code = (
        f"import sys, pathlib; from millstream import Millstream; Millstream(data=pathlib.Path({str(tmp_path)!r}), "
        f"mcp={setting!r}).app; print([name for name in sys.modules if name.split('.')[0] in ('mcp', 'mcp_types')])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
