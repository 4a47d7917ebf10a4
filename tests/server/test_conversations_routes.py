"""Conversations over HTTP: list, open, rename, delete."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import HTTPConnection

from serving import Server, asking, serving, within


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(tmp_path) as server:
        yield server


async def told(server: Server, words: str, **options: Any) -> str:
    """A finished answer; returns its conversation."""
    async with asking(server, **options) as reader:
        started = await reader.next()
        telling = await server.told.next()
        telling.run.write(words)
        telling.end()
        await reader.rest()
    return str(started["conversation_id"])


async def heads(server: Server, **options: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await server.get("/api/conversations", **options)).json["conversations"]
    return found


async def test_conversations_are_listed_last_updated_first_under_their_first_question(server: Server) -> None:
    assert await heads(server) == []
    first = await told(server, "Yes.", question="First?\nMore.")
    second = await told(server, "Yes.", question="Second?")
    assert [(head["conversation_id"], head["title"]) for head in await heads(server)] == [
        (second, "Second?"), (first, "First?"),
    ]  # fmt: skip
    await told(server, "Again.", question="And?", conversation_id=first)
    assert [head["conversation_id"] for head in await heads(server)] == [first, second]


async def test_a_conversation_opens_with_its_tree_of_messages(server: Server) -> None:
    conversation = await told(server, "One.", question="First?", run_id="r1")
    await told(server, "Two.", question="Second?", conversation_id=conversation, run_id="r2")
    body = (await server.get(f"/api/conversations/{conversation}")).json
    question, answer, second, again = body["messages"]
    assert (question["role"], question["content"]) == ("user", "First?")
    assert "parent_id" not in question
    assert answer["parent_id"] == question["message_id"]
    assert answer["run"] == (await server.get("/api/runs/r1")).json
    assert (second["parent_id"], again["parent_id"]) == (answer["message_id"], second["message_id"])


async def test_an_answer_in_the_making_stands_in_its_conversation_as_far_as_it_is(server: Server) -> None:
    async with asking(server, run_id="r1") as reader:
        conversation = (await reader.next())["conversation_id"]
        telling = await server.told.next()
        telling.run.write("Half ")
        await reader.next()
        answer = (await server.get(f"/api/conversations/{conversation}")).json["messages"][-1]
        assert (answer["run"]["state"], answer["run"]["message"]["content"]) == ("running", "Half ")
        telling.run.write("and whole")
        telling.end()
        rest = (await within(server.get(f"/api/runs/r1/events?after={answer['run']['seq']}"))).events
        assert rest[0]["text"] == "and whole"


async def test_a_history_that_the_client_brings_is_not_listed(server: Server) -> None:
    async with asking(server, question=None, messages=[{"role": "user", "content": "Why?"}]) as reader:
        (await server.told.next()).end()
        await reader.rest()
    assert await heads(server) == []


async def test_rename_shows_in_the_list_and_says_what_it_is_called_now(server: Server) -> None:
    conversation = await told(server, "Yes.")
    response = await server.request("PATCH", f"/api/conversations/{conversation}", json={"title": "  Mills  "})
    assert response.json == {"conversation_id": conversation, "title": "Mills"}
    assert [head["title"] for head in await heads(server)] == ["Mills"]


@pytest.mark.parametrize("body", [{}, {"title": 5}, {"title": "x", "colour": "red"}, {"title": " "}, [], None])
async def test_a_rename_that_cannot_be_understood_is_refused(server: Server, body: Any) -> None:
    conversation = await told(server, "Yes.", question="Why?")
    assert (await server.request("PATCH", f"/api/conversations/{conversation}", json=body)).status == 400
    assert [head["title"] for head in await heads(server)] == ["Why?"]


async def test_delete_stops_what_is_running_and_forgets_everything(server: Server) -> None:
    conversation = await told(server, "Yes.", run_id="r1")
    async with asking(server, run_id="r2", conversation_id=conversation) as reader:
        telling = await server.told.next()
        telling.run.write("Half ")
        await reader.until("text.delta")
        response = await server.request("DELETE", f"/api/conversations/{conversation}")
        assert (response.status, response.body) == (204, b"")
        await within(telling.cancelled.wait())
        assert [event["type"] for event in await reader.rest()][-1:] in (["run.stopped"], [])
    for path in ("/api/runs/r1", "/api/runs/r2", "/api/runs/r1/events", f"/api/conversations/{conversation}"):
        assert (await server.get(path)).status == 404
    assert await heads(server) == []
    assert (await server.request("DELETE", f"/api/conversations/{conversation}")).status == 404


async def test_what_is_not_there_can_be_neither_renamed_nor_deleted_nor_continued(server: Server) -> None:
    for method, body in (("PATCH", {"title": "x"}), ("DELETE", None)):
        response = await server.request(method, "/api/conversations/none", json=body)
        assert (response.status, response.json["code"]) == (404, "no-conversation")
    response = await server.post("/api/runs", {"question": "Why?", "conversation_id": "none"})
    assert (response.status, response.json["code"]) == (404, "no-conversation")


def by_header(connection: HTTPConnection) -> str:
    return connection.headers["x-user"]


async def test_a_conversation_is_its_owners_alone(tmp_path: Path) -> None:
    ann, bob = {"X-User": "ann"}, {"X-User": "bob"}
    async with serving(tmp_path, identify=by_header) as server:
        conversation = await told(server, "Yes.", headers=ann)
        path = f"/api/conversations/{conversation}"
        for method, body in (("GET", None), ("PATCH", {"title": "mine"}), ("DELETE", None)):
            assert (await server.request(method, path, headers=bob, json=body)).status == 404
        asked = {"question": "Why?", "conversation_id": conversation}
        assert (await server.post("/api/runs", asked, headers=bob)).status == 404
        assert (await heads(server, headers=bob), len(await heads(server, headers=ann))) == ([], 1)
        assert (await server.get(path, headers=ann)).json["title"] == "Why?"
