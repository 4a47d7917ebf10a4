"""OpenAI's own clients against Chat Completions: PyPI `openai` and npm `openai`, at OpenAI's addresses and Azure's."""

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import hatch_build
import openai
import pytest
from heartbeats import Heartbeats
from openai import AsyncAzureOpenAI, AsyncOpenAI, AzureOpenAI, OpenAI
from openai.types.chat import ChatCompletionChunk
from running_node import Node

from millstream.errors import ModelError
from millstream.events import Usage
from millstream.run import Run
from millstream.search import Passage
from serving import CuttingProxy, Server, serving, until, within

PAGE = Path(__file__).parents[2] / "docs" / "clients" / "openai-chat.md"
WHY: Any = [{"role": "user", "content": "Why?"}]
VERSION = "2024-10-21"
URL_OF_PASSAGE = "/passage?document_id=d1&version=v1&start=0&end=8#passage"
TEXT = "Staff get 20 days[1]. Interns\u2028get 𝔘[2]."
FORMS = pytest.mark.parametrize("azure", [False, True], ids=["openai", "azure"])


def passage(n: int) -> Passage:
    return Passage(
        source_id=f"s{n}", document_id=f"d{n}", version="v1", title=f"Handbook {n}", uri=f"hr/{n}.pdf", text="20 days.",
        start=0, end=8,
    )  # fmt: skip


async def everything(run: Run) -> None:
    """Says something of every kind."""
    async with run.step("search", "Searching…") as step:
        step.done("Found 2 passages", query="leave")
    run.cite([passage(1), passage(2)])
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


async def blocked(run: Run) -> None:
    raise ModelError("The filter refused the question.", code="model-content-filter", retryable=False)


async def filtered(run: Run) -> None:
    run.write("It co")
    run.finish("content_filter")


@asynccontextmanager
async def client_of(server: Server, *, azure: bool = False, **options: Any) -> AsyncIterator[AsyncOpenAI]:
    options = {"api_key": "none", "max_retries": 0, **options}
    client = (
        AsyncAzureOpenAI(azure_endpoint=server.url, api_version=VERSION, **options)
        if azure
        else AsyncOpenAI(base_url=f"{server.url}/v1", **options)
    )
    async with client:
        yield client


async def chunks_of(
    client: AsyncOpenAI, read: list[ChatCompletionChunk] | None = None, **body: Any
) -> list[ChatCompletionChunk]:
    """The chunks of a stream; those that came before an error are in `read`."""
    chunks = [] if read is None else read
    async for chunk in await client.chat.completions.create(model="gpt-4o", messages=WHY, stream=True, **body):
        chunks.append(chunk)
    return chunks


def text_of(chunks: list[Any]) -> str:
    """Of the Python client's chunks, or of the JavaScript client's."""
    plain = [chunk if isinstance(chunk, dict) else chunk.to_dict() for chunk in chunks]
    return "".join(choice["delta"].get("content") or "" for chunk in plain for choice in chunk["choices"])


def as_azures(text: str) -> str:
    return re.sub(r"\[(\d)\]", r"[doc\1]", text)


async def js(node: Node, server: Server | str, ask: str, **given: Any) -> dict[str, Any]:
    url = server if isinstance(server, str) else server.url
    told: dict[str, Any] = await node("openai_chat.mjs", url, json.dumps({"ask": ask, **given}))
    return told


# A whole run.


@FORMS
async def test_a_stream_has_one_id_the_role_first_the_text_and_one_finish_reason(azure: bool, tmp_path: Path) -> None:
    async with serving(tmp_path, everything) as server, client_of(server, azure=azure) as client:
        chunks = await chunks_of(client)
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    assert chunks[0].id.startswith("chatcmpl-")
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    choices = [chunk.choices[0] for chunk in chunks if chunk.choices]
    assert [choice.delta.role for choice in choices] == ["assistant"] + [None] * (len(choices) - 1)
    assert [choice.finish_reason for choice in choices] == [None] * (len(choices) - 1) + ["stop"]
    assert text_of(chunks) == (as_azures(TEXT) if azure else TEXT)
    thought = "".join((choice.delta.model_extra or {}).get("reasoning_content", "") for choice in choices)
    assert thought == "A number\u2028is asked for."
    assert len(chunks) == len(choices) + azure  # Azure's first chunk tells of the filter
    assert all(chunk.usage is None for chunk in chunks)


