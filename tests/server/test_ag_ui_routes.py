"""`/ag-ui` over HTTP: what may be asked, how it is refused, and when a run is stopped."""

import json
from pathlib import Path
from typing import Any

import pytest

from millstream.errors import Forbidden, ModelError
from millstream.run import Run
from serving import Server, serving, until, within

QUESTION = {"id": "q", "role": "user", "content": "Why?"}


def asked(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"threadId": "t", "runId": "r", "messages": list(messages or (QUESTION,)), **fields}


def events(body: bytes) -> list[dict[str, Any]]:
    return [json.loads(block.removeprefix(b"data: ")) for block in body.split(b"\n\n")[:-1]]


async def echo(run: Run) -> None:
    run.write(json.dumps([[message.role, message.content] for message in run.messages]))


async def said(server: Server, body: dict[str, Any]) -> Any:
    answered = await server.post("/ag-ui", body)
    assert answered.status == 200, answered.body
    sent = events(answered.body)
    return json.loads("".join(event["delta"] for event in sent if event["type"] == "TEXT_MESSAGE_CONTENT"))


async def test_a_stream_has_its_headers_and_names_the_run(tmp_path: Path) -> None:
    async with serving(tmp_path, echo) as server:
        answered = await server.post("/ag-ui", asked())
    assert answered.headers["Content-Type"] == "text/event-stream"
    assert answered.headers["Cache-Control"] == "no-cache, no-transform"
    assert answered.headers["Millstream-Run"] == events(answered.body)[0]["metadata"]["run_id"]
    assert b"\r" not in answered.body


async def test_the_conversation_is_read_and_what_a_client_keeps_besides_is_passed_over(tmp_path: Path) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"id": "1", "role": "developer", "content": "Be short."},
        QUESTION,
        {"id": "2", "role": "reasoning", "content": "Hm"},
        {"id": "3", "role": "activity", "activityType": "SOURCES", "content": {"sources": []}},
        {"id": "4", "role": "assistant", "toolCalls": [call]},
        {"id": "5", "role": "tool", "toolCallId": "c", "content": "1"},
        {"id": "6", "role": "assistant", "content": "Because."},
        {"id": "7", "role": "user", "content": [{"type": "text", "text": "And"}, {"type": "text", "text": "then?"}]},
    ]  # fmt: skip
    context = [{"description": "The page", "value": "Prices"}]
    async with serving(tmp_path, echo) as server:
        heard = await said(
            server, asked(*messages, context=context, tools=[{"name": "f", "description": ""}], state={})
        )
    assert heard == [
        ["system", "The page:\nPrices"],
        ["system", "Be short."],
        ["user", "Why?"],
        ["assistant", "Because."],
        ["user", "And\n\nthen?"],
    ]


async def test_an_uploaded_document_is_a_part_of_the_message(tmp_path: Path) -> None:
    part = {"type": "document", "source": {"type": "file", "value": "d1"}, "metadata": {"filename": "a.pdf"}}
    message = {**QUESTION, "content": [{"type": "text", "text": "Why?"}, part]}
    async with serving(tmp_path, echo) as server:
        assert await said(server, asked(message)) == [["user", "Why?"]]


@pytest.mark.parametrize(
    ("wanted", "answer"), [("rag", "rag"), ("other", "other"), ("gpt-4o", "default"), (None, "default"), (7, "default")]
)
async def test_the_answer_is_chosen_by_its_name_or_is_the_default(tmp_path: Path, wanted: Any, answer: str) -> None:
    async def default(run: Run) -> None:
        run.write('"default"')

    async def other(run: Run) -> None:
        run.write('"other"')

    async def rag(run: Run) -> None:
        run.write('"rag"')

    async with serving(tmp_path, default) as server:
        server.millstream.answer(other, name="other")
        server.millstream.answer(rag, name="rag")
        assert await said(server, asked(forwardedProps={"millstream": {"answer": wanted}, "config": {}})) == answer


