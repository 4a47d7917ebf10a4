"""Chat Completions over HTTP: requests, errors, statuses, Azure's addresses, links, and who leaves or stops."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.routing import Mount

from millstream.errors import ConfigurationError, Forbidden, ModelError, RunError
from millstream.models import ChatMessage
from millstream.run import Run
from millstream.search import Passage
from millstream.server.settings import load_settings
from serving import Answered, Server, Telling, serving, until, within

COMPLETIONS = "/v1/chat/completions"
AZURE = "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"
WHY: list[dict[str, Any]] = [{"role": "user", "content": "Why?"}]
PASSAGE = Passage(
    source_id="s1", document_id="d1", version="v1", title="Handbook", uri="hr/handbook.pdf", text="20 days.",
    start=0, end=8,
)  # fmt: skip
PASSAGE_PAGE = "/passage?document_id=d1&version=v1&start=0&end=8#passage"
LIMITED = ModelError("The model is busy.", code="model-rate-limited", retryable=True, retry_after=1.2)
BLOCKED = ModelError("The filter refused the question.", code="model-content-filter", retryable=False)


async def hello(run: Run) -> None:
    run.write("Hello ")
    run.write("world")


async def citing(run: Run) -> None:
    async with run.step("search", "Searching…") as step:
        step.done("Found 1 passage", query="leave")
    run.cite([PASSAGE])
    run.write("20 days [1].")
    run.followups(["And interns?"])


async def ask(server: Server, path: str = COMPLETIONS, headers: dict[str, str] | None = None, **body: Any) -> Answered:
    return await server.post(path, {"model": "gpt-4o", "messages": WHY, **body}, headers=headers or {})


async def told(server: Server, **body: Any) -> Run:
    """The run that a request begins; it has ended with "ok"."""
    asked = asyncio.create_task(ask(server, **body))
    telling = await server.told.next()
    telling.run.write("ok")
    telling.end()
    assert (await within(asked)).status == 200
    return telling.run


def chunks(answered: Answered) -> list[Any]:
    blocks = answered.body.decode().split("\n\n")[:-1]
    return [json.loads(block.removeprefix("data: ")) for block in blocks if block != "data: [DONE]"]


def words(answered: Answered) -> str:
    deltas = [choice["delta"] for chunk in chunks(answered) for choice in chunk.get("choices", [])]
    return "".join(delta.get("content", "") for delta in deltas)


def url_of(answered: Answered) -> str:
    url: str = answered.json["choices"][0]["message"]["annotations"][0]["url_citation"]["url"]
    return url


# The two forms.


async def test_the_whole_answer(tmp_path: Path) -> None:
    async with serving(tmp_path, hello) as server:
        answered = await ask(server)
        run_id = answered.headers["millstream-run"]
        created = (await server.get(f"/api/runs/{run_id}")).json["created"]
    assert (answered.status, answered.headers["content-type"]) == (200, "application/json")
    assert answered.headers["cache-control"] == "no-store"
    assert answered.headers["x-request-id"] == run_id
    message = {"role": "assistant", "content": "Hello world", "refusal": None, "annotations": []}
    assert answered.json == {
        "id": f"chatcmpl-{run_id}",
        "object": "chat.completion",
        "created": created // 1000,
        "model": "default",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
        "usage": {
            "prompt_tokens": 0,
            "completion_tokens": 0,
            "total_tokens": 0,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
    }


async def test_the_stream(tmp_path: Path) -> None:
    async with serving(tmp_path, hello) as server:
        answered = await ask(server, stream=True)
    assert (answered.status, answered.headers["content-type"]) == (200, "text/event-stream")
    assert answered.headers["cache-control"] == "no-cache, no-transform"
    assert answered.headers["x-accel-buffering"] == "no"
    assert words(answered) == "Hello world"
    assert answered.body.endswith(b'"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n')
    assert {chunk["id"] for chunk in chunks(answered)} == {f"chatcmpl-{answered.headers['millstream-run']}"}


@pytest.mark.parametrize(
    "path", [COMPLETIONS, "/openai/v1/chat/completions", "/openai/v1/chat/completions?api-version=v1"]
)
async def test_azures_newer_addresses_are_openais(path: str, tmp_path: Path) -> None:
    async with serving(tmp_path, citing) as server:
        message = (await ask(server, path)).json["choices"][0]["message"]
    assert (message["content"], "context" in message) == ("20 days[1].", False)


async def test_the_protocol_can_be_moved(tmp_path: Path) -> None:
    async with serving(tmp_path, hello, openai_chat="/openai-api") as server:
        assert (await ask(server, f"/openai-api{COMPLETIONS}")).status == 200
        assert (await ask(server, f"/openai-api{AZURE}")).status == 200
        assert (await server.get("/openai-api/v1/models")).status == 200
        assert (await ask(server)).status in (404, 405)
        assert (await ask(server, AZURE)).status in (404, 405)


async def test_the_protocol_can_be_switched_off(tmp_path: Path) -> None:
    async with serving(tmp_path, hello, openai_chat="off") as server:
        assert (await ask(server)).status in (404, 405)
        assert (await server.get("/v1/models")).status == 404


# Requests.


async def test_the_messages_of_every_role_reach_the_answer(tmp_path: Path) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
        {"role": "user", "content": "Who?", "name": "ann"},
        {"role": "assistant", "content": [{"type": "text", "text": "I"}, {"type": "refusal", "refusal": "cannot"}]},
        {"role": "assistant", "content": None},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
    ]
    async with serving(tmp_path) as server:
        run = await told(server, messages=messages)
    assert list(run.messages) == [
        ChatMessage("system", "Be brief."),
        ChatMessage("system", "Be kind."),
        ChatMessage("user", "Who?"),
        ChatMessage("assistant", "I\n\ncannot"),
        ChatMessage("user", "a\n\nb"),
    ]


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
async def test_the_models_options_reach_the_answer(name: str, tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        run = await told(server, temperature=0.5, reasoning_effort="low", **{name: 7})
        none = await told(server, temperature=None, max_tokens=None, reasoning_effort=None)
        both = await told(server, max_tokens=9, max_completion_tokens=8)
    options = run.options
    assert (options.temperature, options.reasoning_effort, options.max_output_tokens) == (0.5, "low", 7)
    assert (none.options.temperature, none.options.reasoning_effort, none.options.max_output_tokens) == (
        None,
        None,
        None,
    )
    assert both.options.max_output_tokens == 8


@pytest.mark.parametrize(("model", "words"), [("short", "Short."), ("gpt-4o", "Hello world"), (None, "Hello world")])
async def test_a_model_that_names_an_answer_chooses_it(model: str | None, words: str, tmp_path: Path) -> None:
    async def short(run: Run) -> None:
        run.write("Short.")

    async with serving(tmp_path, hello) as server:
        server.millstream.answer(short, name="short")
        by_model = await ask(server, model=model)
        by_deployment = await ask(server, f"/openai/deployments/{model}/chat/completions", model="short")
    assert by_model.json["choices"][0]["message"]["content"] == words
    assert by_deployment.json["choices"][0]["message"]["content"] == words


async def test_parameters_that_have_no_meaning_here_are_passed_over(tmp_path: Path) -> None:
    body: dict[str, Any] = {
        "n": 1, "top_p": 0.1, "stop": ["x"], "seed": 3, "user": "ann", "store": True, "metadata": {"a": "b"},
        "logprobs": True, "top_logprobs": 3, "logit_bias": {"50256": -100}, "frequency_penalty": 1,
        "presence_penalty": 1, "tools": [], "tool_choice": "none", "parallel_tool_calls": True,
        "response_format": {"type": "text"}, "modalities": ["text"], "service_tier": "auto", "unheard_of": {},
        "stream_options": None, "functions": None, "web_search_options": {},
    }  # fmt: skip
    async with serving(tmp_path, hello) as server:
        assert (await ask(server, **body)).status == 200


REFUSED: list[tuple[dict[str, Any], str | None, str]] = [
    ({"messages": []}, "messages", "invalid-request"),
    ({"messages": None}, "messages", "invalid_type"),
    ({"messages": "Why?"}, "messages", "invalid_type"),
    ({"messages": WHY * 1001}, "messages", "invalid-request"),
    ({"messages": [{"role": "assistant", "content": "x"}]}, "messages", "invalid-request"),
    ({"messages": [{"role": "user", "content": " "}]}, None, "invalid-request"),
    ({"messages": [{"role": "user"}]}, "messages[0].content", "missing_required_parameter"),
    ({"messages": [{"content": "x"}]}, "messages[0]", "invalid_type"),
    ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content", "invalid_type"),
    ({"messages": [{"role": "bot", "content": "x"}]}, "messages[0].role", "invalid_value"),
    ({"messages": [*WHY, {"role": "tool", "content": "x"}]}, "messages[1]", "unsupported_value"),
    (
        {"messages": [{"role": "assistant", "content": None, "tool_calls": [{}]}, *WHY]},
        "messages[0]",
        "unsupported_value",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]},
        "messages[0].content[0]",
        "unsupported_value",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "file", "file": {}}]}]},
        "messages[0].content[1]",
        "unsupported_value",
    ),
    ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0]", "unsupported_value"),
    ({"model": 7}, "model", "invalid_type"),
    ({"stream": "yes"}, "stream", "invalid_type"),
    ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage", "invalid_type"),
    ({"n": 2}, "n", "unsupported_value"),
    ({"n": 0}, "n", "unsupported_value"),
    ({"tools": [{"type": "function"}]}, "tools", "unsupported_parameter"),
    ({"functions": [{"name": "f"}]}, "functions", "unsupported_parameter"),
    ({"response_format": {"type": "json_object"}}, "response_format", "unsupported_value"),
    ({"modalities": ["text", "audio"]}, "modalities", "unsupported_value"),
    ({"max_tokens": 0}, "max_tokens", "invalid_value"),
    ({"max_completion_tokens": -1}, "max_completion_tokens", "invalid_value"),
    ({"max_tokens": True}, "max_tokens", "invalid_type"),
    ({"max_tokens": 1.5}, "max_tokens", "invalid_type"),
    ({"temperature": -0.1}, "temperature", "invalid_value"),
    ({"temperature": 1.1}, "temperature", "invalid_value"),
    ({"temperature": "hot"}, "temperature", "invalid_type"),
    ({"reasoning_effort": "high"}, "reasoning_effort", "unsupported_value"),
    ({"reasoning_effort": "none"}, "reasoning_effort", "unsupported_value"),
    ({"x_extras": ["steps"]}, "x_extras", "invalid_value"),
    ({"x_extras": "status"}, "x_extras", "invalid_type"),
]


@pytest.mark.parametrize("path", [COMPLETIONS, AZURE])
@pytest.mark.parametrize(("body", "param", "code"), REFUSED)
async def test_what_cannot_be_answered_is_refused(
    body: dict[str, Any], param: str | None, code: str, path: str, tmp_path: Path
) -> None:
    async with serving(tmp_path, hello, max_temperature=1, efforts="low") as server:
        answered = await ask(server, path, **body)
    error = answered.json["error"]
    assert (answered.status, answered.headers["content-type"]) == (400, "application/json")
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", param, code)
    assert "options" not in error["message"] or "stream_options" in error["message"]


async def test_the_message_says_what_to_do(tmp_path: Path) -> None:
    image = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]
    async with serving(tmp_path, hello, max_temperature=1) as server:
        no_images = (await ask(server, messages=image)).json["error"]["message"]
        bounded = (await ask(server, temperature=2)).json["error"]["message"]
        missing = (await server.post(COMPLETIONS, {})).json["error"]
    assert no_images == "Images cannot be read here; send the message's text alone."
    assert bounded == "`temperature` must be 0 to 1 here (MILLSTREAM_MAX_TEMPERATURE)."
    assert (missing["param"], missing["code"]) == ("messages", "missing_required_parameter")


@pytest.mark.parametrize("sent", [b"{", b"[1]", b"\xff", b'{"messages": ' + b"[" * 5000, b""])
async def test_what_is_no_json_object_is_refused(sent: bytes, tmp_path: Path) -> None:
    async with serving(tmp_path, hello) as server:
        answered = await server.request("POST", COMPLETIONS, data=sent)
    assert (answered.status, answered.json["error"]["code"]) == (400, "invalid-request")


async def test_a_large_body_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path, hello, max_body_bytes=1024) as server:
        answered = await ask(server, padding="x" * 1024)
    assert (answered.status, answered.json["error"]["code"]) == (413, "too-large")


async def test_another_method_is_refused_in_the_protocols_shape(tmp_path: Path) -> None:
    async with serving(tmp_path, hello) as server:
        answered = await server.get(COMPLETIONS)
    assert (answered.status, answered.json["error"]["code"]) == (405, "method-not-allowed")


@pytest.mark.parametrize(("error", "status"), [(Forbidden("Not you."), 403), (HTTPException(401, "Sign in."), 401)])
async def test_who_is_not_let_in_is_told_so_in_the_protocols_shape(
    error: Exception, status: int, tmp_path: Path
) -> None:
    def identify(connection: HTTPConnection) -> str:
        if connection.headers.get("authorization") != "Bearer sk-1":
            raise error
        return "ann"

    async with serving(tmp_path, hello, identify=identify) as server:
        refused = await ask(server)
        let_in = await ask(server, headers={"Authorization": "Bearer sk-1"})
    assert (refused.status, refused.json["error"]["type"]) == (status, "invalid_request_error")
    assert let_in.status == 200


# Failures.


@pytest.mark.parametrize("stream", [True, False])
async def test_a_failure_before_the_first_word_is_a_status(stream: bool, tmp_path: Path) -> None:
    async def answer(run: Run) -> None:
        async with run.step("search", "Searching…"):
            run.cite([PASSAGE])
        raise LIMITED

    async with serving(tmp_path, answer) as server:
        refused = await ask(server, stream=stream)
    assert (refused.status, refused.headers["retry-after"]) == (429, "2")
    error = {"message": "The model is busy.", "type": "rate_limit_error", "param": None, "code": "rate_limit_exceeded"}
    assert refused.json == {"error": error}
    assert "x-should-retry" not in refused.headers


async def test_a_failure_after_it_is_the_last_frame(tmp_path: Path) -> None:
    async def answer(run: Run) -> None:
        run.write("It co")
        raise LIMITED

    async with serving(tmp_path, answer) as server:
        streamed = await ask(server, stream=True)
        whole = await ask(server)
    assert (streamed.status, whole.status) == (200, 429)
    assert b"[DONE]" not in streamed.body
    assert words(streamed) == "It co"
    assert chunks(streamed)[-1]["error"]["code"] == "rate_limit_exceeded"


async def test_a_failure_after_a_step_that_was_shown_is_the_last_frame(tmp_path: Path) -> None:
    async def answer(run: Run) -> None:
        async with run.step("search", "Searching…"):
            pass
        raise LIMITED

    async with serving(tmp_path, answer) as server:
        answered = await ask(server, stream=True, x_extras=["status"])
    assert answered.status == 200
    assert chunks(answered)[-1]["error"]["code"] == "rate_limit_exceeded"


@pytest.mark.parametrize("stream", [True, False])
async def test_a_prompt_that_the_filter_refused_is_a_400(stream: bool, tmp_path: Path) -> None:
    async def answer(run: Run) -> None:
        raise BLOCKED

    async with serving(tmp_path, answer) as server:
        plain = await ask(server, stream=stream)
        azure = await ask(server, AZURE, stream=stream)
    assert (plain.status, azure.status) == (400, 400)
    assert (plain.json["error"]["code"], "innererror" in plain.json["error"]) == ("content_filter", False)
    assert azure.json["error"] == {
        "message": "The filter refused the question.",
        "type": "invalid_request_error",
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
        "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {}},
    }


@pytest.mark.parametrize(
    ("error", "status", "code", "kind"),
    [
        (RunError("No credit.", code="no-credit", status=402), 402, "no-credit", "invalid_request_error"),
        (
            ModelError("No money.", code="model-rate-limited", retryable=False),
            429,
            "insufficient_quota",
            "insufficient_quota",
        ),
        (ModelError("Wrong key.", code="model-refused", retryable=False), 502, "model-refused", "server_error"),
    ],
)
async def test_the_sdks_are_told_not_to_try_again_what_would_fail_again(
    error: RunError, status: int, code: str, kind: str, tmp_path: Path
) -> None:
    async def answer(run: Run) -> None:
        raise error

    async with serving(tmp_path, answer) as server:
        refused = await ask(server)
    assert (refused.status, refused.headers["x-should-retry"]) == (status, "false")
    assert (refused.json["error"]["code"], refused.json["error"]["type"]) == (code, kind)


async def test_a_server_that_closes_refuses_with_503(tmp_path: Path) -> None:
    async with serving(tmp_path, hello) as server:
        server.millstream.supervisor.drain()
        refused = await ask(server)
    assert (refused.status, refused.headers["retry-after"]) == (503, "5")
    assert (refused.json["error"]["type"], refused.json["error"]["code"]) == ("server_error", "draining")


# Silence, stopping, leaving.


async def test_silence_is_filled_with_comments_and_holds_no_status_back_for_long(tmp_path: Path) -> None:
    async with serving(tmp_path, heartbeat=0.05) as server:
        body = {"messages": WHY, "stream": True}
        async with server.client.post(server.url + COMPLETIONS, json=body) as response:
            telling = await server.told.next()
            assert await within(response.content.readuntil(b"\n")) == b": ping\n"
            assert response.status == 200
            telling.fail(LIMITED)
            rest = await within(response.read())
    assert [line for line in rest.split(b"\n") if line not in (b": ping", b"")] == [
        b'data: {"error":{"message":"The model is busy.","type":"rate_limit_error","param":null,'
        b'"code":"rate_limit_exceeded"}}'
    ]


async def stopping(server: Server, telling: Telling, seen: int) -> None:
    telling.run.write("One. Two.")
    await server.post(f"/api/runs/{telling.run.id}/stop", {"seen": seen})


async def test_a_stopped_stream_ends_as_if_finished_and_says_so(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        asked = asyncio.create_task(ask(server, stream=True))
        await stopping(server, await server.told.next(), 4)
        answered = await within(asked)
    last = chunks(answered)[-1]
    assert (last["choices"][0]["finish_reason"], last["x_aborted"]) == ("stop", True)
    assert answered.body.endswith(b"data: [DONE]\n\n")


async def test_a_stopped_whole_answer_is_cut_where_its_reader_was(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        asked = asyncio.create_task(ask(server))
        await stopping(server, await server.told.next(), 4)
        answered = await within(asked)
    choice = answered.json["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("One.", "stop")
    assert answered.json["x_aborted"] is True


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_stops_its_answer(stream: bool, tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        asked = asyncio.create_task(ask(server, stream=stream))
        telling = await server.told.next()
        telling.run.write("One.")
        asked.cancel()
        await within(telling.cancelled.wait())
        await until(lambda: server.millstream.supervisor.running == 0)
        assert (await server.get(f"/api/runs/{telling.run.id}")).json["state"] == "stopped"


async def test_an_answer_that_is_lost_ends_in_an_error(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        asked = asyncio.create_task(ask(server, stream=True))
        telling = await server.told.next()
        telling.run.write("One.")
        await server.millstream.close(drain_s=0)
        answered = await within(asked)
    assert chunks(answered)[-1]["error"]["code"] == "interrupted"
    assert b"[DONE]" not in answered.body


async def test_an_answer_that_another_process_took_ends_in_an_error(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        asked = asyncio.create_task(ask(server, stream=True))
        telling = await server.told.next()
        telling.run.write("One.")
        await asyncio.sleep(0)
        (await server.live(telling.run.id)).producer.lose()
        answered = await within(asked)
    assert chunks(answered)[-1]["error"]["code"] == "interrupted"
    assert b"[DONE]" not in answered.body


# What goes beyond.


async def test_extras_come_when_they_are_asked_for(tmp_path: Path) -> None:
    async with serving(tmp_path, citing) as server:
        none = await ask(server, stream=True)
        status = await ask(server, stream=True, x_extras=["status"])
        events = await ask(server, stream=True, x_extras=["events"])
        whole = await ask(server, x_extras=["followups"])
    assert b"x_" not in none.body
    assert b'"event"' not in none.body
    labels = [
        (chunk["x_status"]["label"], chunk["x_status"]["state"]) for chunk in chunks(status) if "x_status" in chunk
    ]
    assert labels == [("Searching…", "running"), ("Found 1 passage", "done")]
    assert [chunk["event"] for chunk in chunks(events) if "event" in chunk] == [
        {"type": "status", "data": {"description": "Searching…", "done": False}},
        {"type": "status", "data": {"description": "Found 1 passage", "done": True}},
        {"type": "chat:message:follow_ups", "data": {"follow_ups": ["And interns?"]}},
    ]
    assert whole.json["x_followups"] == ["And interns?"]


@pytest.mark.parametrize(
    ("extras", "wanted"), [(None, False), ([], False), (["status"], False), (["followups"], True), (["events"], True)]
)
async def test_next_questions_are_made_only_for_who_is_told_of_them(
    tmp_path: Path, extras: list[str] | None, wanted: bool
) -> None:
    async with serving(tmp_path) as server:
        run = await told(server, x_extras=extras)
    assert run.options.followups is wanted


async def test_extras_may_be_the_operators_choice_and_the_request_beats_it(tmp_path: Path) -> None:
    async with serving(tmp_path, citing, openai_chat_extras="status, followups") as server:
        chosen = await ask(server, stream=True)
        asked = await ask(server, stream=True, x_extras=[])
    assert b"x_status" in chosen.body
    assert b"x_followups" in chosen.body
    assert b"x_" not in asked.body


def test_an_extra_that_there_is_not_is_found_at_the_start() -> None:
    with pytest.raises(ConfigurationError, match="MILLSTREAM_OPENAI_CHAT_EXTRAS: 'steps' is no extra"):
        load_settings(openai_chat_extras="steps")


# Links.


async def test_links_lead_to_the_passage_at_the_address_of_the_request(tmp_path: Path) -> None:
    async with serving(tmp_path, citing) as server:
        assert url_of(await ask(server)) == f"{server.url}{PASSAGE_PAGE}"
        named = await ask(server, headers={"Host": "docs.example"})
        assert url_of(named) == f"http://docs.example{PASSAGE_PAGE}"


async def test_links_of_a_mounted_server_lead_below_its_mount(tmp_path: Path) -> None:
    def mounted(millstream: Any) -> Starlette:
        return Starlette(routes=[Mount("/shop/chat", millstream.app)])

    async with serving(tmp_path, citing, app=mounted) as server:
        assert url_of(await ask(server, f"/shop/chat{COMPLETIONS}")) == f"{server.url}/shop/chat{PASSAGE_PAGE}"


async def test_a_host_that_is_none_makes_no_link(tmp_path: Path) -> None:
    async with serving(tmp_path, citing) as server:
        for host in ("evil.example/x?", "a@b", ""):
            assert url_of(await ask(server, headers={"Host": host})) == PASSAGE_PAGE


async def test_a_host_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path, citing, hosts=("docs.example",)) as server:
        assert (await ask(server, headers={"Host": "evil.example"})).status == 403
        assert url_of(await ask(server, headers={"Host": "docs.example"})) == f"http://docs.example{PASSAGE_PAGE}"


async def test_links_lead_to_the_public_address_where_there_is_one(tmp_path: Path) -> None:
    async with serving(tmp_path, citing, public_url="https://example.com/chat/") as server:
        assert url_of(await ask(server)) == f"https://example.com/chat{PASSAGE_PAGE}"


@pytest.mark.parametrize("value", ["docs.example", "ftp://docs.example", "https://", "https://a b", "https://a/?q"])
def test_a_public_address_that_is_none_is_found_at_the_start(value: str) -> None:
    with pytest.raises(ConfigurationError, match="MILLSTREAM_PUBLIC_URL"):
        load_settings(public_url=value)


# Models.


@pytest.mark.parametrize("base", ["/v1", "/openai/v1", "/openai"])
async def test_the_answers_are_the_models(base: str, tmp_path: Path) -> None:
    async with serving(tmp_path, hello) as server:
        server.millstream.answer(hello, name="short")
        listed = await server.get(f"{base}/models")
        shown = await server.get(f"{base}/models/short")
        missing = await server.get(f"{base}/models/gpt-4o")
    assert (listed.status, listed.headers["cache-control"]) == (200, "no-store")
    assert listed.json["object"] == "list"
    assert [model["id"] for model in listed.json["data"]] == ["default", "short", "rag"]
    assert shown.json == {"id": "short", "object": "model", "created": 0, "owned_by": "millstream"}
    assert shown.json in listed.json["data"]
    assert (missing.status, missing.json["error"]["code"]) == (404, "model_not_found")
