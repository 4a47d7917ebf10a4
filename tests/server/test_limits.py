"""Every stated limit at its edge, and what a refusal looks like."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from millstream.request import MAX_MESSAGES, MAX_QUESTION_CHARACTERS, MAX_SOURCES
from millstream.run import Run
from millstream.server.routes.conversations import MAX_TITLE_CHARACTERS
from serving import Answered, Server, asking, serving, within


async def quick(run: Run) -> None:
    run.write("Yes.")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(tmp_path, quick) as server:
        yield server


def assert_problem(response: Answered, status: int, code: str) -> None:
    """RFC 9457, with our code, and nothing that only the operator may know."""
    assert (response.status, response.json["code"]) == (status, code), response.body
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["Cache-Control"] == "no-store"
    assert set(response.json) >= {"type", "title", "status", "detail", "code"}
    assert response.json["status"] == status
    for leak in (b"Traceback", b"/src/", b"site-packages", b".py", b"/tmp"):
        assert leak not in response.body


async def test_a_body_of_exactly_the_limit_is_taken_and_one_byte_more_is_not(tmp_path: Path) -> None:
    async with serving(tmp_path, quick, max_body_bytes=2000) as server:
        body = b'{"question":"' + b"x" * (2000 - 15) + b'"}'
        assert len(body) == 2000
        assert (await server.request("POST", "/api/runs", data=body)).status == 200
        assert_problem(await server.request("POST", "/api/runs", data=body + b" "), 413, "too-large")
        for path in ("/api/runs/x/stop", "/api/conversations/x"):
            method = "PATCH" if "conversations" in path else "POST"
            assert_problem(await server.request(method, path, data=b" " * 2001), 413, "too-large")


async def test_a_body_without_a_declared_length_is_refused_as_soon_as_it_is_too_large(tmp_path: Path) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 1000
            await asyncio.sleep(0)

    async with serving(tmp_path, quick, max_body_bytes=2000) as server:
        assert_problem(await within(server.request("POST", "/api/runs", data=endless())), 413, "too-large")


@pytest.mark.parametrize(
    ("request_", "allowed"),
    [
        ({"question": "x" * MAX_QUESTION_CHARACTERS}, True),
        ({"question": "x" * (MAX_QUESTION_CHARACTERS + 1)}, False),
        ({"question": "é" * MAX_QUESTION_CHARACTERS}, True),  # characters, not bytes
        ({"question": [{"type": "text", "text": "x" * (MAX_QUESTION_CHARACTERS + 1)}]}, False),
        ({"question": " \n"}, False),
        ({"messages": [{"role": "user", "content": "x"}] * MAX_MESSAGES}, True),
        ({"messages": [{"role": "user", "content": "x"}] * (MAX_MESSAGES + 1)}, False),
        ({"messages": []}, False),
        ({"messages": [{"role": "assistant", "content": "x"}]}, False),
        ({"messages": [{"role": "tool", "content": "x"}]}, False),
        ({"messages": [{"role": "user", "content": "x" * 100_000}] * 10}, True),
        ({"messages": [{"role": "user", "content": "x" * 100_000}] * 10 + [{"role": "user", "content": "x"}]}, False),
        ({"question": "x", "options": {"sources": MAX_SOURCES}}, True),
        ({"question": "x", "options": {"sources": MAX_SOURCES + 1}}, False),
        ({"question": "x", "options": {"sources": 0}}, False),
        ({"question": "x", "options": {"temperature": 2}}, True),
        ({"question": "x", "options": {"temperature": 2.01}}, False),
        ({"question": "x", "options": {"max_output_tokens": 0}}, False),
        ({"question": "x", "options": {"colour": "red"}}, False),
        ({"question": "x", "run_id": "a" * 64}, True),
        ({"question": "x", "run_id": "a" * 65}, False),
        ({"question": "x", "run_id": ""}, False),
        ({"question": "x", "run_id": "a/b"}, False),
        ({"question": "x", "run_id": "a\r\nSet-Cookie: x"}, False),
        ({"question": "x", "run_id": "a\n"}, False),
        ({"question": "x", "stream": "yes"}, False),
        ({"question": "x", "messages": [{"role": "user", "content": "x"}]}, False),
        ({"question": 5}, False),
        ({"question": "x", "colour": "red"}, False),
        ({}, False),
        ([], False),
        (None, False),
        ("x", False),
    ],
    ids=lambda value: json.dumps(value)[:60],
)
async def test_requests_are_taken_up_to_their_limits(tmp_path: Path, request_: Any, allowed: bool) -> None:
    async with serving(tmp_path, quick, max_body_bytes=4_000_000) as server:
        response = await server.request("POST", "/api/runs", data=json.dumps(request_).encode())
        if allowed:
            assert response.status == 200, response.body
        else:
            assert_problem(response, 400, "invalid-request")


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"\xff\xfe", b'{"question":"\xc3"}', b'{"question":"\\ud800"}', b"[" * 200_000,
        b'{"question":' * 50_000, b'{"options":' + b'{"x":' * 50_000, b'{"question":"x","options":' + b"[" * 100_000,
    ],
)  # fmt: skip
async def test_a_body_that_is_no_json_is_refused(server: Server, body: bytes) -> None:
    assert_problem(await server.request("POST", "/api/runs", data=body), 400, "invalid-request")


async def test_beyond_the_most_answers_at_a_time_the_server_is_busy_and_says_when_to_come_back(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path, max_running=2) as server, asking(server), asking(server):
        first, _ = await server.told.next(), await server.told.next()
        response = await server.post("/api/runs", {"question": "Why?"})
        assert_problem(response, 503, "busy")
        assert response.headers["Retry-After"] == "2"
        first.end()
        await within((await server.live(first.run.id)).producer.end_reached())
        async with asking(server) as reader:
            assert (await reader.next())["type"] == "run.started"


async def test_starts_at_the_same_moment_do_not_exceed_the_most_answers(tmp_path: Path) -> None:
    async with serving(tmp_path, max_running=3) as server:
        asked = [asyncio.create_task(server.post("/api/runs", {"question": "Why?"})) for _ in range(20)]
        tellings = [await server.told.next() for _ in range(3)]
        refused = [task async for task in _as_completed(asked, 17)]
        assert [response.status for response in refused] == [503] * 17
        for telling in tellings:
            telling.end()
        assert sorted(response.status for response in await within(asyncio.gather(*asked))) == [200] * 3 + [503] * 17


async def _as_completed(tasks: list[asyncio.Task[Answered]], count: int) -> AsyncIterator[Answered]:
    waiting = set(tasks)
    while count:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=10)
        assert done
        for task in done:
            count -= 1
            yield task.result()


@pytest.mark.parametrize(("length", "allowed"), [(0, False), (1, True), (MAX_TITLE_CHARACTERS, True), (201, False)])
async def test_a_conversations_title_is_bounded(server: Server, length: int, allowed: bool) -> None:
    started = (await server.post("/api/runs", {"question": "Why?"})).json
    path = f"/api/conversations/{started['conversation_id']}"
    response = await server.request("PATCH", path, json={"title": "é" * length})
    assert response.status == (200 if allowed else 400)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/api/runs"), ("DELETE", "/api/runs/x"), ("POST", "/api/runs/x/events"), ("GET", "/api/runs/x/stop"),
     ("PUT", "/api/conversations/x"), ("POST", "/api/status"), ("POST", "/health")],
)  # fmt: skip
async def test_a_method_that_a_path_does_not_have_is_refused_as_a_problem(
    server: Server, method: str, path: str
) -> None:
    response = await server.request(method, path)
    assert_problem(response, 405, "method-not-allowed")
    assert response.headers["Allow"]


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize("path", ["/api/unknown", "/api/runs/x/y/z", "/api/"])
async def test_a_path_that_the_api_does_not_have_is_refused_as_a_problem(
    server: Server, method: str, path: str
) -> None:
    assert_problem(await server.request(method, path), 404, "not-found")


async def test_an_answer_that_nobody_registered_is_refused_with_the_names_of_those_there_are(server: Server) -> None:
    response = await server.post("/api/runs", {"question": "Why?", "answer": "poet"})
    assert_problem(response, 400, "unknown-answer")
    for name in ("default", "rag", "chat", "recording"):
        assert name in response.json["detail"]


async def test_health_says_that_the_server_lives(server: Server) -> None:
    assert (await server.get("/health")).json["status"] == "ok"


async def test_a_failure_of_the_server_itself_tells_nothing(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(owner: str) -> None:
        raise RuntimeError("secret sk-123 in /home/ann")

    monkeypatch.setattr(server.millstream.supervisor.conversations, "list", broken)
    response = await server.get("/api/conversations")
    assert_problem(response, 500, "internal")
    assert b"sk-123" not in response.body
