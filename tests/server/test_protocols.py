"""What all of other people's protocols have in common."""

import io
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Mount

from millstream.errors import ConfigurationError, Forbidden
from millstream.json_body import MAX_DEPTH
from millstream.server.app import Millstream
from millstream.server.protocols import protocol_routes
from millstream.server.settings import Settings
from serving import serving

QUESTION = [{"role": "user", "content": "Why?"}]
UI_QUESTION = [{"id": "m1", "role": "user", "parts": [{"type": "text", "text": "Why?"}]}]
AG_UI = {"threadId": "t", "runId": "r", "state": {}, "tools": [], "context": [], "forwardedProps": {}}
ASKED: dict[str, dict[str, Any]] = {
    "/chat": {"messages": QUESTION},
    "/chat/stream": {"messages": QUESTION},
    "/v1/chat/completions": {"model": "m", "messages": QUESTION},
    "/v1/responses": {"model": "m", "input": "Why?"},
    "/api/chat": {"id": "c", "messages": UI_QUESTION},
    "/ag-ui": {**AG_UI, "messages": [{"id": "m1", "role": "user", "content": "Why?"}]},
    "/mcp": {"jsonrpc": "2.0", "id": 1, "method": "tools/list"},
}


@pytest.mark.parametrize("path", ASKED)
async def test_who_is_not_known_is_told_by_http_with_the_applications_headers(tmp_path: Path, path: str) -> None:
    def identify(connection: object) -> str:
        raise HTTPException(401, {"why": "no key"}, {"WWW-Authenticate": "Bearer"})  # type: ignore[arg-type]

    async with serving(tmp_path, identify=identify) as server:
        answered = await server.post(path, ASKED[path])
    assert (answered.status, answered.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert b"no key" in answered.body


@pytest.mark.parametrize("path", ASKED)
async def test_a_foreign_host_is_refused_in_the_shape_of_every_other_refusal(tmp_path: Path, path: str) -> None:
    def identify(connection: object) -> str:
        raise Forbidden(
            "This server does not answer to that Host name. Add it to MILLSTREAM_HOSTS if it is yours.",
            code="host-not-allowed",
        )

    async with serving(tmp_path / "one", identify=identify) as server:
        told = await server.post(path, ASKED[path])
    async with serving(tmp_path / "two", hosts="docs.example") as server:
        answered = await server.post(path, ASKED[path], headers={"Host": "evil.example"})
        unread = await server.post("/sdk" + path, ASKED[path], headers={"Host": "evil.example"})
    assert (answered.status, answered.body) == (403, told.body)
    assert answered.headers["Content-Type"] == told.headers["Content-Type"] != "application/problem+json"
    assert unread.json["code"] == "host-not-allowed"


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/rag"])
async def test_the_models_are_for_who_is_known(tmp_path: Path, path: str) -> None:
    def identify(connection: object) -> str:
        raise Forbidden("Sign in first.")

    async with serving(tmp_path, identify=identify) as server:
        assert (await server.get(path)).status == 403


async def test_nothing_is_received_from_who_is_not_known(tmp_path: Path) -> None:
    def identify(connection: object) -> str:
        raise Forbidden("Sign in first.")

    async with serving(tmp_path, identify=identify) as server:
        form = aiohttp.FormData()
        form.add_field("json", '{"messages": []}', content_type="application/json")
        form.add_field("messages[0].files[0]", io.BytesIO(b"x" * 2_000_000), filename="a.txt")
        async with server.client.post(f"{server.url}/chat", data=form) as response:
            assert response.status == 403
        assert not list((tmp_path / "data").rglob("*.txt"))


@pytest.mark.parametrize("path", ASKED)
async def test_what_is_nested_too_deeply_is_refused_before_anything_begins(tmp_path: Path, path: str) -> None:
    nested = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    asked = json.dumps({**ASKED[path], "x": "NESTED"}).replace('"NESTED"', nested)
    headers = {"Content-Type": "application/json"}
    async with serving(tmp_path) as server:
        answered = await server.request("POST", path, data=asked, headers=headers)
        assert server.millstream.supervisor.running == 0
    assert answered.status == 400
    assert f"{MAX_DEPTH} arrays and objects".encode() in answered.body


@pytest.mark.parametrize("path", ASKED)
async def test_a_wrong_method_is_told_which_are_right(tmp_path: Path, path: str) -> None:
    async with serving(tmp_path) as server:
        answered = await server.request("PUT", path)
        head = await server.request("HEAD", path)
    assert (answered.status, answered.headers["Allow"]) == (405, "POST")
    assert (head.status, head.headers["Allow"]) == (405, "POST")


def message_of(path: str, body: bytes) -> str:
    """What a refusal says, in the shape that the protocol of this path gives it."""
    if path.startswith("/api/chat"):
        return body.decode()
    told = json.loads(body)
    if path.startswith("/ag-ui"):
        assert told["type"] == "RUN_ERROR"
        return str(told["message"])
    if path.startswith("/mcp"):
        assert (told["jsonrpc"], told["error"]["data"]["code"]) == ("2.0", "not-found")
    elif path.startswith("/chat"):
        assert told["error"]["code"] == "not-found"
    else:
        error = {"type": "invalid_request_error", "param": None, "code": "not-found"}
        assert told["error"] == {**error, "message": told["error"]["message"]}
    return str(told["error"]["message"])


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("path", "there_is"),
    [
        ("/v1", "POST /v1/chat/completions, GET /v1/models, "),
        ("/v1/embeddings", "GET or DELETE /v1/responses/{response_id}"),
        ("/v1/models/rag/", "GET /v1/models/{model}"),
        ("/openai/v1/images/generations", "POST /openai/v1/chat/completions"),
        (
            "/openai/deployments/d/embeddings?api-version=2024-10-21",
            "POST /openai/deployments/{deployment}/chat/completions",
        ),
        ("/chat/history", "POST /chat, POST /chat/stream"),
        ("/api/chat/c", "POST /api/chat, GET /api/chat/{id}/stream, POST /api/chat/{id}/stop"),
        ("/ag-ui/info", "POST /ag-ui"),
        ("/mcp/sse", "POST /mcp, POST /mcp/"),
    ],
)
async def test_what_is_not_there_is_refused_in_the_shape_of_the_protocol_whose_path_it_is(
    tmp_path: Path, path: str, there_is: str, method: str
) -> None:
    async with serving(tmp_path) as server:
        answered = await server.request(method, path)
    assert (answered.status, answered.headers["cache-control"]) == (404, "no-store")
    message = message_of(path, answered.body)
    assert message.startswith(f"There is no {method} {path.partition('?')[0]} here; there are: ")
    assert there_is in message


