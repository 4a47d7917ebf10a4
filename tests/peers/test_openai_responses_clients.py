"""OpenAI's own clients against Responses: PyPI `openai` and npm `openai`."""

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import hatch_build
import openai
import pytest
from heartbeats import Heartbeats
from openai import AsyncAzureOpenAI, AsyncOpenAI
from openai.types import responses as typed
from running_node import Node
from starlette.types import ASGIApp

from millstream.errors import ModelError
from millstream.events import Usage
from millstream.run import Run
from millstream.search import Passage
from millstream.server.app import Millstream
from serving import CuttingProxy, Server, serving, until, within

PAGE = Path(__file__).parents[2] / "docs" / "clients" / "openai-responses.md"
TEXT = "Staff get 20 days. Interns\u2028get 𝔘."
LAW = "https://law.example/leave"


def passage(n: int, uri: str) -> Passage:
    return Passage(
        source_id=f"s{n}", document_id=f"d{n}", version="v1", title=f"Title {n}", uri=uri, text="20 days.",
        start=0, end=8,
    )  # fmt: skip


async def everything(run: Run) -> None:
    """Says something of every kind."""
    async with run.step("search", "Searching…") as step:
        step.done("Found 2 passages", query="leave")
    run.cite([passage(1, "hr/handbook.pdf"), passage(2, LAW)])
    run.think("A number\u2028is ")
    await asyncio.sleep(0)
    run.think("asked for.")
    for words in ("Staff get 20 days [1].", " Interns\u2028get ", "𝔘 [2]."):
        run.write(words)
        await asyncio.sleep(0)
    run.followups(["And next year?"])
    run.play(Usage(input_tokens=10, output_tokens=5, estimated=False, reasoning_tokens=2, cached_tokens=4))


async def broken(run: Run) -> None:
    run.write("It co")
    await asyncio.sleep(0)
    raise ModelError("The model broke off.", code="model-interrupted", retryable=True)


async def limited(run: Run) -> None:
    raise ModelError("The model is busy.", code="model-rate-limited", retryable=True, retry_after=1.2)


async def filtered(run: Run) -> None:
    run.write("It co")
    run.finish("content_filter")


async def echo(run: Run) -> None:
    run.write(" | ".join(f"{message.role}: {message.content}" for message in run.messages))


@asynccontextmanager
async def client_of(server: Server | str, **options: Any) -> AsyncIterator[AsyncOpenAI]:
    url = server if isinstance(server, str) else server.url
    async with AsyncOpenAI(base_url=f"{url}/v1", api_key="none", **{"max_retries": 0, **options}) as client:
        yield client


async def events_of(client: AsyncOpenAI, **body: Any) -> list[Any]:
    return [event async for event in await client.responses.create(model="gpt-4o", input="Why?", stream=True, **body)]


async def js(node: Node, server: Server | str, ask: str, **given: Any) -> dict[str, Any]:
    url = server if isinstance(server, str) else server.url
    told: dict[str, Any] = await node("openai_responses.mjs", url, json.dumps({"ask": ask, **given}))
    return told


def text_of(events: list[Any]) -> str:
    """Of the Python client's events, or of the JavaScript client's."""
    plain = [event if isinstance(event, dict) else event.to_dict() for event in events]
    return "".join(event["delta"] for event in plain if event["type"] == "response.output_text.delta")


# A whole answer, in the stream and at once


async def test_events_are_numbered_in_order_and_each_of_its_own_type(tmp_path: Path) -> None:
    async with serving(tmp_path, everything) as server, client_of(server) as client:
        events = await events_of(client)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert (events[0].type, events[-1].type) == ("response.created", "response.completed")
    kinds = list(dict.fromkeys(type(event) for event in events))
    assert kinds == [
        typed.ResponseCreatedEvent,
        typed.ResponseInProgressEvent,
        typed.ResponseOutputItemAddedEvent,
        typed.ResponseFileSearchCallInProgressEvent,
        typed.ResponseFileSearchCallSearchingEvent,
        typed.ResponseFileSearchCallCompletedEvent,
        typed.ResponseOutputItemDoneEvent,
        typed.ResponseReasoningSummaryPartAddedEvent,
        typed.ResponseReasoningSummaryTextDeltaEvent,
        typed.ResponseReasoningSummaryTextDoneEvent,
        typed.ResponseReasoningSummaryPartDoneEvent,
        typed.ResponseContentPartAddedEvent,
        typed.ResponseTextDeltaEvent,
        typed.ResponseOutputTextAnnotationAddedEvent,
        typed.ResponseTextDoneEvent,
        typed.ResponseContentPartDoneEvent,
        typed.ResponseCompletedEvent,
    ]
    assert all(type(event).model_validate(event.to_dict()).type == event.type for event in events)


