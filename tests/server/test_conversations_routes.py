"""Conversations over HTTP: list, search, open, rename, delete and restore, rate."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.routing import Mount

from millstream import Millstream
from serving import PATIENCE_S, Server, asking, serving, within


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


async def until_filed(server: Server, run_id: str) -> None:
    """Returns when a run's answer is in its conversation."""
    conversations = server.millstream.supervisor.conversations
    async with asyncio.timeout(PATIENCE_S):
        while (message := await conversations.message_of_run(run_id)) is None or message.snapshot is None:  # noqa: ASYNC110
            await asyncio.sleep(0)


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


async def listed(server: Server, query: str) -> dict[str, Any]:
    found: dict[str, Any] = (await server.get(f"/api/conversations?{query}")).json
    return found


async def test_the_list_comes_in_parts(server: Server) -> None:
    made = [await told(server, "Yes.", question=f"Number {number}?") for number in range(5)]
    part = await listed(server, "limit=2")
    seen = [head["conversation_id"] for head in part["conversations"]]
    while "next" in part:
        part = await listed(server, f"limit=2&after={part['next']}")
        seen += [head["conversation_id"] for head in part["conversations"]]
    assert seen == made[::-1]


async def test_search_tells_the_conversation_the_message_and_the_hits(server: Server) -> None:
    conversation = await told(server, "It is driven by **water**.", question="What drives it?")
    await told(server, "By wind.", question="And the other?")
    (only,) = (await listed(server, "q=DRIVEN+wat"))["conversations"]
    answer = (await server.get(f"/api/conversations/{conversation}")).json["messages"][1]
    assert (only["conversation_id"], only["title"]) == (conversation, "What drives it?")
    assert only["match"] == {
        "text": "It is driven by water.", "hits": [[6, 12], [16, 21]], "message_id": answer["message_id"]
    }  # fmt: skip
    assert "message_id" not in (await listed(server, "q=drives"))["conversations"][0]["match"]
    assert (await listed(server, "q="))["conversations"] == (await listed(server, "q=%22*"))["conversations"] == []
    assert len((await listed(server, "q=by&limit=1"))["conversations"]) == 1


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=-1", "limit=x", "after=x", "after=1.", "after=1.a.b", "after=٣.a", "q=" + "a" * 201]
)
async def test_a_list_that_cannot_be_understood_is_refused(server: Server, query: str) -> None:
    response = await server.get(f"/api/conversations?{query}")
    assert (response.status, response.json["code"]) == (400, "invalid-request")
    assert (await server.get("/api/conversations?limit=999999999&q=" + "a" * 200)).status == 200


async def test_the_chosen_branch_stands_in_the_conversation_until_the_next_turn(server: Server) -> None:
    conversation = await told(server, "One.")
    path = f"/api/conversations/{conversation}"
    question, answer = (await server.get(path)).json["messages"]
    await told(server, "Two.", question=None, conversation_id=conversation, parent_id=question["message_id"])
    messages = (await server.get(path)).json["messages"]
    assert [message.get("parent_id") for message in messages] == [None, *[question["message_id"]] * 2]
    change = {"chosen_id": answer["message_id"]}
    assert (await server.request("PATCH", path, json=change)).json == {"conversation_id": conversation, **change}
    assert (await server.get(path)).json["chosen_id"] == answer["message_id"]
    await told(server, "Three.", conversation_id=conversation)
    assert "chosen_id" not in (await server.get(path)).json
    refused = await server.request("PATCH", path, json={"chosen_id": "none"})
    assert (refused.status, refused.json["code"]) == (404, "no-message")


async def test_feedback_is_changed_and_removed(server: Server) -> None:
    conversation = await told(server, "Yes.")

    async def feedback() -> Any:
        return (await server.get(f"/api/conversations/{conversation}")).json["messages"][1].get("feedback")

    answer = (await server.get(f"/api/conversations/{conversation}")).json["messages"][1]["message_id"]
    path = f"/api/messages/{answer}/feedback"
    given = await server.request("PUT", path, json={"rating": "down", "comment": f" {'x' * 2000} "})
    assert given.json == {"rating": "down", "updated": given.json["updated"], "comment": "x" * 2000}
    assert await feedback() == given.json
    given = await server.request("PUT", path, json={"rating": "up"})
    assert await feedback() == given.json == {"rating": "up", "updated": given.json["updated"]}
    assert (await server.request("DELETE", path)).status == 204
    assert await feedback() is None


@pytest.mark.parametrize(
    "body", [None, {}, {"rating": "maybe"}, {"rating": None}, {"rating": "up", "comment": "x" * 2001}, {"comment": "x"}]
)
async def test_feedback_that_cannot_be_understood_is_refused(server: Server, body: Any) -> None:
    refused = await server.request("PUT", "/api/messages/m/feedback", json=body)
    assert (refused.status, refused.json["code"]) == (400, "invalid-request")


