"""The AI Chat Protocol over HTTP: requests, errors, statuses, files, and what a retry finds."""

import json
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from starlette.requests import HTTPConnection

from millstream.errors import ModelError
from millstream.json_body import MAX_DEPTH
from millstream.run import Run
from millstream.server.protocols.ai_chat import REQUEST_ID
from serving import Answered, Server, serving, until, within

WHY: list[dict[str, Any]] = [{"role": "user", "content": "Why?"}]
HEAD: dict[str, Any] = {"data_points": {"text": [], "images": [], "citations": []}, "thoughts": []}


async def hello(run: Run) -> None:
    run.write("Hello ")
    run.write("world")


async def ask(server: Server, path: str = "/chat", headers: dict[str, str] | None = None, **body: Any) -> Answered:
    return await server.post(path, {"messages": WHY, **body}, headers=headers or {})


def posting(
    server: Server, path: str, headers: dict[str, str] | None = None, **body: Any
) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
    return server.client.post(server.url + path, json={"messages": WHY, **body}, headers=headers)


def lines(answered: Answered) -> list[dict[str, Any]]:
    return [json.loads(line) for line in answered.body.split(b"\n") if line]


def words(answered: Answered) -> str:
    return "".join(line.get("delta", {}).get("content", "") for line in lines(answered))


async def test_the_whole_answer(tmp_path: Path) -> None:
    async with serving(tmp_path, hello) as server:
        answered = await ask(server, sessionState={"a": 1})
    assert (answered.status, answered.headers["content-type"]) == (200, "application/json")
    assert answered.headers["cache-control"] == "no-store"
    context = {**HEAD, "run_id": answered.headers["millstream-run"], "finish_reason": "stop"}
    state = {"sessionState": {"a": 1}, "session_state": {"a": 1}}
    assert answered.json == {"message": {"role": "assistant", "content": "Hello world"}, "context": context, **state}


@pytest.mark.parametrize("path", ["/chat", "/chat/stream"])
async def test_a_state_goes_back_as_deeply_nested_as_it_may_come(path: str, tmp_path: Path) -> None:
    state: Any = "s"
    for _ in range(MAX_DEPTH - 1):  # the request itself is one level
        state = [state]
    async with serving(tmp_path, hello) as server:
        answered = await ask(server, path, sessionState=state)
        refused = await ask(server, path, sessionState=[state])
    assert lines(answered)[-1]["session_state"] == state
    assert (refused.status, refused.json["error"]["code"]) == (400, "invalid-request")
    assert f"{MAX_DEPTH} arrays and objects" in refused.json["error"]["message"]


@pytest.mark.parametrize(("path", "body"), [("/chat/stream", {}), ("/chat", {"stream": True})])
async def test_the_stream(path: str, body: dict[str, Any], tmp_path: Path) -> None:
    async with serving(tmp_path, hello) as server:
        answered = await ask(server, path, session_state="s", **body)
    assert (answered.status, answered.headers["content-type"]) == (200, "application/jsonl")
    assert answered.headers["cache-control"] == "no-cache, no-transform"
    assert answered.headers["x-accel-buffering"] == "no"
    assert answered.body.endswith(b"}\n")
    first, *_, last = lines(answered)
    run_id = answered.headers["millstream-run"]
    state = {"sessionState": "s", "session_state": "s"}
    assert first == {"delta": {"role": "assistant"}, "context": {**HEAD, "run_id": run_id}, **state}
    assert last == {"delta": {}, "context": {"finish_reason": "stop"}, **state}
    assert words(answered) == "Hello world"


async def test_the_protocol_can_be_moved(tmp_path: Path) -> None:
    async with serving(tmp_path, hello, ai_chat="/microsoft") as server:
        assert (await ask(server, "/microsoft/chat")).status == 200
        assert (await ask(server, "/microsoft/chat/stream")).status == 200
        assert (await ask(server, "/chat")).status in (404, 405)


async def test_the_protocol_can_be_switched_off(tmp_path: Path) -> None:
    async with serving(tmp_path, hello, ai_chat="off") as server:
        assert (await ask(server, "/chat")).status in (404, 405)