@FORMS
async def test_usage_comes_last_and_only_when_asked_for(azure: bool, tmp_path: Path) -> None:
    async with serving(tmp_path, everything) as server, client_of(server, azure=azure) as client:
        *chunks, last = await chunks_of(client, stream_options={"include_usage": True})
    assert all(chunk.usage is None for chunk in chunks)
    assert last.choices == []
    assert last.usage is not None
    assert (last.usage.prompt_tokens, last.usage.completion_tokens, last.usage.total_tokens) == (10, 5, 15)
    assert last.usage.prompt_tokens_details is not None
    assert last.usage.prompt_tokens_details.cached_tokens == 4
    assert last.usage.completion_tokens_details is not None
    assert last.usage.completion_tokens_details.reasoning_tokens == 2


@FORMS
async def test_the_stream_ends_in_done_and_has_no_field_but_data(azure: bool, tmp_path: Path) -> None:
    async with serving(tmp_path, everything) as server, client_of(server, azure=azure) as client:
        response = await client.chat.completions.with_raw_response.create(model="gpt-4o", messages=WHY, stream=True)
        assert response.headers["content-type"] == "text/event-stream"
        assert response.headers["x-request-id"] == response.headers["millstream-run"]
        lines = (await response.http_response.aread()).decode().split("\n")
    assert [line for line in lines if line][-1] == "data: [DONE]"
    assert {line.partition(" ")[0] for line in lines if line} == {"data:"}


@FORMS
async def test_the_whole_answer_is_what_the_stream_said(azure: bool, tmp_path: Path) -> None:
    async with serving(tmp_path, everything) as server, client_of(server, azure=azure) as client:
        whole = await client.chat.completions.create(model="gpt-4o", messages=WHY)
        sent = f"{server.url}{URL_OF_PASSAGE}"
    [choice] = whole.choices
    assert whole.object == "chat.completion"
    assert choice.finish_reason == "stop"
    assert choice.message.content == (as_azures(TEXT) if azure else TEXT)
    assert choice.message.model_extra is not None
    assert choice.message.model_extra["reasoning_content"] == "A number\u2028is asked for."
    assert choice.message.annotations is not None
    cited = [annotation.url_citation for annotation in choice.message.annotations]
    assert [each.title for each in cited] == ["Handbook 1", "Handbook 2"]
    assert cited[0].url == sent
    stated = [choice.message.content[each.start_index : each.end_index] for each in cited]
    assert stated == ["Staff get 20 days", "Interns\u2028get 𝔘"]
    assert whole.usage is not None
    assert whole.usage.total_tokens == 15


@FORMS
async def test_the_stream_helper_of_python_comes_to_the_whole_answer(azure: bool, tmp_path: Path) -> None:
    async with serving(tmp_path, everything) as server, client_of(server, azure=azure) as client:
        whole = await client.chat.completions.create(model="gpt-4o", messages=WHY)
        async with client.chat.completions.stream(model="gpt-4o", messages=WHY) as stream:
            content = [event.delta async for event in stream if event.type == "content.delta"]
            final = await stream.get_final_completion()
    message, expected = final.choices[0].message, whole.choices[0].message
    assert "".join(content) == message.content == expected.content
    assert message.annotations == expected.annotations
    for name in ("reasoning_content", "context"):
        assert (message.model_extra or {}).get(name) == (expected.model_extra or {}).get(name)
    assert (final.choices[0].finish_reason, message.role) == ("stop", "assistant")
    assert final.id.startswith("chatcmpl-")


@FORMS
async def test_the_javascript_client_reads_the_same(azure: bool, tmp_path: Path, node: Node) -> None:
    async with serving(tmp_path, everything) as server:
        told = await js(node, server, "stream", azure=azure, body={"stream_options": {"include_usage": True}})
        whole = await js(node, server, "whole", azure=azure)
        iterated = await js(node, server, "iterate", azure=azure)
    text = as_azures(TEXT) if azure else TEXT
    final, expected = told["final"], whole["final"]
    [choice], [expected_choice] = final["choices"], expected["choices"]
    assert text_of(iterated["chunks"]) == text_of(told["chunks"]) == "".join(told["contents"]) == text
    assert choice["message"]["content"] == expected_choice["message"]["content"] == text
    assert choice["message"]["annotations"] == expected_choice["message"]["annotations"]
    assert choice["message"].get("context") == expected_choice["message"].get("context")
    assert (choice["finish_reason"], choice["message"]["role"]) == ("stop", "assistant")
    assert final["usage"] == expected["usage"]
    assert final["usage"]["total_tokens"] == 15
    assert "error" not in told