async def test_what_is_not_there_is_told_below_a_mount_and_a_prefix(tmp_path: Path) -> None:
    def mounted(millstream: Millstream) -> Starlette:
        return Starlette(routes=[Mount("/docs", app=millstream.app)])

    async with serving(tmp_path, app=mounted, openai_chat="/x", openai_responses="off") as server:
        answered = await server.post("/docs/x/v1/embeddings", {})
        elsewhere = await server.get("/docs/v1/embeddings")
    assert answered.json["error"]["message"] == (
        "There is no POST /x/v1/embeddings here; there are: POST /x/v1/chat/completions, GET /x/v1/models, "
        "GET /x/v1/models/{model}."
    )
    assert (elsewhere.status, elsewhere.body) == (404, b"Not found\n")


async def test_the_host_header_says_nowhere_to_go(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        answered = await server.request("POST", "/api/chat/", headers={"Host": "evil.example"})
    assert answered.status in (404, 405)
    assert "evil.example" not in str(answered.headers)


def test_two_protocols_at_one_address_are_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="MILLSTREAM_AI_CHAT and MILLSTREAM_AI_SDK"):
        Millstream(data=tmp_path, ai_chat="/api")


def test_each_protocol_can_be_switched_off_and_moved() -> None:
    paths = {route.path for route in protocol_routes(Settings(ai_sdk="/sdk", mcp="off"))[0]}
    assert "/sdk/api/chat" in paths
    assert not {"/api/chat", "/mcp"} & paths


@pytest.mark.parametrize("path", ["/chat/stream", "/v1/chat/completions", "/v1/responses", "/api/chat", "/ag-ui"])
async def test_a_model_that_stays_busy_after_we_asked_again_is_429(tmp_path: Path, path: str) -> None:
    busy = {"steps": [{"type": "rate_limited", "retry_after": 0}]}
    (tmp_path / "busy.json").write_text(json.dumps({"calls": [busy] * 4}))
    choose = {
        "/chat/stream": {"context": {"answer": "chat"}},
        "/ag-ui": {"forwardedProps": {"millstream": {"answer": "chat"}}},
    }.get(path, {"model": "chat", **({"stream": True} if path.startswith("/v1") else {})})
    async with serving(tmp_path, model=f"scripted/{tmp_path / 'busy.json'}") as server:
        answered = await server.post(path, {**ASKED[path], **choose})
    assert answered.status == 429, answered.body