async def test_another_method_is_refused_in_the_protocols_shape(tmp_path: Path) -> None:
    async with serving(tmp_path, hello) as server:
        answered = await server.get("/chat")
    assert (answered.status, answered.json["error"]["code"]) == (405, "method-not-allowed")


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"messages": []}, "user"),
    ({"messages": [{"role": "assistant", "content": "x"}]}, "user"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "$.messages[0].role"),
    ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "$.messages[0].content"),
    ({"messages": [{"role": "user"}]}, "content"),
    ({"messages": [{"role": "user", "content": " "}]}, "empty"),
    ({"messages": WHY * 1001}, "1000"),
    ({"messages": "Why?"}, "$.messages"),
    ({"messages": [{**WHY[0], "files": [{"data": "AA=="}]}]}, "multipart/form-data"),
    ({"context": 7}, "$.context"),
    ({"context": {"overrides": {"top": "many"}}}, "$.context.overrides.top"),
    ({"context": {"overrides": {"top": 9}}}, "`context.overrides.top`"),
    ({"context": {"overrides": {"temperature": 1.5}}}, "`context.overrides.temperature`"),
    ({"context": {"overrides": {"temperature": -1}}}, "`context.overrides.temperature`"),
]


@pytest.mark.parametrize("path", ["/chat", "/chat/stream"])
@pytest.mark.parametrize(("body", "what"), REFUSED)
async def test_what_cannot_be_answered_is_refused(body: dict[str, Any], what: str, path: str, tmp_path: Path) -> None:
    async with serving(tmp_path, hello, max_sources=8, max_temperature=1) as server:
        answered = await ask(server, path, **body)
    assert answered.status == 400
    error = answered.json["error"]
    assert what in (error if isinstance(error, str) else error["message"])


@pytest.mark.parametrize("sent", [b"{", b"[1]", b"\xff", b'{"messages": ' + b"[" * 5000, b""])
async def test_what_is_no_json_object_is_refused(sent: bytes, tmp_path: Path) -> None:
    async with serving(tmp_path, hello) as server:
        answered = await server.request("POST", "/chat", data=sent)
    assert (answered.status, answered.json["error"]["code"]) == (400, "invalid-request")


async def test_microsofts_client_may_ask_from_a_page_of_another_site(tmp_path: Path) -> None:
    asked = {
        "Origin": "https://intranet.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": f"content-type,x-ms-useragent,{REQUEST_ID}",
    }
    async with serving(tmp_path, hello, origins=("https://intranet.example",)) as server:
        preflight = await server.request("OPTIONS", "/chat/stream", headers=asked)
    assert preflight.status == 200
    assert "x-ms-useragent" in preflight.headers["access-control-allow-headers"]


async def test_a_large_body_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path, hello, max_body_bytes=1024) as server:
        answered = await ask(server, padding="x" * 1024)
    assert (answered.status, answered.json["error"]["code"]) == (413, "too-large")


@pytest.mark.parametrize("as_demo", [{"session_state": None}, {"context": {"overrides": {}}}])
async def test_the_demo_is_refused_in_words(as_demo: dict[str, Any], tmp_path: Path) -> None:
    async with serving(tmp_path, hello) as server:
        answered = await ask(server, messages=[], **as_demo)
    assert (answered.status, answered.json) == (
        400,
        {"error": "`messages` must end with a message of role `user`."},
    )


@pytest.mark.parametrize(
    "as_demo", [{"session_state": None, "messages": "Why?"}, {"context": {"overrides": {"top": "many"}}}]
)
async def test_the_demo_is_told_in_words_what_cannot_be_read(as_demo: dict[str, Any], tmp_path: Path) -> None:
    async with serving(tmp_path, hello) as server:
        answered = await ask(server, **as_demo)
    assert answered.status == 400
    assert answered.json["error"].startswith("The request is not valid: ")


LIMITED = ModelError("The model is busy.", code="model-rate-limited", retryable=True, retry_after=1.2)


@pytest.mark.parametrize("path", ["/chat", "/chat/stream"])
async def test_a_failure_before_the_first_visible_line_is_a_status(path: str, tmp_path: Path) -> None:
    async def answer(run: Run) -> None:
        raise LIMITED

    async with serving(tmp_path, answer) as server:
        refused = await ask(server, path)
        refused_demo = await ask(server, path, session_state=None)
    assert (refused.status, refused.headers["retry-after"]) == (429, "2")
    assert refused.json == {"error": {"code": "model-rate-limited", "message": "The model is busy."}}
    assert (refused_demo.status, refused_demo.json) == (429, {"error": "The model is busy."})