async def test_options_are_the_runs(tmp_path: Path) -> None:
    async with (
        serving(tmp_path, heartbeat=0.05) as server,
        server.client.post(
            f"{server.url}/ag-ui", json=asked(forwardedProps={"millstream": {"options": {"temperature": 0.5}}})
        ),
    ):
        telling = await server.told.next()
        assert telling.run.options.temperature == 0.5


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (asked({"id": "q", "role": "robot", "content": "Why?"}), "`messages[0]`"),
        (asked({"id": "q", "role": "user"}), "`messages[0].user.content`"),
        (asked({"role": "user", "content": "Why?"}), "`messages[0].user.id`"),
        ({"runId": "r", "messages": [QUESTION]}, "`threadId`"),
        ({"threadId": "t", "runId": 1, "messages": [QUESTION]}, "`runId`"),
        ({"threadId": "t", "runId": "r", "messages": {}}, "`messages`"),
        (asked(protocolVersion=1.0), "`protocolVersion`"),
        ({"threadId": "t", "runId": "r", "messages": []}, "must end with a message of role `user`"),
        (asked(QUESTION, {"id": "a", "role": "assistant", "content": "So."}), "must end with a message of role `user`"),
        (asked({**QUESTION, "content": " "}), "empty"),
        (asked(*[QUESTION] * 1001), "more than 1000 messages"),
        (
            asked({**QUESTION, "content": [{"type": "image", "source": {"type": "url", "value": "https://x/y.png"}}]}),
            "A part of type `image` cannot be read here: send text",
        ),
        (
            asked({**QUESTION, "content": [{"type": "document", "source": {"type": "url", "value": "https://x"}}]}),
            "upload a document",
        ),
        (asked(resume=[{"interruptId": "i", "status": "resolved"}]), "there are none here"),
        (asked(forwardedProps={"millstream": "chat"}), "must be an object"),
        (asked(forwardedProps={"millstream": {"options": {"temperature": 9}}}), "options.temperature"),
        (asked(forwardedProps={"millstream": {"options": {"colour": 1}}}), "colour"),
        ([], "Expected `object`"),
    ],
)
async def test_what_cannot_be_understood_is_refused_and_says_what_to_do(tmp_path: Path, body: Any, words: str) -> None:
    async with serving(tmp_path) as server:
        answered = await server.post("/ag-ui", body)
    assert (answered.status, answered.headers["Content-Type"]) == (400, "application/json")
    assert answered.json.keys() == {"type", "message", "code"}
    assert (answered.json["type"], answered.json["code"]) == ("RUN_ERROR", "invalid-request")
    assert words in answered.json["message"]


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"{", 400, "invalid-request"),
        (b"\xff", 400, "invalid-request"),
        (b"[" * 1000, 400, "invalid-request"),
        (json.dumps(asked({**QUESTION, "content": "x" * 2000})).encode(), 413, "too-large"),
    ],
)
async def test_a_body_that_is_no_json_or_too_large_is_refused(
    tmp_path: Path, data: bytes, status: int, code: str
) -> None:
    async with serving(tmp_path, max_body_bytes=1024) as server:
        answered = await server.request("POST", "/ag-ui", data=data)
    assert (answered.status, answered.json["type"], answered.json["code"]) == (status, "RUN_ERROR", code)


async def test_other_methods_and_other_people_are_refused_in_the_same_shape(tmp_path: Path) -> None:
    def identify(request: Any) -> str:
        raise Forbidden("Sign in first.")

    async with serving(tmp_path, identify=identify) as server:
        got, posted = await server.get("/ag-ui"), await server.post("/ag-ui", asked())
    assert (got.status, got.json["code"]) == (405, "method-not-allowed")
    assert (posted.status, posted.json["message"]) == (403, "Sign in first.")


async def test_a_failure_before_anything_was_shown_is_its_status(tmp_path: Path) -> None:
    async def answer(run: Run) -> None:
        raise ModelError("Too many.", code="model-rate-limited", retryable=True, retry_after=6.2)

    async with serving(tmp_path, answer) as server:
        answered = await server.post("/ag-ui", asked())
    assert (answered.status, answered.headers["Retry-After"]) == (429, "7")
    assert answered.json == {"type": "RUN_ERROR", "message": "Too many.", "code": "model-rate-limited"}


async def test_a_failure_after_a_step_was_shown_is_in_the_stream(tmp_path: Path) -> None:
    async def answer(run: Run) -> None:
        async with run.step("search", "Searching…"):
            pass
        raise ModelError("Too many.", code="model-rate-limited", retryable=True)

    async with serving(tmp_path, answer) as server:
        answered = await server.post("/ag-ui", asked())
    assert answered.status == 200
    assert events(answered.body)[-1]["code"] == "model-rate-limited"


async def test_silence_is_filled_with_comments(tmp_path: Path) -> None:
    async with (
        serving(tmp_path, heartbeat=0.01) as server,
        server.client.post(f"{server.url}/ag-ui", json=asked()) as response,
    ):
        await server.told.next()
        lines = [await within(response.content.readline()) for _ in range(4)]
        assert lines[0].startswith(b'data: {"type":"RUN_STARTED"')
        assert lines[1:] == [b"\n", b": ping\n", b": ping\n"]


async def test_a_client_that_is_gone_stops_the_run(tmp_path: Path) -> None:
    async with serving(tmp_path, when_unread="finish", heartbeat=0.05) as server:
        async with server.client.post(f"{server.url}/ag-ui", json=asked()) as response:
            telling = await server.told.next()
            telling.run.write("Hello")
            await within(response.content.readline())
            response.close()
        await within(telling.cancelled.wait())


async def test_two_runs_with_the_same_run_id_are_two_runs(tmp_path: Path) -> None:
    async with serving(tmp_path, echo) as server:
        first, second = await server.post("/ag-ui", asked()), await server.post("/ag-ui", asked())
    assert first.headers["Millstream-Run"] != second.headers["Millstream-Run"]
    assert events(second.body)[0]["runId"] == "r"


async def test_the_owner_is_who_asked(tmp_path: Path) -> None:
    async with serving(
        tmp_path, heartbeat=0.05, identify=lambda request: request.headers.get("x-user", "nobody")
    ) as server:
        async with server.client.post(f"{server.url}/ag-ui", json=asked(), headers={"x-user": "ann"}):
            telling = await server.told.next()
            assert telling.run.owner == "ann"
        await until(telling.cancelled.is_set)


@pytest.mark.parametrize(
    ("setting", "there", "gone"), [("/agents", "/agents/ag-ui", "/ag-ui"), ("off", None, "/ag-ui")]
)
async def test_it_can_be_moved_and_switched_off(tmp_path: Path, setting: str, there: str | None, gone: str) -> None:
    async with serving(tmp_path, echo, ag_ui=setting) as server:
        assert (await server.post(gone, asked())).status == 405  # the page's files are there to be read
        if there is not None:
            assert (await server.post(there, asked())).status == 200