async def test_a_question_and_what_is_not_there_have_no_feedback(server: Server) -> None:
    conversation = await told(server, "Yes.")
    question = (await server.get(f"/api/conversations/{conversation}")).json["messages"][0]["message_id"]
    for message_id in (question, "none"):
        for method, body in (("PUT", {"rating": "up"}), ("DELETE", None)):
            refused = await server.request(method, f"/api/messages/{message_id}/feedback", json=body)
            assert (refused.status, refused.json["code"]) == (404, "no-message")


async def test_export_as_markdown_is_the_shown_branch_as_a_file(server: Server) -> None:
    conversation = await told(server, "One.", question="Why: *a/b*?")
    path = f"/api/conversations/{conversation}"
    question, answer = (await server.get(path)).json["messages"]
    await told(server, "Two.", question=None, conversation_id=conversation, parent_id=question["message_id"])
    exported = await server.get(f"{path}/export")
    assert exported.body.decode() == "# Why: *a/b*?\n\n## Question\n\nWhy: *a/b*?\n\n## Answer\n\nTwo.\n"
    assert exported.headers["Content-Type"] == "text/markdown; charset=utf-8"
    assert (
        exported.headers["Content-Disposition"]
        == "attachment; filename=\"conversation.md\"; filename*=UTF-8''Why%20a%20b.md"
    )
    await server.request("PATCH", path, json={"chosen_id": answer["message_id"]})
    assert "One." in (await server.get(f"{path}/export?format=markdown")).body.decode()


async def test_export_as_json_is_the_whole_conversation_as_a_file(server: Server) -> None:
    conversation = await told(server, "One.", question="🎉")
    path = f"/api/conversations/{conversation}"
    exported = await server.get(f"{path}/export?format=json")
    assert exported.json == (await server.get(path)).json
    assert (
        exported.headers["Content-Disposition"]
        == "attachment; filename=\"conversation.json\"; filename*=UTF-8''%F0%9F%8E%89.json"
    )
    refused = await server.get(f"{path}/export?format=pdf")
    assert (refused.status, refused.json["code"]) == (400, "invalid-request")
    assert (await server.get("/api/conversations/none/export")).status == 404


@pytest.mark.parametrize("body", [{}, {"title": 5}, {"title": "x", "colour": "red"}, {"title": " "}, [], None])
async def test_a_rename_that_cannot_be_understood_is_refused(server: Server, body: Any) -> None:
    conversation = await told(server, "Yes.", question="Why?")
    assert (await server.request("PATCH", f"/api/conversations/{conversation}", json=body)).status == 400
    assert [head["title"] for head in await heads(server)] == ["Why?"]


async def test_a_deleted_conversation_can_be_restored_as_it_was(server: Server) -> None:
    conversation = await told(server, "Yes.", run_id="r1")
    path = f"/api/conversations/{conversation}"
    before = (await server.get(path)).json
    async with asking(server, run_id="r2", conversation_id=conversation) as reader:
        telling = await server.told.next()
        telling.run.write("Half ")
        await reader.until("text.delta")
        assert (await server.request("DELETE", path)).status == 204
    for _ in range(2):  # a second click is no error
        restored = await server.post(f"{path}/restore")
        assert (restored.status, restored.json["title"]) == (200, "Why?")
    after = (await server.get(path)).json
    assert after["messages"][:2] == before["messages"]
    assert (after["messages"][3]["run"]["state"], after["messages"][3]["run"]["message"]["content"]) == (
        "stopped", "Half ",
    )  # fmt: skip
    assert (await server.get("/api/runs/r1")).json == before["messages"][1]["run"]
    await told(server, "It goes on.", conversation_id=conversation)


async def test_a_conversation_that_is_kept_no_longer_cannot_be_restored(tmp_path: Path) -> None:
    async with serving(tmp_path, deleted_kept_hours=0) as server:
        conversation = await told(server, "Yes.", run_id="r1")
        assert (await server.request("DELETE", f"/api/conversations/{conversation}")).status == 204
        refused = await server.post(f"/api/conversations/{conversation}/restore")
        assert (refused.status, refused.json["code"]) == (404, "no-conversation")
        assert await told(server, "The run's id is free again.", run_id="r1")