async def test_a_failure_after_it_is_the_last_line(tmp_path: Path) -> None:
    async def answer(run: Run) -> None:
        run.write("It co")
        raise LIMITED

    async with serving(tmp_path, answer) as server:
        answered = await ask(server, "/chat/stream")
        whole = await ask(server, "/chat")
    assert answered.status == 200
    assert words(answered) == "It co"
    assert lines(answered)[-1] == {"error": {"code": "model-rate-limited", "message": "The model is busy."}}
    assert whole.status == 429


async def test_a_lost_run_does_not_look_complete(tmp_path: Path) -> None:
    """The protocol has no mark of the end: a body that just ended would be a whole answer."""
    async with serving(tmp_path, heartbeat=0.05) as server, posting(server, "/chat/stream") as response:
        telling = await server.told.next()
        telling.run.write("Half")
        await within(response.content.readuntil(b'"Half"}}\n'))
        (await server.live(telling.run.id)).producer.lose()
        last = json.loads((await within(response.read())).splitlines()[-1])
        assert last["error"]["code"] == "interrupted"


async def test_silence_is_filled_with_blank_lines(tmp_path: Path) -> None:
    async with serving(tmp_path, heartbeat=0.02) as server, posting(server, "/chat/stream") as response:
        telling = await server.told.next()
        assert json.loads(await within(response.content.readline()))["delta"] == {"role": "assistant"}
        assert await within(response.content.readline()) == b"\n"
        telling.run.write("Hello")
        telling.end()
        rest = await within(response.read())
    assert b'{"delta":{"content":"Hello"}}\n' in rest


async def test_a_stopped_answer_is_aborted_and_cut(tmp_path: Path) -> None:
    async with serving(tmp_path, heartbeat=0.05) as server, posting(server, "/chat/stream") as response:
        telling = await server.told.next()
        telling.run.write("One. Two.")
        first = json.loads(await within(response.content.readline()))
        await within(response.content.readuntil(b"\n"))
        await server.post(f"/api/runs/{first['context']['run_id']}/stop", {"seen": 4})
        last = json.loads((await within(response.read())).splitlines()[-1])
        assert last["context"]["aborted"] is True
        assert last["context"]["finish_reason"] == "aborted"


async def test_a_stopped_whole_answer_ends_where_its_reader_was(tmp_path: Path) -> None:
    async with serving(tmp_path, heartbeat=0.05) as server, posting(server, "/chat") as response:
        telling = await server.told.next()
        telling.run.write("One. Two.")
        await server.post(f"/api/runs/{telling.run.id}/stop", {"seen": 4})
        made = await response.json()
    assert made["message"]["content"] == "One."
    assert made["context"]["aborted"] is True


async def test_a_client_that_leaves_stops_its_answer(tmp_path: Path) -> None:
    async with serving(tmp_path, heartbeat=0.05) as server, posting(server, "/chat/stream") as response:
        telling = await server.told.next()
        telling.run.write("Hello")
        await within(response.content.readline())
        response.close()
        await within(telling.cancelled.wait())


async def test_what_a_client_chooses(tmp_path: Path) -> None:
    overrides = {
        "top": 3,
        "temperature": 0.3,
        "reasoning_effort": "low",
        "retrieval_mode": "hybrid",
        "semantic_ranker": True,
        "prompt_template": None,
        "seed": None,
    }
    context = {"overrides": overrides}
    async with serving(tmp_path, heartbeat=0.05) as server, posting(server, "/chat", context=context) as response:
        telling = await server.told.next()
        options = telling.run.options
        telling.end()
        assert response.status == 200
    assert (options.sources, options.temperature, options.reasoning_effort) == (3, 0.3, "low")


@pytest.mark.parametrize("effort", ["", "xhigh", None])
async def test_an_effort_that_is_none_of_ours_is_passed_over(effort: str | None, tmp_path: Path) -> None:
    context = {"overrides": {"reasoning_effort": effort}}
    async with serving(tmp_path, heartbeat=0.05) as server, posting(server, "/chat", context=context) as response:
        telling = await server.told.next()
        assert telling.run.options.reasoning_effort is None
        telling.end()
        assert response.status == 200


async def test_the_history_reaches_the_answer(tmp_path: Path) -> None:
    history = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello", "context": {"any": 1}},
        *WHY,
    ]
    async with serving(tmp_path, heartbeat=0.05) as server, posting(server, "/chat", messages=history) as response:
        telling = await server.told.next()
        said = [(message.role, message.content) for message in telling.run.messages]
        telling.end()
        assert response.status == 200
    assert said == [(message["role"], message["content"]) for message in history]