async def test_the_text_is_the_same_in_the_stream_the_last_event_and_retrieved(tmp_path: Path) -> None:
    async with serving(tmp_path, everything) as server, client_of(server) as client:
        events = await events_of(client)
        last = events[-1].response
        retrieved = await client.responses.retrieve(last.id)
        whole = await client.responses.create(model="gpt-4o", input="Why?")
    assert text_of(events) == last.output_text == whole.output_text == TEXT
    assert retrieved.to_dict() == last.to_dict()
    changing = {"id", "created_at", "output"}
    assert {name: value for name, value in whole.to_dict().items() if name not in changing} == {
        name: value for name, value in last.to_dict().items() if name not in changing
    }


async def test_the_search_its_results_reasoning_citations_and_usage_are_typed(tmp_path: Path) -> None:
    async with serving(tmp_path, everything) as server, client_of(server) as client:
        response = await client.responses.create(model="gpt-4o", input="Why?")
    search, reasoning, message = response.output
    assert isinstance(search, typed.ResponseFileSearchToolCall)
    assert (search.status, search.queries) == ("completed", ["leave"])
    assert search.results is not None
    assert [(each.file_id, each.filename, each.text) for each in search.results] == [
        ("d1", "handbook.pdf", "20 days."),
        ("d2", "Title 2", "20 days."),
    ]
    assert search.results[1].attributes is not None
    assert search.results[1].attributes["uri"] == LAW
    assert isinstance(reasoning, typed.ResponseReasoningItem)
    assert reasoning.summary[0].text == "A number\u2028is asked for."
    assert isinstance(message, typed.ResponseOutputMessage)
    part = message.content[0]
    assert isinstance(part, typed.ResponseOutputText)
    cited, by_law = part.annotations
    assert isinstance(cited, typed.response_output_text.AnnotationFileCitation)
    assert (cited.file_id, cited.filename, part.text[: cited.index]) == ("d1", "handbook.pdf", "Staff get 20 days")
    assert isinstance(by_law, typed.response_output_text.AnnotationURLCitation)
    assert (by_law.url, part.text[by_law.start_index : by_law.end_index]) == (LAW, "Interns\u2028get 𝔘")
    assert response.usage is not None
    assert response.usage.to_dict() == {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 15,
    }
    assert response.metadata == {"followups": '["And next year?"]'}


async def test_the_python_helper_builds_the_response(tmp_path: Path) -> None:
    async with (
        serving(tmp_path, everything) as server,
        client_of(server) as client,
        client.responses.stream(model="gpt-4o", input="Why?") as stream,
    ):
        snapshots = [event.snapshot async for event in stream if event.type == "response.output_text.delta"]
        final = await stream.get_final_response()
    assert snapshots[-1] == final.output_text == TEXT


@pytest.mark.parametrize("ask", ["iterate", "stream", "whole"])
async def test_the_javascript_client_reads_the_same(ask: str, tmp_path: Path, node: Node) -> None:
    async with serving(tmp_path, everything) as server:
        told = await js(node, server, ask)
    assert "error" not in told
    if ask != "whole":
        assert text_of(told["events"]) == TEXT
        assert told["events"][0]["type"] == "response.created"
        assert told["events"][-1]["type"] == "response.completed"
    if ask != "iterate":
        assert told["text"] == TEXT
        assert [item["type"] for item in told["final"]["output"]] == ["file_search_call", "reasoning", "message"]