async def test_housekeeping_forgets_what_was_deleted_long_ago_and_what_was_never_listed(tmp_path: Path) -> None:
    async with serving(tmp_path, deleted_kept_hours=1e-7, unlisted_kept_hours=1e-7) as server:
        kept = await told(server, "Yes.", run_id="r1")
        deleted = await told(server, "Yes.", run_id="r2")
        await server.request("DELETE", f"/api/conversations/{deleted}")
        await told(server, "Yes.", question=None, messages=[{"role": "user", "content": "Why?"}], run_id="r3")
        await until_filed(server, "r3")
        await server.millstream.supervisor.prune()
        assert [(await server.get(f"/api/runs/r{n}")).status for n in (1, 2, 3)] == [200, 404, 404]
        assert (await server.post(f"/api/conversations/{deleted}/restore")).status == 404
        assert [head["conversation_id"] for head in await heads(server)] == [kept]


async def test_what_is_kept_for_hours_is_kept_for_so_many_hours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time

    async def after(server: Server, hours: float) -> None:
        """Housekeeping as it is so long from now."""
        monkeypatch.setattr(time, "time", lambda: now() + hours * 3600)
        await server.millstream.supervisor.prune()

    a_minute = 1 / 60
    kept = {"events_kept_hours": 2, "deleted_kept_hours": 4, "unlisted_kept_hours": 6}
    async with serving(tmp_path, **kept) as server:
        restored, deleted = [await told(server, "Yes.", run_id=run_id) for run_id in ("r1", "r2")]
        await told(server, "Yes.", question=None, messages=[{"role": "user", "content": "Why?"}], run_id="r3")
        for conversation in (restored, deleted):
            await server.request("DELETE", f"/api/conversations/{conversation}")
        await told(server, "Yes.", run_id="r4")

        for hours, status in ((2 - a_minute, 200), (2 + a_minute, 410)):
            await after(server, hours)
            assert (await server.get("/api/runs/r4/events")).status == status
        for hours, conversation, status in ((4 - a_minute, restored, 200), (4 + a_minute, deleted, 404)):
            await after(server, hours)
            assert (await server.post(f"/api/conversations/{conversation}/restore")).status == status
        for hours, status in ((6 - a_minute, 200), (6 + a_minute, 404)):
            await after(server, hours)
            assert (await server.get("/api/runs/r3")).status == status


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
        answer = (await server.get(path, headers=ann)).json["messages"][1]["message_id"]
        for method, body in (("GET", None), ("PATCH", {"title": "mine"}), ("DELETE", None)):
            assert (await server.request(method, path, headers=bob, json=body)).status == 404
        assert (await server.request("PATCH", path, headers=bob, json={"chosen_id": answer})).status == 404
        rating = {"rating": "down"}
        rated = await server.request("PUT", f"/api/messages/{answer}/feedback", headers=bob, json=rating)
        assert rated.status == 404
        assert (await server.get(f"{path}/export", headers=bob)).status == 404
        assert (await server.get("/api/conversations?q=why", headers=bob)).json == {"conversations": []}
        asked = {"question": "Why?", "conversation_id": conversation}
        assert (await server.post("/api/runs", asked, headers=bob)).status == 404
        assert (await heads(server, headers=bob), len(await heads(server, headers=ann))) == ([], 1)
        assert (await server.get(path, headers=ann)).json["title"] == "Why?"
        assert "feedback" not in (await server.get(path, headers=ann)).json["messages"][1]
        await server.request("DELETE", path, headers=ann)
        assert (await server.post(f"{path}/restore", headers=bob)).status == 404
        assert (await server.post(f"{path}/restore", headers=ann)).status == 200


async def test_all_of_it_works_under_a_prefix(tmp_path: Path) -> None:
    def mounted(millstream: Millstream) -> Starlette:
        return Starlette(routes=[Mount("/shop/chat", millstream.app)])

    async with serving(tmp_path, app=mounted) as server:
        sent = asyncio.create_task(server.post("/shop/chat/api/runs", {"question": "Why?"}))
        telling = await server.told.next()
        telling.run.write("So.")
        telling.end()
        run = (await within(sent)).json
        conversations, path = "/shop/chat/api/conversations", f"/shop/chat/api/conversations/{run['conversation_id']}"
        assert len((await server.get(f"{conversations}?q=why")).json["conversations"]) == 1
        assert (await server.get(f"{path}/export")).body.startswith(b"# Why?")
        feedback = f"/shop/chat/api/messages/{run['message_id']}/feedback"
        assert (await server.request("PUT", feedback, json={"rating": "up"})).status == 200
        assert (await server.request("PATCH", path, json={"chosen_id": run["message_id"]})).status == 200
        assert (await server.request("DELETE", path)).status == 204
        assert (await server.post(f"{path}/restore")).json["title"] == "Why?"
        assert (await server.get("/shop/chat/api/status")).json["answers"][0]["name"] == "default"
        assert (await server.get("/shop/chat/plain")).status == 200