async def test_the_blocking_clients_read_the_same(tmp_path: Path) -> None:
    def ask(url: str) -> list[str]:
        plain = OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        newer_azure = OpenAI(base_url=f"{url}/openai/v1", api_key="none", max_retries=0)
        azure = AzureOpenAI(azure_endpoint=url, api_version=VERSION, api_key="none", max_retries=0)
        said = []
        for client in (plain, newer_azure, azure):
            with client, client.chat.completions.create(model="gpt-4o", messages=WHY, stream=True) as stream:
                said.append(text_of(list(stream)))
        return said

    async with serving(tmp_path, everything) as server:
        assert await asyncio.to_thread(ask, server.url) == [TEXT, TEXT, as_azures(TEXT)]


# What Azure adds.


async def test_azures_client_reads_filter_results_and_the_citations_that_the_marks_name(tmp_path: Path) -> None:
    async with serving(tmp_path, everything) as server, client_of(server, azure=True) as client:
        chunks = await chunks_of(client, extra_body={"data_sources": [{"type": "azure_search", "parameters": {}}]})
        url = f"{server.url}{URL_OF_PASSAGE}"
    first, second, *_, last = chunks
    assert first.model_extra is not None
    [prompt] = first.model_extra["prompt_filter_results"]
    assert {each["filtered"] for each in prompt["content_filter_results"].values()} == {False}
    assert (first.choices, first.object) == ([], "extensions.chat.completion.chunk")
    delta = second.choices[0].delta
    assert delta.role == "assistant"
    assert delta.model_extra is not None
    context = delta.model_extra["context"]
    assert context["citations"][0] == {
        "index": 0,
        "content": "20 days.",
        "title": "Handbook 1",
        "url": url,
        "filepath": "hr/1.pdf",
        "chunk_id": "s1",
    }
    assert json.loads(context["intent"]) == ["leave"]
    marks = re.findall(r"\[doc(\d)\]", text_of(chunks))
    assert [context["citations"][int(mark) - 1]["title"] for mark in marks] == ["Handbook 1", "Handbook 2"]
    assert last.choices[0].model_extra == {"content_filter_results": {}, "end_turn": True}


# Ends that are none of the answer's.


@FORMS
async def test_an_error_in_the_middle_is_an_api_error_after_the_text(azure: bool, tmp_path: Path, node: Node) -> None:
    async with serving(tmp_path, broken) as server, client_of(server, azure=azure) as client:
        read: list[ChatCompletionChunk] = []
        with pytest.raises(openai.APIError) as caught:
            await chunks_of(client, read)
        with pytest.raises(openai.APIError) as caught_by_helper:
            async with client.chat.completions.stream(model="gpt-4o", messages=WHY) as stream:
                await stream.until_done()
        iterated = await js(node, server, "iterate", azure=azure)
        helped = await js(node, server, "stream", azure=azure)
    assert text_of(read) == text_of(iterated["chunks"]) == text_of(helped["chunks"]) == "It co"
    for error in (caught.value, caught_by_helper.value):
        assert (error.code, error.type, error.message) == ("model-interrupted", "server_error", "The model broke off.")
    assert iterated["error"]["isApiError"]
    for told in (iterated, helped):
        assert "The model broke off." in told["error"]["message"]
    assert iterated["error"]["code"] == "model-interrupted"


@FORMS
@pytest.mark.parametrize("stream", [True, False])
async def test_a_model_that_is_busy_is_a_rate_limit_error(
    stream: bool, azure: bool, tmp_path: Path, node: Node
) -> None:
    async with serving(tmp_path, limited) as server, client_of(server, azure=azure) as client:
        with pytest.raises(openai.RateLimitError) as caught:
            await client.chat.completions.create(model="gpt-4o", messages=WHY, stream=stream)  # type: ignore[call-overload]
        told = await js(node, server, "iterate" if stream else "whole", azure=azure)
    assert (caught.value.code, caught.value.type) == ("rate_limit_exceeded", "rate_limit_error")
    assert caught.value.response.headers["retry-after"] == "2"
    assert (told["error"]["name"], told["error"]["status"]) == ("RateLimitError", 429)
    assert told["error"]["code"] == "rate_limit_exceeded"