async def test_azures_client_reads_it_at_azures_address(tmp_path: Path) -> None:
    options: dict[str, Any] = {"api_key": "none", "api_version": "2025-04-01-preview", "max_retries": 0}
    async with (
        serving(tmp_path, everything) as server,
        AsyncAzureOpenAI(azure_endpoint=server.url, **options) as client,
    ):
        response = await client.responses.create(model="my-deployment", input="Why?")
        assert response.output_text == TEXT
        assert (await client.responses.retrieve(response.id)).output_text == TEXT


# Failed, refused, filtered, stopped, cut


async def test_a_failure_in_the_stream_is_a_failed_response_with_the_words_so_far(tmp_path: Path, node: Node) -> None:
    async with serving(tmp_path, broken) as server, client_of(server) as client:
        last = (await events_of(client))[-1]
        theirs = (await js(node, server, "iterate"))["events"][-1]
        retrieved = await client.responses.retrieve(last.response.id)
    assert isinstance(last, typed.ResponseFailedEvent)
    assert last.response.error is not None
    assert (last.response.error.code, last.response.error.message) == ("server_error", "The model broke off.")
    assert last.response.output_text == "It co"
    assert (theirs["type"], theirs["response"]["error"]["message"]) == ("response.failed", "The model broke off.")
    assert (retrieved.status, retrieved.error) == ("failed", last.response.error)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_busy_model_is_a_rate_limit_error_before_the_stream(stream: bool, tmp_path: Path, node: Node) -> None:
    async with serving(tmp_path, limited) as server, client_of(server) as client:
        with pytest.raises(openai.RateLimitError) as refusal:
            await client.responses.create(model="gpt-4o", input="Why?", stream=stream)
        error = (await js(node, server, "iterate" if stream else "whole"))["error"]
    assert refusal.value.code == "rate_limit_exceeded"
    assert refusal.value.response.headers["retry-after"] == "2"
    assert (error["name"], error["status"], error["code"]) == ("RateLimitError", 429, "rate_limit_exceeded")


async def test_a_bad_request_is_a_bad_request_error(tmp_path: Path, node: Node) -> None:
    wrong: dict[str, Any] = {"tools": [{"type": "function", "name": "f", "parameters": {}, "strict": True}]}
    async with serving(tmp_path, everything) as server, client_of(server) as client:
        with pytest.raises(openai.BadRequestError) as refusal:
            await client.responses.create(model="gpt-4o", input="Why?", **wrong)
        error = (await js(node, server, "whole", body=wrong))["error"]
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve("resp_unknown")
    assert (refusal.value.code, refusal.value.param) == ("unsupported_parameter", "tools[0]")
    assert (error["name"], error["status"], error["param"]) == ("BadRequestError", 400, "tools[0]")


async def test_a_content_filter_makes_the_response_incomplete(tmp_path: Path, node: Node) -> None:
    async with serving(tmp_path, filtered) as server, client_of(server) as client:
        last = (await events_of(client))[-1]
        theirs = (await js(node, server, "whole"))["final"]
    assert isinstance(last, typed.ResponseIncompleteEvent)
    assert last.response.incomplete_details is not None
    assert (last.response.status, last.response.incomplete_details.reason) == ("incomplete", "content_filter")
    assert theirs["incomplete_details"] == {"reason": "content_filter"}


async def test_a_cancelled_response_ends_incomplete_and_is_stored_cancelled(tmp_path: Path, node: Node) -> None:
    async with serving(tmp_path, heartbeat=0.05) as server, client_of(server) as client:
        stream = await client.responses.create(model="gpt-4o", input="Why?", stream=True)
        telling = await server.told.next()
        telling.run.write("Hello")
        events = [await anext(stream)]
        cancelled = await client.responses.cancel(events[0].response.id)
        events += [event async for event in stream]
        assert cancelled.status == events[-1].response.status == "cancelled"
        assert isinstance(events[-1], typed.ResponseIncompleteEvent)
        assert (await client.responses.retrieve(cancelled.id)).status == "cancelled"
        assert (await js(node, server, "cancel", id=cancelled.id))["final"]["status"] == "cancelled"
        assert telling.cancelled.is_set()