@pytest.mark.parametrize(("name", "said"), [("other", "other"), ("gpt-4o", "Hello world"), (7, "Hello world")])
async def test_the_context_may_name_an_answer(name: Any, said: str, tmp_path: Path) -> None:
    async with serving(tmp_path, hello) as server:

        async def other(run: Run) -> None:
            run.write("other")

        server.millstream.answer(other, name="other")
        answered = await ask(server, context={"answer": name})
    assert answered.json["message"]["content"] == said


@pytest.mark.parametrize(("wanted", "there"), [({}, True), ({"suggest_followup_questions": False}, False)])
async def test_followups_are_left_out_where_they_are_not_wanted(
    wanted: dict[str, Any], there: bool, tmp_path: Path
) -> None:
    asked_for = []

    async def answer(run: Run) -> None:
        asked_for.append(run.options.followups)
        run.write("Hello")
        run.followups(["And now?"])

    async with serving(tmp_path, answer) as server:
        answered = await ask(server, context={"overrides": wanted})
        streamed = await ask(server, "/chat/stream", context={"overrides": wanted})
    assert ("followup_questions" in answered.json["context"]) is there
    assert (b"And now?" in streamed.body) is there
    assert asked_for == [there, there]


# Retries


def identify(connection: HTTPConnection) -> str:
    return connection.headers.get("x-user", "local")


async def run_of(server: Server, request_id: str, owner: str = "ann", **body: Any) -> str:
    answered = await ask(server, headers={REQUEST_ID: request_id, "x-user": owner}, **body)
    assert answered.status == 200
    return str(answered.headers["millstream-run"])


async def test_a_request_with_an_id_is_answered_once(tmp_path: Path) -> None:
    async with serving(tmp_path, hello, identify=identify) as server:
        first = await run_of(server, "1")
        assert await run_of(server, "1") == first
        assert await run_of(server, "2") != first
        assert await run_of(server, "1", owner="bob") != first
        assert await run_of(server, "1", messages=[{"role": "user", "content": "How?"}]) != first
        assert await run_of(server, "") != await run_of(server, "")


async def test_a_retry_goes_on_reading_the_answer_that_its_client_lost(tmp_path: Path) -> None:
    headers = {REQUEST_ID: "7f"}
    async with serving(tmp_path, heartbeat=0.05) as server:
        async with posting(server, "/chat/stream", headers=headers) as response:
            telling = await server.told.next()
            telling.run.write("Hello ")
            await within(response.content.readuntil(b'"Hello "}}\n'))
            response.close()
        live = await server.live(telling.run.id)
        await until(lambda: live.readers == 0)
        async with posting(server, "/chat/stream", headers=headers) as response:
            await within(response.content.readuntil(b'"Hello "}}\n'))
            telling.run.write("world")
            telling.end()
            assert b'"world"' in await within(response.read())


async def test_a_retry_of_what_failed_asks_no_model_again(tmp_path: Path) -> None:
    asked = 0

    async def answer(run: Run) -> None:
        nonlocal asked
        asked += 1
        raise ModelError("Gone.", code="model-unavailable", retryable=True)

    async with serving(tmp_path, answer) as server:
        statuses = [(await ask(server, headers={REQUEST_ID: "a"})).status for _ in range(3)]
    assert statuses == [502, 502, 502]
    assert asked == 1


# Files

QUESTION = {"messages": [{"role": "user", "content": "How many days of paid leave do staff get?"}]}
LEAVE = b"# Leave\n\nAll staff get twenty-seven days of paid leave a year."


def form_of(*files: tuple[str, bytes, str | None, str], json_part: Any = QUESTION) -> aiohttp.FormData:
    form = aiohttp.FormData(quote_fields=False)
    if json_part is not None:
        form.add_field("json", json.dumps(json_part), content_type="application/json")
    for name, data, filename, media_type in files:
        form.add_field(name, data if filename else data.decode(), filename=filename, content_type=media_type)
    return form


async def send(server: Server, form: aiohttp.FormData, path: str = "/chat") -> Answered:
    return await server.request("POST", path, data=form)


@pytest.mark.parametrize("path", ["/chat", "/chat/stream"])
async def test_a_question_about_the_file_that_comes_with_it(path: str, tmp_path: Path) -> None:
    async with serving(tmp_path, embedder="none") as server:
        server.millstream.answers.clear()  # the built-in answer over documents
        answered = await send(server, form_of(("messages[0].files[0]", LEAVE, "leave.md", "text/markdown")), path)
        stored = (await server.get("/api/documents")).json["documents"]
    assert answered.status == 200
    assert b"twenty-seven days" in answered.body
    assert b"[uploads/leave.md]" in answered.body
    assert [document["uri"] for document in stored] == ["uploads/leave.md"]