@FORMS
async def test_what_is_refused_is_a_bad_request_error_that_names_it(azure: bool, tmp_path: Path, node: Node) -> None:
    async with serving(tmp_path, everything) as server, client_of(server, azure=azure) as client:
        with pytest.raises(openai.BadRequestError) as caught:
            await client.chat.completions.create(model="gpt-4o", messages=WHY, n=2)
        told = await js(node, server, "whole", azure=azure, body={"n": 2})
    assert (caught.value.code, caught.value.param) == ("unsupported_value", "n")
    assert (told["error"]["name"], told["error"]["code"], told["error"]["param"]) == (
        "BadRequestError",
        "unsupported_value",
        "n",
    )


@FORMS
async def test_a_prompt_that_the_filter_refused_is_a_bad_request_error(azure: bool, tmp_path: Path, node: Node) -> None:
    async with serving(tmp_path, blocked) as server, client_of(server, azure=azure) as client:
        with pytest.raises(openai.BadRequestError) as caught:
            await chunks_of(client)
        told = await js(node, server, "iterate", azure=azure)
    assert caught.value.code == told["error"]["code"] == "content_filter"
    inner = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {}} if azure else None
    assert isinstance(caught.value.body, dict)
    assert caught.value.body.get("innererror") == told["error"].get("innererror") == inner


@FORMS
async def test_an_answer_that_the_filter_cut_says_so(azure: bool, tmp_path: Path, node: Node) -> None:
    async with serving(tmp_path, filtered) as server, client_of(server, azure=azure) as client:
        chunks = await chunks_of(client)
        whole = await client.chat.completions.create(model="gpt-4o", messages=WHY)
        told = await js(node, server, "stream", azure=azure)
    assert text_of(chunks) == whole.choices[0].message.content == "It co"
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason == "content_filter"
    assert told["final"]["choices"][0]["finish_reason"] == "content_filter"


async def test_a_stopped_answer_ends_without_an_error(tmp_path: Path, node: Node) -> None:
    async with serving(tmp_path) as server, client_of(server) as client:
        for asked in (chunks_of(client), js(node, server, "stream")):
            asking = asyncio.ensure_future(asked)
            telling = await server.told.next()
            telling.run.write("One. Two.")
            await server.post(f"/api/runs/{telling.run.id}/stop", {"seen": 4})
            told = await within(asking)
            if isinstance(told, dict):
                assert told["final"]["choices"][0]["finish_reason"] == "stop"
                assert told["final"]["x_aborted"] is True
            else:
                assert told[-1].choices[0].finish_reason == "stop"
                assert told[-1].model_extra == {"x_aborted": True}


async def test_a_stream_that_was_cut_is_never_taken_for_a_whole_one(tmp_path: Path, node: Node) -> None:
    async with serving(tmp_path, everything) as server, CuttingProxy(server.port, [2000, 2000]).running() as proxy:
        read: list[ChatCompletionChunk] = []
        async with AsyncOpenAI(base_url=f"{proxy.url}/v1", api_key="none", max_retries=0) as client:
            with pytest.raises(openai.APIConnectionError):
                await chunks_of(client, read)
        told = await js(node, proxy.url, "iterate")
    assert "error" in told
    for chunks in (text_of(read), text_of(told["chunks"])):
        assert chunks
        assert TEXT.startswith(chunks)


async def test_a_client_that_leaves_stops_the_answer(tmp_path: Path, node: Node) -> None:
    async with serving(tmp_path) as server, client_of(server) as client:
        starting = asyncio.create_task(client.chat.completions.create(model="gpt-4o", messages=WHY, stream=True))
        telling = await server.told.next()
        telling.run.write("One.")
        stream = await within(starting)
        await anext(stream)
        await stream.close()
        await within(telling.cancelled.wait())
        asked = asyncio.ensure_future(js(node, server, "iterate", leaveAfter=2))
        telling = await server.told.next()
        telling.run.write("One.")
        await within(telling.cancelled.wait())
        assert text_of((await within(asked))["chunks"]) == "One."
        await until(lambda: server.millstream.supervisor.running == 0)