async def test_a_client_whose_connection_is_cut_goes_on_with_the_next_event(tmp_path: Path, node: Node) -> None:
    """At several places of the stream, each time with both clients."""
    async with serving(tmp_path, everything) as server, client_of(server) as client:
        whole = await events_of(client)
        size = len((await server.get(f"/v1/responses/{whole[0].response.id}?stream=true")).body)
        for cut in (700, size // 2, size - 400):
            proxy = CuttingProxy(server.port, [cut])
            async with proxy.running(), client_of(proxy.url) as cut_client:
                read: list[Any] = []
                stream = await cut_client.responses.create(model="gpt-4o", input="Why?", stream=True)
                with suppress(openai.APIConnectionError, json.JSONDecodeError):  # it depends on where it is cut
                    async for event in stream:
                        read.append(event)
                assert read[-1].type != "response.completed"
                after = read[-1].sequence_number
                response_id = read[0].response.id
                rest = await client.responses.retrieve(response_id, stream=True, starting_after=after)
                read += [event async for event in rest]
                again = await js(node, server, "resume", id=response_id, after=after)
            assert [event.sequence_number for event in read] == list(range(len(whole)))
            assert text_of(read) == TEXT
            assert [event["sequence_number"] for event in again["events"]] == list(range(after + 1, len(whole)))


async def test_heartbeats_are_invisible(tmp_path: Path, node: Node) -> None:
    heartbeats = Heartbeats()
    async with serving(tmp_path, app=heartbeats.heard, heartbeat=0.02) as server, client_of(server) as client:
        for asked in (events_of(client), js(node, server, "stream")):
            asking = asyncio.ensure_future(asked)
            await heartbeats.between(await server.told.next(), "One. ", "Two.")
            told = await within(asking)
            events = [event.to_dict() for event in told] if isinstance(told, list) else told["events"]
            assert text_of(events) == "One. Two."
            assert [event["sequence_number"] for event in events] == list(range(len(events)))
            assert events[-1]["type"] == "response.completed"


# Coming back


async def test_resuming_gives_the_next_event_and_the_same_text(tmp_path: Path, node: Node) -> None:
    async with serving(tmp_path, everything) as server, client_of(server) as client:
        whole = await events_of(client)
        response_id = whole[0].response.id
        for after in (0, 5, len(whole) - 2):
            rest = [
                event async for event in await client.responses.retrieve(response_id, stream=True, starting_after=after)
            ]
            assert [event.to_dict() for event in rest] == [event.to_dict() for event in whole[after + 1 :]]
        told = await js(node, server, "resume", id=response_id, after=5)
        assert told["events"] == [event.to_dict() for event in whole[6:]]


async def test_the_helpers_go_on_with_a_response_of_which_they_had_a_part(tmp_path: Path, node: Node) -> None:
    async with serving(tmp_path, everything) as server, client_of(server) as client:
        whole = await events_of(client)
        response_id, after = whole[0].response.id, len(whole) // 2
        async with client.responses.stream(response_id=response_id, starting_after=after) as stream:
            numbers = [event.sequence_number async for event in stream]
            final = await stream.get_final_response()
        told = await js(node, server, "replay", id=response_id, after=after)
    assert numbers == list(range(after + 1, len(whole)))
    assert final.output_text == told["text"] == TEXT
    assert [event["sequence_number"] for event in told["events"]] == numbers


async def test_a_client_that_leaves_comes_back_to_the_answer_in_the_making(tmp_path: Path, node: Node) -> None:
    async with serving(tmp_path) as server, client_of(server) as client:
        asked = asyncio.create_task(js(node, server, "iterate", leaveAfter=2))
        telling = await server.told.next()
        telling.run.write("Hello ")
        left = await within(asked)
        live = await server.live(telling.run.id)
        await until(lambda: live.readers == 0)
        response_id = left["events"][0]["response"]["id"]
        stream = await client.responses.retrieve(response_id, stream=True, starting_after=1)
        events = [await anext(stream)]
        telling.run.write("world")
        telling.end()
        events += [event async for event in stream]
    assert [event["type"] for event in left["events"]] == ["response.created", "response.in_progress"]
    assert (events[0].sequence_number, text_of(events)) == (2, "Hello world")


async def test_a_background_response_is_polled_until_it_is_there(tmp_path: Path, node: Node) -> None:
    async with serving(tmp_path) as server, client_of(server) as client:
        response = await client.responses.create(model="gpt-4o", input="Why?", background=True)
        assert response.status in ("queued", "in_progress")
        telling = await server.told.next()
        assert (await js(node, server, "retrieve", id=response.id))["final"]["status"] == "in_progress"
        telling.run.write("Hello")
        telling.end()
        async with asyncio.timeout(10):
            while (done := await client.responses.retrieve(response.id)).status == "in_progress":
                pass
        assert (done.status, done.output_text) == ("completed", "Hello")


async def test_a_background_response_is_cancelled(tmp_path: Path) -> None:
    async with serving(tmp_path) as server, client_of(server) as client:
        response = await client.responses.create(model="gpt-4o", input="Why?", background=True)
        telling = await server.told.next()
        assert (await client.responses.cancel(response.id)).status == "cancelled"
        assert (await client.responses.retrieve(response.id)).status == "cancelled"
        await within(telling.cancelled.wait())


async def test_a_response_goes_on_with_the_one_before_it(tmp_path: Path, node: Node) -> None:
    async with serving(tmp_path, echo) as server, client_of(server) as client:
        first = await client.responses.create(model="gpt-4o", input="one", instructions="Rhyme.")
        second = await client.responses.create(model="gpt-4o", input="two", previous_response_id=first.id)
        theirs = await js(node, server, "whole", body={"previous_response_id": first.id})
        items: Any = [{"role": "user", "content": "one"}, *second.output, {"role": "user", "content": "three"}]
        brought = await client.responses.create(model="gpt-4o", input=items, store=False)
    assert first.output_text == "system: Rhyme. | user: one"
    assert second.output_text == f"user: one | assistant: {first.output_text} | user: two"
    assert second.previous_response_id == first.id
    assert theirs["text"] == f"user: one | assistant: {first.output_text} | user: Why?"
    assert brought.output_text == f"user: one | assistant: {second.output_text} | user: three"


async def test_a_deleted_response_is_gone_and_one_that_is_not_stored_never_was_there(
    tmp_path: Path, node: Node
) -> None:
    async with serving(tmp_path, echo) as server, client_of(server) as client:
        response = await client.responses.create(model="gpt-4o", input="one")
        assert "error" not in await js(node, server, "remove", id=response.id)
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(response.id)
        unstored = await client.responses.create(model="gpt-4o", input="one", store=False)
        async with asyncio.timeout(10):
            while True:
                try:
                    await client.responses.retrieve(unstored.id)
                except openai.NotFoundError:
                    break


# The page


def documented() -> list[tuple[str, str]]:
    found = re.findall(r"^```(python|js)\n(.*?)^```", PAGE.read_text(), flags=re.DOTALL | re.MULTILINE)
    assert found
    return found


async def run_documented(language: str, code: str, url: str, npm: hatch_build.Npm) -> str:
    code = code.replace("http://127.0.0.1:8000", url)
    command = [sys.executable, "-c", code] if language == "python" else ["node", "--input-type=module", "-e", code]
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=Path(__file__).parent,
        env={**os.environ, "PATH": npm.path},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, errors = await within(process.communicate())
    assert process.returncode == 0, errors.decode()
    return printed.decode()


@pytest.mark.parametrize(("language", "code"), documented())
async def test_the_documented_lines_work(language: str, code: str, tmp_path: Path, npm: hatch_build.Npm) -> None:
    def as_rag(millstream: Millstream) -> ASGIApp:
        millstream.answer(everything, name="rag")
        return millstream.app

    async with serving(tmp_path, everything, app=as_rag) as server:
        assert "20 days" in await run_documented(language, code, server.url, npm)
