"""The server is what the real service is: the official SDK must not see a difference."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest

from millstream.models.script import (
    CountTokens,
    Cut,
    End,
    PromptBlocked,
    RateLimited,
    Refused,
    SayReasoning,
    SayText,
    Script,
)
from millstream.testing import Dialect, ModelServer

ASK: dict[str, Any] = {"model": "fox-1", "messages": [{"role": "user", "content": "Which fox?"}]}
STREAM: dict[str, Any] = {**ASK, "stream": True, "stream_options": {"include_usage": True}}


@asynccontextmanager
async def sdk(server: ModelServer, key: str = "k") -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=server.base_url, api_key=key, max_retries=0) as client:
        yield client


async def test_the_sdk_reads_a_streamed_answer() -> None:
    count = CountTokens(input_tokens=3, output_tokens=4, cached_tokens=2)
    script = Script.of([SayReasoning(text="hm"), SayText(text="The quick brown fox"), End(reason="length"), count])
    async with ModelServer(script) as server, sdk(server) as client:
        chunks = [chunk async for chunk in await client.chat.completions.create(**STREAM)]
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "The quick brown fox"
    assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == ["length"]
    assert chunks[-1].choices == []
    assert chunks[-1].usage.prompt_tokens_details.cached_tokens == 2


async def test_usage_is_streamed_only_when_it_is_asked_for() -> None:
    async with ModelServer(Script.words("fox")) as server, sdk(server) as client:
        chunks = [chunk async for chunk in await client.chat.completions.create(**ASK, stream=True)]
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)


async def test_the_sdk_reads_a_whole_answer() -> None:
    async with ModelServer(Script.words("The quick brown fox", input_tokens=3)) as server, sdk(server) as client:
        answer = await client.chat.completions.create(**ASK)
    assert answer.choices[0].message.content == "The quick brown fox"
    assert answer.usage is not None
    assert answer.usage.total_tokens == 7


async def test_the_sdk_reads_azures_chunks() -> None:
    async with ModelServer(Script.words("fox"), key="k", dialect=Dialect(azure=True)) as server:
        client = openai.AsyncAzureOpenAI(azure_endpoint=server.origin, api_key="k", api_version="2024-10-21")
        chunks = [chunk async for chunk in await client.chat.completions.create(**STREAM)]
        await client.close()
        assert server.answers[0].path == "/openai/deployments/fox-1/chat/completions?api-version=2024-10-21"
    assert chunks[0].choices == []
    assert any(c.choices and c.choices[0].delta is None for c in chunks)


async def test_the_sdk_lists_the_models() -> None:
    async with ModelServer(Script.words("x"), models=frozenset({"a", "b"})) as server, sdk(server) as client:
        assert [model.id async for model in client.models.list()] == ["a", "b"]


@pytest.mark.parametrize(
    ("step", "error", "code"),
    [
        (RateLimited(), openai.RateLimitError, "rate_limit_exceeded"),
        (Refused(status=503), openai.InternalServerError, None),
        (Refused(status=400, code="context_length_exceeded"), openai.BadRequestError, "context_length_exceeded"),
        (PromptBlocked(), openai.BadRequestError, "content_filter"),
    ],
)
async def test_the_sdk_sees_the_services_own_refusals(step: Any, error: type[openai.APIStatusError], code: str) -> None:
    async with ModelServer(Script.of([step])) as server, sdk(server) as client:
        with pytest.raises(error) as refusal:
            await client.chat.completions.create(**STREAM)
        assert server.answers[0].status == refusal.value.status_code
    assert refusal.value.code == code


async def test_the_sdk_sees_an_error_in_the_stream() -> None:
    script = Script.of([SayText(text="Half"), Refused(status=500, message="Engine failure")])
    async with ModelServer(script) as server, sdk(server) as client:
        with pytest.raises(openai.APIError, match="Engine failure"):
            async for _ in await client.chat.completions.create(**STREAM):
                pass


async def test_after_a_429_the_sdk_succeeds() -> None:
    script = Script.of([RateLimited(retry_after=0.01)]).then(Script.words("now"))
    async with ModelServer(script) as server, sdk(server) as client:
        answer = await client.with_options(max_retries=1).chat.completions.create(**ASK)
        assert [answer.status for answer in server.answers] == [429, 200]
    assert answer.choices[0].message.content == "now"


async def post(
    server: ModelServer, body: object, path: str = "/v1/chat/completions", **headers: str
) -> tuple[int, Any]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with (
        aiohttp.ClientSession() as session,
        session.post(server.origin + path, data=data, headers=headers) as response,
    ):
        return response.status, (await response.json())["error"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temprature": 1}, "Unrecognized request argument supplied: temprature"),
        ({"temperature": 3}, "Invalid value for 'temperature'"),
        ({"max_completion_tokens": 0}, "Invalid value for 'max_completion_tokens'"),
        ({"reasoning_effort": "huge"}, "Invalid value for 'reasoning_effort'"),
        ({"messages": []}, "Invalid value for 'messages'"),
        ({"messages": [{"role": "robot", "content": "x"}]}, r"Invalid value for 'messages[0].role'"),
        ({"messages": [{"role": "user", "content": "x", "id": 1}]}, "Invalid value for 'messages[0]'"),
        ({"stream": False}, "The 'stream_options' parameter is only allowed when 'stream' is enabled."),
        ({"model": ""}, "you must provide a model parameter"),
    ],
)
async def test_what_the_service_refuses_is_refused(change: dict[str, Any], message: str) -> None:
    async with ModelServer(Script.words("x")) as server:
        status, error = await post(server, {**STREAM, **change})
        assert len(server.rejected) == 1
        assert not server.answers
    assert status == 400
    assert error["type"] == "invalid_request_error"
    assert error["message"].startswith(message)


@pytest.mark.parametrize("body", [b"", b"{", b"[]"])
async def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    async with ModelServer(Script.words("x")) as server:
        status, error = await post(server, body)
    assert (status, error["message"]) == (400, "We could not parse the JSON body of your request.")


async def test_an_unknown_address_is_refused() -> None:
    async with ModelServer(Script.words("x")) as server:
        status, error = await post(server, ASK, "/v1/chat/complete")
    assert (status, error["message"]) == (404, "Invalid URL (POST /v1/chat/complete)")


async def test_keys_are_checked() -> None:
    azure = "/openai/deployments/d/chat/completions?api-version=1"
    async with ModelServer(Script.words("x"), key="k") as server:
        assert (await post(server, ASK))[0] == 401
        status, error = await post(server, ASK, Authorization="Bearer sk-wrong-key-1234")
        assert (status, error["code"]) == (401, "invalid_api_key")
        assert (await post(server, ASK, azure, Authorization="Bearer k"))[0] == 401
        assert (await post(server, ASK, azure.partition("?")[0], **{"api-key": "k"}))[0] == 404


async def test_an_unknown_model_is_refused() -> None:
    async with ModelServer(Script.words("x"), models=frozenset({"other"})) as server:
        assert (await post(server, ASK))[1]["code"] == "model_not_found"
        azure = await post(server, ASK, "/openai/deployments/d/chat/completions?api-version=1")
        assert azure[1]["code"] == "DeploymentNotFound"


async def raw(server: ModelServer) -> bytes:
    """Everything that comes over the socket, framing of HTTP included."""
    body = json.dumps(STREAM).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.origin.rpartition(":")[2]))
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n")
    writer.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
    received = await reader.read()
    writer.close()
    return received


async def test_a_stream_can_be_cut_at_any_byte_and_in_other_line_ends() -> None:
    async with ModelServer(Script.words("fox"), dialect=Dialect(newline="\r\n", write_bytes=3)) as server:
        body = (await raw(server)).partition(b"\r\n\r\n")[2]
    sizes = [line for line in body.split(b"\r\n") if line in (b"1", b"2", b"3")]
    assert len(sizes) > 100  # HTTP chunks of three bytes


async def test_a_cut_ends_the_body_in_the_middle_after_what_was_said() -> None:
    async with ModelServer(Script.of([SayText(text="Half"), Cut()])) as server:
        received = await raw(server)
    assert b"Half" in received
    assert not received.endswith(b"0\r\n\r\n")


async def test_statistics_tell_who_went_away_and_when() -> None:
    async with ModelServer(Script.words("word " * 100, rate=100)) as server:
        url = f"{server.base_url}/chat/completions"
        async with aiohttp.ClientSession() as session, session.post(url, json=STREAM) as response:
            await response.content.readuntil(b"word ")
        answer = await server.asked()
        await answer.closed.wait()
        assert answer.disconnected
        assert not answer.finished
        assert 1 <= answer.tokens < 100
        assert answer.disconnected_at is not None
        assert answer.disconnected_at >= answer.started_at
        assert answer.body == STREAM


async def test_it_runs_in_a_process_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "script.json"
    file.write_text('{"calls": [{"steps": [{"type": "text", "text": "from a process"}]}]}')
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "millstream.testing", str(file), "--key", "k", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    announced = (await process.stdout.readline()).decode().strip()
    async with openai.AsyncOpenAI(base_url=announced.removeprefix("OPENAI_BASE_URL="), api_key="k") as client:
        answer = await client.chat.completions.create(**ASK)
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == 0
    assert answer.choices[0].message.content == "from a process"


async def test_a_bad_script_is_one_clear_line(tmp_path: Path) -> None:
    file = tmp_path / "script.json"
    file.write_text("{}")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "millstream.testing", str(file), stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    assert process.returncode == 2
    assert said.decode().splitlines() == ["The script script.json is not valid: Object missing required field `calls`"]