async def test_heartbeats_are_invisible(tmp_path: Path, node: Node) -> None:
    heartbeats = Heartbeats()
    async with serving(tmp_path, app=heartbeats.heard, heartbeat=0.02) as server, client_of(server) as client:
        for asked in (chunks_of(client), js(node, server, "stream")):
            asking = asyncio.ensure_future(asked)
            await heartbeats.between(await server.told.next(), "One. ", "Two.")
            told = await within(asking)
            chunks = told["chunks"] if isinstance(told, dict) else told
            assert text_of(chunks) == "One. Two."
            assert len(chunks) == 4


async def test_what_would_fail_again_is_asked_once(tmp_path: Path) -> None:
    asked = 0

    async def refused(run: Run) -> None:
        nonlocal asked
        asked += 1
        raise ModelError("Wrong key.", code="model-refused", retryable=False)

    async with serving(tmp_path, refused) as server, client_of(server, max_retries=2) as client:
        with pytest.raises(openai.InternalServerError):
            await chunks_of(client)
    assert asked == 1


# What goes beyond OpenAI's own.


async def test_extras_pass_both_clients_and_their_helpers(tmp_path: Path, node: Node) -> None:
    extras = {"x_extras": ["status", "followups", "events"]}
    async with serving(tmp_path, everything) as server, client_of(server) as client:
        chunks = await chunks_of(client, extra_body=extras)
        async with client.chat.completions.stream(model="gpt-4o", messages=WHY, extra_body=extras) as stream:
            final = await stream.get_final_completion()
        told = await js(node, server, "stream", body=extras)
    assert (
        text_of(chunks) == final.choices[0].message.content == told["final"]["choices"][0]["message"]["content"] == TEXT
    )
    by_python = [chunk.model_extra or {} for chunk in chunks]
    for found in (by_python, told["chunks"]):
        labels = [each["x_status"]["label"] for each in found if "x_status" in each]
        assert labels == ["Searching…", "Found 2 passages"]
        assert [each["event"]["type"] for each in found if "event" in each] == [
            "status",
            "status",
            "chat:message:follow_ups",
        ]
    assert [each["x_followups"] for each in by_python if "x_followups" in each] == [["And next year?"]]
    assert told["final"]["x_followups"] == ["And next year?"]


@FORMS
async def test_the_models_are_listed(azure: bool, tmp_path: Path, node: Node) -> None:
    async with serving(tmp_path, everything) as server, client_of(server, azure=azure) as client:
        models = [model.id async for model in client.models.list()]
        model = await client.models.retrieve("rag")
        with pytest.raises(openai.NotFoundError) as caught:
            await client.models.retrieve("gpt-4o")
        told = await js(node, server, "models", azure=azure)
    assert models == [each["id"] for each in told["models"]] == ["default", "rag"]
    assert (model.id, model.object, told["model"]["id"]) == ("rag", "model", "default")
    assert caught.value.code == "model_not_found"


@FORMS
async def test_what_there_is_not_is_a_not_found_error_that_says_what_there_is(azure: bool, tmp_path: Path) -> None:
    async with serving(tmp_path, everything) as server, client_of(server, azure=azure) as client:
        with pytest.raises(openai.NotFoundError, match=r"POST .*/chat/completions") as caught:
            await client.embeddings.create(model="ada", input="Why?")
    assert (caught.value.code, caught.value.type) == ("not-found", "invalid_request_error")


# The page.


def documented() -> list[tuple[str, str]]:
    return re.findall(r"^```(js|python)\n(.*?)^```", PAGE.read_text(), flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(("language", "code"), documented())
async def test_the_documented_lines_work(language: str, code: str, tmp_path: Path, npm: hatch_build.Npm) -> None:
    commands = {"js": ["node", "--input-type=module", "-e"], "python": [sys.executable, "-c"]}
    async with serving(tmp_path) as server:
        server.millstream.answer(everything, name="rag")
        process = await asyncio.create_subprocess_exec(
            *commands[language],
            code.replace("http://127.0.0.1:8000", server.url),
            cwd=Path(__file__).parent,
            env={**os.environ, "PATH": npm.path},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        printed, errors = await within(process.communicate())
    assert process.returncode == 0, errors.decode()
    assert "Staff get 20 days[" in printed.decode()