async def test_the_file_is_what_the_question_is_about(tmp_path: Path) -> None:
    async with serving(tmp_path, embedder="none") as server:
        server.millstream.answers.clear()
        other = b"# Paid leave\n\nPaid leave is five days a year at the other company."
        await server.request("POST", "/api/documents", params={"name": "other.md", "wait": "30"}, data=other)
        answered = await send(server, form_of(("messages[0].files[0]", LEAVE, "leave.md", "text/markdown")))
        without = await send(server, form_of())
    assert answered.json["context"]["data_points"]["citations"] == ["uploads/leave.md"]
    assert set(without.json["context"]["data_points"]["citations"]) == {"uploads/leave.md", "uploads/other.md"}


async def test_files_are_parts_of_their_messages_in_order(tmp_path: Path) -> None:
    messages = [*QUESTION["messages"], {"role": "assistant", "content": "27"}, *WHY]
    form = form_of(
        ("messages[2].files[1]", b"second", "b.txt", "text/plain"),
        ("messages[2].files[0]", b"first", "a.txt", "text/plain"),
        ("messages[0].files[0]", LEAVE, "leave.md", "text/markdown"),
        json_part={"messages": messages},
    )
    async with serving(tmp_path, hello, embedder="none") as server:
        started = []
        start = server.millstream.supervisor.start

        async def recorded(request: Any, *rest: Any, **options: Any) -> Any:
            started.append(request)
            return await start(request, *rest, **options)

        server.millstream.supervisor.start = recorded  # type: ignore[method-assign]
        assert (await send(server, form)).status == 200
    (request,) = started
    parts = [[getattr(part, "name", "text") for part in message.content] for message in request.messages[::2]]
    assert parts == [["text", "leave.md"], ["text", "a.txt", "b.txt"]]
    assert request.messages[1].content == "27"


@pytest.mark.parametrize(
    ("form", "status", "code"),
    [
        (form_of(json_part=None), 400, "invalid-request"),
        (form_of(json_part=[1]), 400, "invalid-request"),
        (form_of(json_part={"messages": []}), 400, "invalid-request"),
        (form_of(("messages[1].files[0]", LEAVE, "a.md", "text/plain")), 400, "invalid-request"),
        (form_of(("attachment", LEAVE, "a.md", "text/plain")), 400, "invalid-request"),
        (form_of(("messages[0].files[0]", LEAVE, None, "text/plain")), 400, "no-name"),
        (form_of(("messages[0].files[0]", b"\x89PNG\r\n\x1a\n\0\0", "a.png", "image/png")), 400, "invalid-request"),
        (form_of(("messages[0].files[0]", b"x" * 300_000, "a.md", "text/plain")), 413, "too-large"),
        (form_of(json_part={"messages": WHY, "padding": "x" * 100_000}), 413, "too-large"),
    ],
)
async def test_a_form_that_cannot_be_taken_is_refused(
    form: aiohttp.FormData, status: int, code: str, tmp_path: Path
) -> None:
    async with serving(tmp_path, hello, embedder="none", upload_mb=0.25, max_body_bytes=50_000) as server:
        answered = await send(server, form)
    assert (answered.status, answered.json["error"]["code"]) == (status, code)


async def test_no_more_files_than_an_owner_may_have(tmp_path: Path) -> None:
    form = form_of(("messages[0].files[0]", LEAVE, "a.md", "text/plain"), json_part={**QUESTION, "session_state": None})
    async with serving(tmp_path, hello, embedder="none", uploads=0) as server:
        answered = await send(server, form)
    assert answered.status == 409
    assert "MILLSTREAM_UPLOADS" in answered.json["error"]


async def test_bytes_without_a_name_are_told_apart_and_known_by_their_type(tmp_path: Path) -> None:
    """Microsoft's client names them as it names their part."""
    name = "messages[0].files[0]"
    async with serving(tmp_path, hello, embedder="none") as server:
        for data in (LEAVE, LEAVE + b" More."):
            assert (await send(server, form_of((name, data, name, "text/html")))).status == 200
        stored = (await server.get("/api/documents")).json["documents"]
    assert len(stored) == 2
    assert all(document["uri"].endswith(".html") for document in stored)
