"""HEAD asks what GET would give, and gets the head of it at once (RFC 9110, section 9.3.2)."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from starlette.routing import Route

from millstream.run import Run
from millstream.server import page
from millstream.server.protocols import protocol_routes
from millstream.server.protocols.endpoint import Endpoint
from millstream.server.routes import conversations, documents, plain, runs, status
from millstream.server.settings import Settings
from serving import serving, within

RESPONSE = {"model": "m", "input": "Why?", "stream": True}
CHAT = {"id": "c", "messages": [{"id": "m1", "role": "user", "parts": [{"type": "text", "text": "Why?"}]}]}


def paths_to_get() -> set[str]:
    """Of our own routes and those of the protocols."""
    ours = [*runs.routes, *conversations.routes, *documents.routes, *status.routes, *plain.routes, *page.routes]
    found = {route.path for route in ours if isinstance(route, Route) and "GET" in (route.methods or ())}
    for route in protocol_routes(Settings())[0]:
        if isinstance(route.endpoint, Endpoint) and "GET" in route.endpoint.handlers:
            found.add(route.path)
    return {"/health", *(path.replace(":path", "") for path in found)}


async def test_whatever_can_be_got_has_a_head(tmp_path: Path) -> None:
    async def answer(run: Run) -> None:
        run.write("Because.")

    async with serving(tmp_path, answer, embedder="none") as server:
        uploaded = await server.request("POST", "/api/documents", params={"name": "a.md", "wait": "30"}, data=b"# Hi")
        document_id = uploaded.json["documents"][0]["document_id"]
        run = (await server.post("/api/runs", {"question": "Why?"})).json
        response = await server.post("/v1/responses", RESPONSE)
        known = {
            "run_id": run["run_id"],
            "conversation_id": run["conversation_id"],
            "document_id": document_id,
            "response_id": f"resp_{response.headers['millstream-run']}",
            "model": "rag",
            "id": "c",
            "path": "nothing",
        }
        for path in paths_to_get():
            address = path.format_map(known)
            if path in ("/plain", "/passage"):
                address += f"?document_id={document_id}"
            head, got = await within(server.request("HEAD", address)), await server.get(address)
            assert (head.status, head.body) == (got.status, b""), address
            assert (got.status == 404) is (path == "/{path}"), address
            for name in ("content-type", "content-length", "cache-control"):
                assert head.headers.get(name) == got.headers.get(name), (address, name)
        assert (await server.request("HEAD", "/v1/models/none")).status == 404
        assert (await server.request("PUT", "/v1/models")).headers["Allow"] == "GET, HEAD"


async def test_it_never_waits_for_a_response(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        asked = asyncio.create_task(server.post("/v1/responses", RESPONSE))
        telling = await server.told.next()
        await server.live(telling.run.id)
        response = f"/v1/responses/resp_{telling.run.id}"
        for query, media_type in (("", "application/json"), ("?stream=true&starting_after=0", "text/event-stream")):
            head = await within(server.request("HEAD", response + query))
            assert (head.status, head.headers["content-type"], head.body) == (200, media_type, b"")
        telling.end()
        assert (await asked).status == 200


async def test_it_never_waits_for_a_chat_and_leaves_it_to_be_come_back_to(tmp_path: Path) -> None:
    async with serving(tmp_path, heartbeat=0.01) as server, AsyncExitStack() as stack:
        await stack.enter_async_context(server.client.post(f"{server.url}/api/chat", json=CHAT))
        telling = await server.told.next()
        for _ in range(2):
            head = await within(server.request("HEAD", "/api/chat/c/stream"))
            assert (head.status, head.headers["content-type"], head.body) == (200, "text/event-stream", b"")
            assert head.headers["x-vercel-ai-ui-message-stream"] == "v1"
        assert (await server.request("HEAD", "/api/chat/none/stream")).status == 204
        telling.end()
