"""Responses over HTTP: what is asked, what is refused, what can be come back to."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from millstream.errors import ModelError
from millstream.recovery import close_dead_runs
from millstream.run import Run
from millstream.server.app import Millstream
from serving import PATIENCE_S, Answered, Server, serving, until, within

PATH = "/v1/responses"
FIRST = ["response.created", "response.in_progress"]


class Echo:
    """Answers `re: QUESTION`, and remembers what it was given."""

    def __init__(self) -> None:
        self.given: list[list[tuple[str, str]]] = []
        self.options: list[Any] = []

    async def answer(self, run: Run) -> None:
        self.given.append([(message.role, message.content) for message in run.messages])
        self.options.append(run.options)
        run.write(f"re: {run.question}")


async def ask(server: Server, question: Any = "Why?", **body: Any) -> Any:
    answered = await server.post(PATH, {"model": "gpt-4o", "input": question, **body})
    assert answered.status == 200, answered.body
    return answered.json


def frames(stream: bytes) -> list[Any]:
    return [json.loads(line[6:]) for line in stream.decode().split("\n") if line.startswith("data: ")]


def types(stream: bytes) -> list[str]:
    return [frame["type"] for frame in frames(stream)]


def text_of(response: Any) -> str:
    return "".join(part["text"] for item in response["output"] if item["type"] == "message" for part in item["content"])


def error_of(answered: Answered, status: int) -> Any:
    assert answered.status == status, answered.body
    error = answered.json["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"].endswith(".")
    return error


async def read_until(response: aiohttp.ClientResponse, kind: str) -> Any:
    """The frame of that type; the stream is read up to it."""
    while True:
        line = await asyncio.wait_for(response.content.readline(), PATIENCE_S)
        assert line, f"the stream ended without {kind}"
        if line.startswith(b"data: ") and (frame := json.loads(line[6:]))["type"] == kind:
            return frame


# What is asked


async def test_input_is_a_string_or_messages_of_parts(tmp_path: Path) -> None:
    echo = Echo()
    async with serving(tmp_path, echo.answer) as server:
        assert text_of(await ask(server)) == "re: Why?"
        items = [
            {"role": "developer", "content": "Be brief."},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "one"}]},
            {"type": "reasoning", "id": "rs_1", "summary": []},
            {"type": "file_search_call", "id": "fs_1", "queries": [], "status": "completed"},
            {
                "type": "message",
                "role": "assistant",
                "content": [
                    {"type": "output_text", "text": "1", "annotations": []},
                    {"type": "refusal", "refusal": "no"},
                ],
            },
            {
                "role": "user",
                "content": [{"type": "input_text", "text": "two"}, {"type": "input_file", "file_id": "d1"}],
            },
        ]
        await ask(server, items, instructions="Rhyme.")
    assert echo.given[0] == [("user", "Why?")]
    assert echo.given[1] == [
        ("system", "Rhyme."),
        ("system", "Be brief."),
        ("user", "one"),
        ("assistant", "1\n\nno"),
        ("user", "two"),
    ]


async def test_parameters_reach_the_answer_and_null_is_as_good_as_absent(tmp_path: Path) -> None:
    echo = Echo()
    async with serving(tmp_path, echo.answer) as server:
        await ask(
            server,
            temperature=0.5,
            max_output_tokens=9,
            reasoning={"effort": "low", "summary": "auto"},
            tools=[{"type": "file_search", "vector_store_ids": ["x"], "max_num_results": 3}],
            text={"format": {"type": "text"}},
            stream=None,
            store=None,
            metadata=None,
            instructions=None,
            top_p=0.9,
            truncation="auto",
            include=["file_search_call.results"],
        )
    options = echo.options[0]
    assert (options.temperature, options.max_output_tokens, options.reasoning_effort, options.sources) == (
        0.5,
        9,
        "low",
        3,
    )


async def test_a_model_that_names_an_answer_chooses_it(tmp_path: Path) -> None:
    async def other(run: Run) -> None:
        run.write("other")

    def with_other(millstream: Millstream) -> Any:
        millstream.answer(other, name="other", model="its-model")
        return millstream.app

    async with serving(tmp_path, Echo().answer, app=with_other) as server:
        chosen = await ask(server, model="other")
        assert (text_of(chosen), chosen["model"]) == ("other", "its-model")
        assert text_of(await ask(server, model="gpt-4o")) == "re: Why?"
        answered = await server.post(PATH, {"input": "Why?"})
        assert text_of(answered.json) == "re: Why?"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "input"),
        ({"input": None}, "input"),
        ({"input": 5}, "input"),
        ({"input": []}, "input"),
        ({"input": " "}, "input"),
        ({"input": [{"role": "assistant", "content": "x"}]}, "input"),
        ({"input": [{"role": "wizard", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user"}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": ["x"]}]}, "input[0].content[0]"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0]"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]}, "input[0].content[0]"),
        ({"input": [{"role": "user", "content": [{"type": "input_file", "file_data": "x"}]}]}, "input[0].content[0]"),
        ({"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]}, "input[0]"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0]"),
        ({"input": [5]}, "input[0]"),
        ({"input": "x", "stream": "yes"}, "stream"),
        ({"input": "x", "metadata": {"a": 1}}, "metadata[...]"),
        ({"input": "x", "metadata": {"a": "b" * 513}}, "metadata"),
        ({"input": "x", "temperature": 9}, "temperature"),
        ({"input": "x", "max_output_tokens": 0}, "max_output_tokens"),
        ({"input": "x", "reasoning": {"effort": "wild"}}, "reasoning.effort"),
        ({"input": "x", "tools": [{"type": "function", "name": "f"}]}, "tools[0]"),
        ({"input": "x", "tools": [{"type": "file_search", "max_num_results": 51}]}, "tools[0].max_num_results"),
        ({"input": "x", "text": {"format": {"type": "json_schema"}}}, "text.format"),
        ({"input": "x", "conversation": "conv_1"}, "conversation"),
        ({"input": "x", "prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"input": "x", "background": True, "store": False}, "background"),
        ({"input": [{"role": "user", "content": "x"}] * 1001}, "input"),
    ],
)
async def test_what_cannot_be_done_is_refused_in_openais_shape(body: Any, param: str | None, tmp_path: Path) -> None:
    async with serving(tmp_path, Echo().answer) as server:
        error = error_of(await server.post(PATH, body), 400)
    assert error["type"] == "invalid_request_error"
    assert error["param"] == param


async def test_bad_bodies_and_methods_are_refused_in_openais_shape(tmp_path: Path) -> None:
    async with serving(tmp_path, Echo().answer, max_body_bytes=2000) as server:
        assert error_of(await server.request("POST", PATH, data=b"{"), 400)["code"] == "invalid-request"
        assert error_of(await server.request("POST", PATH, data=b"[]"), 400)["code"] == "invalid-request"
        assert error_of(await server.post(PATH, {"input": "x" * 3000}), 413)["code"] == "too-large"
        assert error_of(await server.get(PATH), 405)["code"] == "method-not-allowed"
        assert error_of(await server.post(f"{PATH}/resp_x", {}), 405)["code"] == "method-not-allowed"


async def test_it_can_be_moved_and_switched_off(tmp_path: Path) -> None:
    async with serving(tmp_path / "moved", Echo().answer, openai_responses="/openai2") as server:
        response = (await server.post(f"/openai2{PATH}", {"input": "x"})).json
        assert (await server.get(f"/openai2{PATH}/{response['id']}")).json == response
        assert (await server.post(PATH, {"input": "x"})).status == 404, "Chat Completions are there"
    async with serving(tmp_path / "off", Echo().answer, openai_responses="off") as server:
        assert (await server.post(PATH, {"input": "x"})).status == 404


@pytest.mark.parametrize("path", ["/openai/v1/responses", "/openai/responses"])
async def test_azures_addresses_serve_the_same(path: str, tmp_path: Path) -> None:
    async with serving(tmp_path, Echo().answer) as server:
        response = (await server.post(f"{path}?api-version=preview", {"model": "m", "input": "Why?"})).json
        assert (await server.get(f"{path}/{response['id']}")).json == response
        assert (await server.post(f"{path}/{response['id']}/cancel")).json == response
        assert (await server.request("DELETE", f"{path}/{response['id']}")).json["deleted"] is True


# Statuses and headers


async def test_a_stream_has_the_headers_that_keep_it_one(tmp_path: Path) -> None:
    async with serving(tmp_path, Echo().answer) as server:
        answered = await server.post(PATH, {"input": "Why?", "stream": True})
        assert answered.headers["Content-Type"] == "text/event-stream"
        assert answered.headers["Cache-Control"] == "no-cache, no-transform"
        assert answered.headers["X-Accel-Buffering"] == "no"
        assert answered.headers["x-request-id"] == answered.headers["Millstream-Run"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_model_that_is_busy_before_the_first_word_is_a_429(stream: bool, tmp_path: Path) -> None:
    async def busy(run: Run) -> None:
        raise ModelError("The model is busy.", code="model-rate-limited", retryable=True, retry_after=1.2)

    async with serving(tmp_path, busy) as server:
        answered = await server.post(PATH, {"input": "Why?", "stream": stream})
        error = error_of(answered, 429)
        assert (error["code"], error["message"]) == ("rate_limit_exceeded", "The model is busy.")
        assert answered.headers["Retry-After"] == "2"


async def test_the_status_waits_for_more_than_the_creation(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        asked = asyncio.create_task(server.client.post(server.url + PATH, json={"input": "Why?", "stream": True}))
        telling = await server.told.next()
        await until(lambda: telling.run.id in server.millstream.supervisor._live)
        telling.run.write("Hello")
        async with await within(asked) as response:
            assert response.status == 200
            telling.fail(ModelError("It broke off.", code="model-interrupted", retryable=True))
            failed = await read_until(response, "response.failed")
    assert failed["response"]["error"] == {
        "code": "server_error",
        "message": "It broke off.",
        "type": "model-interrupted",
    }
    assert text_of(failed["response"]) == "Hello"


async def test_a_silent_answer_gets_heartbeats_and_then_tells_its_failure_within_the_stream(tmp_path: Path) -> None:
    async with (
        serving(tmp_path, heartbeat=0.05) as server,
        server.client.post(server.url + PATH, json={"input": "Why?", "stream": True}) as response,
    ):
        telling = await server.told.next()
        while await within(response.content.readline()) != b": ping\n":
            pass
        telling.fail(ModelError("The model is busy.", code="model-rate-limited", retryable=True))
        failed = await read_until(response, "response.failed")
    assert failed["response"]["error"]["code"] == "rate_limit_exceeded"


async def test_a_whole_answer_that_fails_after_a_heartbeat_is_a_failed_response(tmp_path: Path) -> None:
    async with (
        serving(tmp_path, heartbeat=0.05) as server,
        server.client.post(server.url + PATH, json={"input": "Why?"}) as response,
    ):
        telling = await server.told.next()
        assert await within(response.content.readexactly(1)) == b" "
        telling.fail(ModelError("The model is busy.", code="model-rate-limited", retryable=True))
        failed = json.loads(await within(response.read()))
    assert (failed["object"], failed["status"]) == ("response", "failed")
    assert failed["error"]["message"] == "The model is busy."


# Coming back


async def test_a_response_is_the_same_in_the_stream_and_whole_and_retrieved(tmp_path: Path) -> None:
    async with serving(tmp_path, Echo().answer) as server:
        stream = (await server.post(PATH, {"input": "Why?", "stream": True, "metadata": {"a": "b"}})).body
        last = frames(stream)[-1]["response"]
        assert last["metadata"] == {"a": "b"}
        path = f"{PATH}/{last['id']}"
        assert (await server.get(path)).json == last
        assert (await server.get(f"{path}?stream=true")).body == stream
        assert (await server.get(f"{path}?stream=false")).json == last


async def test_what_comes_after_a_number_is_the_rest(tmp_path: Path) -> None:
    async with serving(tmp_path, Echo().answer) as server:
        stream = (await server.post(PATH, {"input": "Why?", "stream": True})).body
        response_id = frames(stream)[0]["response"]["id"]
        blocks = stream.split(b"\n\n")[:-1]
        for last in range(len(blocks)):
            rest = await server.get(f"{PATH}/{response_id}?stream=true&starting_after={last}")
            assert rest.status == 200
            assert rest.body == b"".join(block + b"\n\n" for block in blocks[last + 1 :])
        for wrong in ("x", "-1", "1.5", "9" * 20):
            path = f"{PATH}/{response_id}?stream=true&starting_after={wrong}"
            assert error_of(await server.get(path), 400)["param"] == "starting_after"


async def test_a_client_that_left_comes_back_to_an_answer_that_went_on(tmp_path: Path) -> None:
    async with serving(tmp_path, heartbeat=0.05) as server:
        response = await server.client.post(server.url + PATH, json={"input": "Why?", "stream": True})
        async with response:
            telling = await server.told.next()
            telling.run.write("Hello ")
            delta = await read_until(response, "response.output_text.delta")
        telling.run.write("world")
        path = f"{server.url}{PATH}/resp_{telling.run.id}?stream=true&starting_after={delta['sequence_number']}"
        async with server.client.get(path) as again:
            more = await read_until(again, "response.output_text.delta")
            telling.end()
            done = await read_until(again, "response.completed")
    assert (delta["delta"], more["delta"]) == ("Hello ", "world")
    assert text_of(done["response"]) == "Hello world"


async def test_a_response_in_the_making_is_retrieved_as_it_stands(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        response = await ask(server, background=True)
        assert (response["status"], response["output"]) == ("in_progress", [])
        telling = await server.told.next()
        telling.run.write("Hello")
        await asyncio.sleep(0)
        half = (await server.get(f"{PATH}/{response['id']}")).json
        assert (half["status"], text_of(half)) == ("in_progress", "Hello")
        telling.end()
        done = (await server.get(f"{PATH}/{response['id']}?stream=true")).body
        assert types(done)[-1] == "response.completed"
        assert (await server.get(f"{PATH}/{response['id']}")).json["status"] == "completed"


async def test_a_response_that_failed_is_retrieved_with_its_error(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        response = await ask(server, background=True)
        (await server.told.next()).fail(ModelError("Busy.", code="model-rate-limited", retryable=True))
        stream = await server.get(f"{PATH}/{response['id']}?stream=true")
        assert stream.status == 200
        assert types(stream.body) == [*FIRST, "response.failed"]
        assert (await server.get(f"{PATH}/{response['id']}")).json["error"]["code"] == "rate_limit_exceeded"


async def test_a_background_response_goes_on_whatever_the_operator_says_of_unread_runs(tmp_path: Path) -> None:
    async with serving(tmp_path, when_unread="stop") as server:
        response = await ask(server, background=True)
        telling = await server.told.next()
        async with server.client.get(f"{server.url}{PATH}/{response['id']}?stream=true") as reader:
            await read_until(reader, "response.in_progress")
        live = await server.live(telling.run.id)
        await until(lambda: live.readers == 0)
        telling.run.write("Still here")
        telling.end()
        stream = (await server.get(f"{PATH}/{response['id']}?stream=true")).body
        assert types(stream)[-1] == "response.completed"


async def test_a_client_that_waits_for_the_whole_answer_cannot_come_back_so_its_leaving_stops(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        asked = asyncio.create_task(server.post(PATH, {"input": "Why?"}))
        telling = await server.told.next()
        await until(lambda: telling.run.id in server.millstream.supervisor._live)
        live = await server.live(telling.run.id)
        await until(lambda: live.readers == 1)
        asked.cancel()
        await within(telling.cancelled.wait())


async def test_events_that_are_no_longer_kept_leave_the_response(tmp_path: Path) -> None:
    async with serving(tmp_path, Echo().answer) as server:
        stream = (await server.post(PATH, {"input": "Why?", "stream": True})).body
        last = frames(stream)[-1]["response"]
        await server.millstream.supervisor.settle()
        await server.millstream.supervisor.log.prune(2**60)
        path = f"{PATH}/{last['id']}"
        assert (await server.get(path)).json == last
        assert (await server.get(f"{path}?stream=true")).body == stream, "one piece of words is the same again"
        error = error_of(await server.get(f"{path}?stream=true&starting_after=3"), 410)
        assert error["code"] == "gone"


async def test_a_log_in_memory_forgets_but_the_response_stays(tmp_path: Path) -> None:
    async with serving(tmp_path, Echo().answer, log="memory") as server:
        response = await ask(server)
    async with serving(tmp_path, Echo().answer, log="memory") as server:
        assert (await server.get(f"{PATH}/{response['id']}")).json == response


async def test_numbers_that_were_lost_with_a_server_are_refused(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        response = await ask(server, background=True)
        telling = await server.told.next()
        telling.run.write("Hello")
        supervisor = server.millstream.supervisor
        run_id = telling.run.id
        await until(lambda: supervisor._live[run_id].producer.flushed_seq == 2)
        assert await close_dead_runs(supervisor.log, (), lambda run_id: None, everyone=True) == 1
        supervisor._live[run_id].producer.lose()
        await until(lambda: run_id not in supervisor._live)
        path = f"{PATH}/{response['id']}?stream=true"
        stream = await server.get(path)
        assert types(stream.body)[-1] == "response.failed"
        assert frames(stream.body)[4]["type"] == "response.output_text.delta"
        rest = await server.get(f"{path}&starting_after=4")
        assert types(rest.body)[-1] == "response.failed"
        assert error_of(await server.get(f"{path}&starting_after=5"), 409)["code"] == "cursor-ahead"


# Cancelling and deleting


async def test_cancelling_stops_the_answer_and_tells_so_everywhere(tmp_path: Path) -> None:
    async with (
        serving(tmp_path, heartbeat=0.05) as server,
        server.client.post(server.url + PATH, json={"input": "Why?", "stream": True}) as response,
    ):
        telling = await server.told.next()
        telling.run.write("Hello")
        await read_until(response, "response.output_text.delta")
        path = f"{PATH}/resp_{telling.run.id}"
        cancelled = (await server.post(f"{path}/cancel")).json
        assert (cancelled["status"], text_of(cancelled)) == ("cancelled", "Hello")
        end = await read_until(response, "response.incomplete")
        assert end["response"] == cancelled
        assert (await server.get(path)).json == cancelled
        assert (await server.post(f"{path}/cancel")).json == cancelled, "the first one wins"
        assert telling.cancelled.is_set()


async def test_a_stop_by_our_own_api_cuts_the_response_where_it_was_seen(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        response = await ask(server, background=True)
        telling = await server.told.next()
        telling.run.write("Hello world")
        await server.post(f"/api/runs/{telling.run.id}/stop", {"seen": 5})
        assert text_of((await server.get(f"{PATH}/{response['id']}")).json) == "Hello"


async def test_a_deleted_response_is_nowhere(tmp_path: Path) -> None:
    async with serving(tmp_path, Echo().answer) as server:
        response_id = (await ask(server))["id"]
        path = f"{PATH}/{response_id}"
        deleted = (await server.request("DELETE", path)).json
        assert deleted == {"id": response_id, "object": "response", "deleted": True}
        for method, place in (
            ("GET", path),
            ("GET", f"{path}?stream=true"),
            ("DELETE", path),
            ("POST", f"{path}/cancel"),
        ):
            error = error_of(await server.request(method, place), 404)
            assert error["code"] == "no-response"
            assert response_id in error["message"]
        assert (await server.get(f"/api/runs/{response_id.removeprefix('resp_')}")).status == 404


async def test_a_response_belongs_to_its_owner(tmp_path: Path) -> None:
    def by_header(connection: Any) -> str:
        return str(connection.headers["authorization"])

    async with serving(tmp_path, Echo().answer, identify=by_header) as server:
        mine = {"Authorization": "Bearer ann"}
        response = (await server.post(PATH, {"input": "x"}, headers=mine)).json
        path = f"{PATH}/{response['id']}"
        assert (await server.get(path, headers=mine)).status == 200
        theirs = {"Authorization": "Bearer bob"}
        assert error_of(await server.get(path, headers=theirs), 404)["code"] == "no-response"
        error_of(await server.request("DELETE", path, headers=theirs), 404)
        error_of(await server.post(f"{path}/cancel", headers=theirs), 404)
        error_of(await server.post(PATH, {"input": "x", "previous_response_id": response["id"]}, headers=theirs), 404)


# Going on


async def test_a_response_goes_on_with_the_one_before_it_but_not_its_instructions(tmp_path: Path) -> None:
    echo = Echo()
    async with serving(tmp_path, echo.answer) as server:
        first = await ask(server, "one", instructions="Rhyme.")
        second = await ask(server, "two", previous_response_id=first["id"])
        again = await ask(server, "zwei", previous_response_id=first["id"])
        assert second["previous_response_id"] == again["previous_response_id"] == first["id"]
        assert (await server.get(f"{PATH}/{second['id']}")).json == second
        assert (await server.get("/api/conversations")).json["conversations"] == []
    assert echo.given[1] == [("user", "one"), ("assistant", "re: one"), ("user", "two")]
    assert echo.given[2] == [("user", "one"), ("assistant", "re: one"), ("user", "zwei")]


async def test_an_answer_of_our_own_page_can_be_gone_on_with(tmp_path: Path) -> None:
    echo = Echo()
    async with serving(tmp_path, echo.answer) as server:
        first = (await server.post("/api/runs", {"question": "one"})).json
        assert text_of((await server.get(f"{PATH}/resp_{first['run_id']}")).json) == "re: one"
        await ask(server, "two", previous_response_id=f"resp_{first['run_id']}")
        conversation = (await server.get(f"/api/conversations/{first['conversation_id']}")).json
        assert len(conversation["messages"]) == 4
    assert echo.given[1] == [("user", "one"), ("assistant", "re: one"), ("user", "two")]


async def test_a_response_that_is_not_there_or_not_ended_cannot_be_gone_on_with(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        for unknown in ("resp_unknown", "unknown", ""):
            body = {"input": "x", "previous_response_id": unknown}
            assert error_of(await server.post(PATH, body), 404)["code"] == "no-response"
        running = await ask(server, background=True)
        body = {"input": "x", "previous_response_id": running["id"]}
        assert error_of(await server.post(PATH, body), 409)["code"] == "still-running"
        (await server.told.next()).end()


# What is not stored


@pytest.mark.parametrize("stream", [False, True])
async def test_what_is_not_to_be_stored_is_forgotten_once_it_is_sent(stream: bool, tmp_path: Path) -> None:
    async with serving(tmp_path, Echo().answer) as server:
        first = await ask(server, "one")
        for previous in ({}, {"previous_response_id": first["id"]}):
            answered = await server.post(PATH, {"input": "two", "store": False, "stream": stream, **previous})
            response = frames(answered.body)[-1]["response"] if stream else answered.json
            assert text_of(response) == "re: two"
            run_id = response["id"].removeprefix("resp_")
            async with asyncio.timeout(PATIENCE_S):
                while await server.millstream.supervisor.conversations.message_of_run(run_id) is not None:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            assert (await server.get(f"{PATH}/{response['id']}")).status == 404
        database = b"".join(path.read_bytes() for path in (tmp_path / "data").glob("millstream.db*"))
        assert re.search(rb'"content":"re: one"', database)


async def test_a_client_that_leaves_what_is_not_stored_stops_it(tmp_path: Path) -> None:
    async with serving(tmp_path, heartbeat=0.05) as server:
        body = {"input": "Why?", "stream": True, "store": False}
        response = await server.client.post(server.url + PATH, json=body)
        async with response:
            telling = await server.told.next()
            telling.run.write("Hello")
            await read_until(response, "response.output_text.delta")
        await within(telling.cancelled.wait())
        conversations = server.millstream.supervisor.conversations
        async with asyncio.timeout(PATIENCE_S):
            while await conversations.message_of_run(telling.run.id) is not None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def test_answers_of_protocols_that_keep_nothing_are_no_responses(tmp_path: Path) -> None:
    async with serving(tmp_path, Echo().answer) as server:
        run = (await server.post("/api/runs", {"messages": [{"role": "user", "content": "x"}]})).json
        error_of(await server.get(f"{PATH}/resp_{run['run_id']}"), 404)
        error_of(await server.post(PATH, {"input": "x", "previous_response_id": f"resp_{run['run_id']}"}), 404)


@pytest.mark.parametrize(
    "item", [{"role": ["user"], "content": "a"}, {"type": ["x"]}, {"type": {"a": 1}, "role": "user", "content": "x"}]
)
async def test_items_of_odd_types_are_refused(tmp_path: Path, item: dict[str, Any]) -> None:
    async with serving(tmp_path) as server:
        answered = await server.post("/v1/responses", {"model": "m", "input": [item]})
    assert (answered.status, answered.json["error"]["type"]) == (400, "invalid_request_error")


async def test_a_number_that_there_has_not_been_is_ahead(tmp_path: Path) -> None:
    async def short(run: Run) -> None:
        run.write("Hello")

    async with serving(tmp_path, short) as server:
        made = (await server.post("/v1/responses", {"model": "m", "input": "Why?"})).json
        answered = await server.get(f"/v1/responses/{made['id']}?stream=true&starting_after=100000")
    assert (answered.status, answered.json["error"]["code"]) == (409, "cursor-ahead")
