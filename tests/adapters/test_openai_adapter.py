"""A stream of the OpenAI SDK as an answer, from a real server over a real socket."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI

from calling_model import BROKEN, LOST, Asked, Chunk, call, calling_model, chunk
from millstream.adapters import openai_answer
from millstream.adapters.openai import MAX_ROUNDS, Create
from millstream.client import AsyncClient
from millstream.snapshot import Snapshot
from millstream.testing import ModelServer, Script
from serving import serving, within


@asynccontextmanager
async def model(*answers: list[Chunk] | int) -> AsyncIterator[tuple[Create, Asked]]:
    async with (
        calling_model(*answers) as (url, asked),
        AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client,
    ):
        yield lambda messages: client.chat.completions.create(model="m", messages=messages, stream=True), asked


Tools = dict[str, Callable[..., Any]]


async def answered(folder: Path, create: Create, tools: Tools | None = None) -> Snapshot:
    async with serving(folder, openai_answer(create, tools)) as server, AsyncClient(server.url) as client:
        return await within(client.run("Why?").final())


async def test_words_reasoning_and_usage_become_those_of_the_run(tmp_path: Path) -> None:
    usage = {
        "prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10,
        "prompt_tokens_details": {"cached_tokens": 2}, "completion_tokens_details": {"reasoning_tokens": 1},
    }  # fmt: skip
    said = [
        chunk({"role": "assistant", "reasoning_content": "Hm."}), chunk({"content": "Be"}),
        chunk({"content": "cause."}), chunk({}, "stop"), chunk(usage=usage),
    ]  # fmt: skip
    async with model(said) as (create, asked):
        found = await answered(tmp_path, create)
    message = found.message
    assert (message.content, message.reasoning, message.reason) == ("Because.", "Hm.", "stop")
    assert message.usage is not None
    assert (message.usage.input_tokens, message.usage.output_tokens) == (7, 3)
    assert (message.usage.cached_tokens, message.usage.reasoning_tokens) == (2, 1)
    assert asked == [[{"role": "user", "content": "Why?"}]]


@pytest.mark.parametrize("reason", ["length", "content_filter"])
async def test_why_the_words_ended_is_kept(tmp_path: Path, reason: str) -> None:
    async with model([chunk({"content": "Be"}), chunk({}, reason)]) as (create, _):
        assert (await answered(tmp_path, create)).message.reason == reason


async def weather(city: str) -> dict[str, str]:
    return {"sky": f"clear over {city}"}


def plain_weather(city: str) -> str:
    return f"clear over {city}"


@pytest.mark.parametrize(
    ("tool", "output"),
    [(weather, {"sky": "clear over Rome"}), (plain_weather, "clear over Rome")],
)
async def test_a_tool_is_called_shown_and_told_to_the_model(
    tmp_path: Path, tool: Callable[..., Awaitable[Any]], output: Any
) -> None:
    async with model(call('{"city": "Rome"}'), [chunk({"content": "Clear."}, "stop")]) as (create, asked):
        found = await answered(tmp_path, create, {"weather": tool})
    assert found.message.content == "Clear."
    [shown] = found.message.tools or []
    assert (shown.name, shown.arguments, shown.output) == ("weather", {"city": "Rome"}, output)
    told = asked[1][-1]
    assert (told["role"], told["tool_call_id"]) == ("tool", "t")
    assert told["content"] == (output if isinstance(output, str) else json.dumps(output))


async def test_a_plain_tool_that_takes_its_time_leaves_the_server_free(tmp_path: Path) -> None:
    began, may_end = threading.Event(), threading.Event()

    def slow(city: str) -> str:
        began.set()
        return "clear" if may_end.wait(10) else "nobody let it end"

    async def let_it_end() -> None:
        await asyncio.to_thread(began.wait)
        may_end.set()

    async with model(call('{"city": "Rome"}'), [chunk({"content": "Clear."}, "stop")]) as (create, _):
        found, _ = await asyncio.gather(answered(tmp_path, create, {"weather": slow}), let_it_end())
    [shown] = found.message.tools or []
    assert shown.output == "clear"


async def test_a_tool_that_fails_is_told_to_the_model(tmp_path: Path) -> None:
    def broken(city: str) -> str:
        raise ValueError("no such city")

    async with model(call('{"city": "Oz"}'), [chunk({"content": "Unknown."}, "stop")]) as (create, asked):
        found = await answered(tmp_path, create, {"weather": broken})
    [shown] = found.message.tools or []
    assert shown.error == "ValueError: no such city"
    assert "no such city" in asked[1][-1]["content"]
    assert found.state == "finished"


@pytest.mark.parametrize("arguments", ["{", "[1]", '"x"'])
async def test_arguments_that_are_no_object_are_told_to_the_model(tmp_path: Path, arguments: str) -> None:
    async with model(call(arguments), [chunk({"content": "Sorry."}, "stop")]) as (create, asked):
        assert (await answered(tmp_path, create, {"weather": weather})).state == "finished"
    assert "not a JSON object" in asked[1][-1]["content"]


async def test_a_tool_that_there_is_not_ends_the_run(tmp_path: Path) -> None:
    async with model(call("{}", "launch")) as (create, _):
        error = (await answered(tmp_path, create)).message.error
    assert error is not None
    assert error.code == "tool-unknown"


async def test_a_model_that_calls_tools_for_ever_is_ended(tmp_path: Path) -> None:
    async with model(call('{"city": "Rome"}')) as (create, asked):
        error = (await answered(tmp_path, create, {"weather": weather})).message.error
    assert error is not None
    assert error.code == "tool-rounds"
    assert len(asked) == MAX_ROUNDS


@pytest.mark.parametrize(
    ("status", "code"), [(429, "model-rate-limited"), (500, "model-unavailable"), (401, "model-refused")]
)
async def test_an_error_of_the_sdk_has_the_code_of_our_own_models(tmp_path: Path, status: int, code: str) -> None:
    async with model(status) as (create, _):
        error = (await answered(tmp_path, create)).message.error
    assert error is not None
    assert error.code == code
    assert error.retry_after == (None if status == 401 else 7)


@pytest.mark.parametrize("cut", [[], [BROKEN], [LOST]])
async def test_an_answer_that_is_cut_is_not_taken_for_complete(tmp_path: Path, cut: list[Chunk]) -> None:
    async with model([chunk({"content": "Be"}), *cut]) as (create, _):
        found = await answered(tmp_path, create)
    assert (found.state, found.message.content) == ("failed", "Be")
    assert found.message.error is not None
    assert found.message.error.code == "model-interrupted"


async def test_usage_that_stands_in_every_chunk_is_counted_once(tmp_path: Path) -> None:
    def usage(completion: int) -> Chunk:
        return {"prompt_tokens": 7, "completion_tokens": completion, "total_tokens": 7 + completion}

    said = [chunk({"content": "Be"}, usage=usage(1)), chunk({"content": "cause."}, "stop", usage=usage(2))]
    async with model(said) as (create, _):
        counted = (await answered(tmp_path, create)).message.usage
    assert counted is not None
    assert (counted.input_tokens, counted.output_tokens) == (7, 2)


async def test_words_before_a_tool_call_stay_in_the_models_history(tmp_path: Path) -> None:
    said = [chunk({"content": "Let me look. "}), *call('{"city": "Rome"}')]
    async with model(said, [chunk({"content": "Clear."}, "stop")]) as (create, asked):
        await answered(tmp_path, create, {"weather": plain_weather})
    assert asked[1][-2]["content"] == "Let me look. "


async def test_what_a_tool_returns_need_not_be_json(tmp_path: Path) -> None:
    async with model(call('{"city": "Rome"}'), [chunk({"content": "Clear."}, "stop")]) as (create, asked):
        found = await answered(tmp_path, create, {"weather": lambda city: {"at": date(2026, 1, 2), "path": Path("a")}})
    [shown] = found.message.tools or []
    assert shown.output == {"at": "2026-01-02", "path": "a"}
    assert json.loads(asked[1][-1]["content"]) == shown.output


async def test_calls_without_an_index_are_told_apart_by_their_ids(tmp_path: Path) -> None:
    def piece(arguments: str, **more: Any) -> Chunk:
        return chunk({"tool_calls": [{"function": {"arguments": arguments, "name": more.get("name")}, **more}]})

    said = [
        piece('{"city": ', id="a", name="weather"), piece('"Rome"}'),
        piece('{"city": ', id="b", name="weather"), piece('"Oslo"}'), chunk({}, "tool_calls"),
    ]  # fmt: skip
    async with model(said, [chunk({"content": "Clear."}, "stop")]) as (create, _):
        found = await answered(tmp_path, create, {"weather": plain_weather})
    assert [shown.output for shown in found.message.tools or []] == ["clear over Rome", "clear over Oslo"]


async def test_nobody_at_the_models_address_is_unavailable(tmp_path: Path) -> None:
    async with AsyncOpenAI(base_url="http://127.0.0.1:1/v1", api_key="none", max_retries=0) as client:
        error = (
            await answered(
                tmp_path, lambda messages: client.chat.completions.create(model="m", messages=messages, stream=True)
            )
        ).message.error
    assert error is not None
    assert error.code == "model-unavailable"


async def test_stop_ends_the_call_upstream(tmp_path: Path) -> None:
    async with (
        ModelServer(Script.words("word " * 10_000, rate=50)) as upstream,
        AsyncOpenAI(base_url=upstream.base_url, api_key="none") as sdk,
    ):
        answer = openai_answer(lambda messages: sdk.chat.completions.create(model="m", messages=messages, stream=True))
        async with serving(tmp_path, answer) as server, AsyncClient(server.url) as client:
            run = client.run("Why?")
            await within(anext(run.text_stream))
            assert (await run.stop()).state == "stopped"
            call = await within(upstream.asked())
            await within(call.closed.wait())
            assert call.disconnected
