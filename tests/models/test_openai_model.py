"""The model over real sockets, against the server of `millstream.testing`."""

import asyncio
import atexit
import functools
import json
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
import uvloop
from aiohttp.client_proto import ResponseHandler
from model_contract import (
    FOX,
    PATIENT,
    PLAIN,
    PROMPT,
    SHORT,
    ModelContract,
    collect,
    collect_until_failure,
    merged,
    said,
)
from openai_models import KEY, openai_model

from millstream.models import ChatModel, Finish, ModelOptions, Reasoning, Text, TokenUsage
from millstream.models.endpoint import azure_endpoint, openai_endpoint
from millstream.models.openai import OpenAIModel, error_detail, retry_after_s
from millstream.models.script import CountTokens, Delay, End, RateLimited, Refused, SayReasoning, SayText, Script, Stall
from millstream.models.timeouts import Timeouts
from millstream.testing import Dialect, ModelServer


@functools.cache
def certificate() -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that nobody trusts unless told to, and its key; made for this test run."""
    folder = Path(tempfile.mkdtemp(prefix="millstream-tls-"))
    atexit.register(shutil.rmtree, folder)
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=127.0.0.1"
    extension = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    subprocess.run([*command.split(), *extension], check=True, capture_output=True)
    return cert, key


def certified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate())
    return context


def asking(
    server: ModelServer, *, key: str = KEY, timeouts: Timeouts = PATIENT
) -> AbstractAsyncContextManager[OpenAIModel]:
    return openai_model(server.base_url, key=key, timeouts=timeouts)


@asynccontextmanager
async def asking_azure(server: ModelServer, *, key: str = KEY) -> AsyncIterator[OpenAIModel]:
    endpoint = azure_endpoint(endpoint=server.origin, deployment="fox", key=key, api_version="2024-10-21")
    model = OpenAIModel("fox", endpoint, timeouts=PATIENT)
    try:
        yield model
    finally:
        await model.close()


class OverSockets(ModelContract):
    dialect = Dialect()
    asking = staticmethod(asking)

    @asynccontextmanager
    async def model(self, script: Script, timeouts: Timeouts = PATIENT) -> AsyncIterator[ChatModel]:
        self.server = ModelServer(script, key=KEY, dialect=self.dialect)
        async with self.server, asking(self.server, timeouts=timeouts) as model:
            yield model

    async def asked(self) -> None:
        await self.server.asked()

    async def abandoned(self) -> int:
        given_up = time.monotonic()
        answer = self.server.answers[-1]
        async with asyncio.timeout(5):
            await answer.closed.wait()
        assert answer.disconnected_at is not None
        assert answer.disconnected_at - given_up < 1
        return answer.tokens


class TestOpenAI(OverSockets):
    pass


class TestOpenAIByteByByteWithCRLF(OverSockets):
    dialect = Dialect(newline="\r\n", write_bytes=1)


class TestThinkTags(OverSockets):
    dialect = Dialect(reasoning="think", newline="\r", write_bytes=7)


class TestTLS(OverSockets):
    @asynccontextmanager
    async def model(self, script: Script, timeouts: Timeouts = PATIENT) -> AsyncIterator[ChatModel]:
        self.server = ModelServer(script, key=KEY, tls=certified())
        async with self.server:
            endpoint = openai_endpoint(base_url=self.server.base_url, key=KEY, organization=None)
            trusting = ssl.create_default_context(cafile=certificate()[0])
            model = OpenAIModel("fox", endpoint, timeouts=timeouts, tls=trusting)
            yield model
            await model.close()


class TestAzure(OverSockets):
    dialect = Dialect(azure=True)

    @asynccontextmanager
    async def model(self, script: Script, timeouts: Timeouts = PATIENT) -> AsyncIterator[ChatModel]:
        async with ModelServer(script, key=KEY, dialect=self.dialect) as self.server:
            endpoint = azure_endpoint(endpoint=self.server.origin, deployment="fox", key=KEY, api_version="2024-10-21")
            model = OpenAIModel("fox", endpoint, timeouts=timeouts)
            yield model
            await model.close()


async def test_asks_only_for_what_was_set() -> None:
    async with ModelServer(Script.words("ok")) as server, asking(server) as model:
        await collect(model)
        await collect(model, ModelOptions(temperature=0.2, max_output_tokens=50, reasoning_effort="low"))
        plain, full = (answer.body for answer in server.answers)
    assert plain == {
        "model": "fox-1",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Which fox?"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert full == {**plain, "temperature": 0.2, "max_completion_tokens": 50, "reasoning_effort": "low"}


async def test_azure_is_asked_by_deployment_version_and_api_key() -> None:
    async with ModelServer(Script.words("ok"), key=KEY) as server, asking_azure(server) as model:
        await collect(model)
        answer = server.answers[0]
    assert answer.path == "/openai/deployments/fox/chat/completions?api-version=2024-10-21"
    assert answer.headers["api-key"] == KEY
    assert "Authorization" not in answer.headers


async def test_a_compatible_server_without_a_key_is_sent_none() -> None:
    async with ModelServer(Script.words("ok")) as server:
        model = OpenAIModel("m", openai_endpoint(base_url=server.base_url, key=None, organization=None))
        assert said(await collect(model)) == "ok"
        await model.close()
        assert "Authorization" not in server.answers[0].headers


async def test_the_environment_of_the_process_adds_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_ADMIN_KEY"):
        monkeypatch.setenv(name, "from-elsewhere")
    endpoint = openai_endpoint(base_url="http://127.0.0.1:9/v1", key=None, organization=None)
    assert "from-elsewhere" not in str(dict(endpoint.headers))


async def test_connections_are_used_again() -> None:
    async with ModelServer(Script.words("one two", rate=100)) as server, asking(server) as model:
        for _ in range(5):
            await collect(model)
        assert len({answer.client for answer in server.answers}) == 1


async def test_a_server_that_keeps_the_body_open_after_done_does_not_hold_the_answer_up() -> None:
    async with asking_raw(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
        b'data: {"choices":[{"delta":{"content":"Yes"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    ) as model:
        begun = time.monotonic()
        assert await collect(model) == [Text("Yes"), Finish("stop")]
        assert time.monotonic() - begun < 1


async def test_a_body_that_ends_shortly_after_done_leaves_the_connection_for_the_next_call() -> None:
    connections = 0
    frames = b'data: {"choices":[{"delta":{"content":"Yes"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        with suppress(asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                await reader.readexactly(length)
                writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                writer.write(b"%x\r\n%b\r\n" % (len(frames), frames))
                await writer.drain()
                await asyncio.sleep(0.01)
                writer.write(b"0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    endpoint = openai_endpoint(base_url=f"http://127.0.0.1:{port}/v1", key=None, organization=None)
    model = OpenAIModel("m", endpoint)
    for _ in range(3):
        assert await collect(model) == [Text("Yes"), Finish("stop")]
    await model.close()
    server.close()
    assert connections == 1


async def test_all_outputs_of_one_read_come_without_suspending() -> None:
    turned = False

    def turn() -> None:
        nonlocal turned
        turned = True

    frames = (
        b'data: {"choices":[{"delta":{"reasoning":"hm"}}]}\n\n'
        b'data: {"choices":[{"delta":{"content":"a "}}]}\n\n'
        b'data: {"choices":[{"delta":{"content":"b"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    )
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    async with asking_raw(head + frames) as model, aclosing(model.stream(PROMPT, PLAIN)) as outputs:
        assert await anext(outputs) == Reasoning("hm")
        asyncio.get_running_loop().call_soon(turn)
        assert [await anext(outputs), await anext(outputs)] == [Text("a b"), Finish("stop")]
        assert not turned


async def test_a_server_far_ahead_of_its_reader_is_held_up_and_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    held_up = 0
    pause = ResponseHandler.pause_reading

    def counted(connection: ResponseHandler) -> None:
        nonlocal held_up
        held_up += 1
        pause(connection)

    monkeypatch.setattr(ResponseHandler, "pause_reading", counted)
    words = [f"{number}:" + "x" * 60_000 for number in range(60)]  # far more than is buffered here and in the sockets
    texts: list[str] = []
    script = Script.of([SayText(text=each) for each in words])
    async with asyncio.timeout(20), ModelServer(script) as server, asking(server) as model:
        async for output in model.stream(PROMPT, PLAIN):
            if isinstance(output, Text):
                texts.append(output.text)
            for _ in range(20):  # turns of the loop in which it only reads from the socket
                await asyncio.sleep(0)
    assert "".join(texts) == "".join(words)
    assert held_up


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning", "think"])
async def test_reasoning_comes_in_three_forms(field: str) -> None:
    script = Script.of([SayReasoning(text="a fox, then"), SayText(text="Fox.")])
    dialect = Dialect(reasoning=field)  # type: ignore[arg-type]
    async with ModelServer(script, dialect=dialect) as server, asking(server) as model:
        outputs = merged(await collect(model))
    assert outputs == [Reasoning("a fox, then"), Text("Fox."), Finish("stop")]


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning", "think"])
async def test_a_server_that_does_not_stream_is_understood(field: str) -> None:
    count = CountTokens(input_tokens=3, output_tokens=2)
    script = Script.of([SayReasoning(text="hm"), SayText(text=FOX), count, End(reason="length")])
    dialect = Dialect(ignores_stream=True, reasoning=field)  # type: ignore[arg-type]
    async with ModelServer(script, dialect=dialect) as server, asking(server) as model:
        outputs = await collect(model)
    assert outputs == [Reasoning("hm"), Text(FOX), TokenUsage(3, 2, 0, 0), Finish("length")]


async def test_usage_is_not_lost_when_it_comes_with_or_after_the_finish_reason() -> None:
    count = CountTokens(input_tokens=3, output_tokens=2)
    for dialect in (Dialect(usage_with_finish=True), Dialect(azure=True), Dialect(done=False)):
        script = Script.of([SayText(text="x"), End(), Delay(seconds=0.02), count])
        async with ModelServer(script, dialect=dialect) as server, asking(server) as model:
            assert TokenUsage(3, 2, 0, 0) in await collect(model)


async def test_a_stream_without_finish_reason_but_with_done_counts_as_finished() -> None:
    async with ModelServer(Script.words("x"), dialect=Dialect(finish=False)) as server, asking(server) as model:
        assert (await collect(model))[-1] == Finish("stop")


async def test_a_stream_without_finish_reason_and_without_done_is_an_interruption() -> None:
    dialect = Dialect(finish=False, done=False)
    async with ModelServer(Script.words("x"), dialect=dialect) as server, asking(server) as model:
        outputs, failure = await collect_until_failure(model)
    assert said(outputs) == "x"
    assert failure.code == "model-interrupted"


async def test_comments_alone_are_not_words() -> None:
    dialect = Dialect(heartbeat_s=0.02)
    server = ModelServer(Script.of([Stall()]), dialect=dialect)
    async with server, asking(server, timeouts=SHORT) as model:
        _, failure = await collect_until_failure(model)
    assert failure.code == "model-timeout-first-token"


async def test_comments_between_words_are_passed_over() -> None:
    script = Script.of([SayText(text="a "), Delay(seconds=0.1), SayText(text="b")])
    async with ModelServer(script, dialect=Dialect(heartbeat_s=0.02)) as server, asking(server) as model:
        assert said(await collect(model)) == "a b"


async def test_the_key_is_never_in_a_message() -> None:
    script = Script.of([Refused(status=400, message=f"bad request by {KEY} and sk-abcdefghijk")])
    async with ModelServer(script) as server, asking(server) as model:
        _, failure = await collect_until_failure(model)
        assert repr(model._endpoint).count(KEY) == 0
    assert KEY not in failure.message
    assert "sk-" not in failure.message
    assert "bad request by" in failure.message


async def test_a_wrong_key_is_refused_with_host_and_status() -> None:
    async with ModelServer(Script.words("x"), key="other") as server, asking(server) as model:
        _, failure = await collect_until_failure(model)
        host = server.origin.removeprefix("http://")
    assert failure.message == f"{host} answered 401: the key is missing, wrong, or not allowed to use this model."


async def test_a_providers_long_message_is_trimmed() -> None:
    async with ModelServer(Script.of([Refused(status=400, message="long " * 1000)])) as server, asking(server) as model:
        _, failure = await collect_until_failure(model)
    assert len(failure.message) < 400


async def test_an_unknown_model_is_refused_in_the_services_words() -> None:
    async with ModelServer(Script.words("x"), models=frozenset({"other"})) as server, asking(server) as model:
        _, failure = await collect_until_failure(model)
    assert failure.code == "model-refused"
    assert "`fox-1` does not exist" in failure.message


async def test_an_unknown_deployment_is_refused_in_the_services_words() -> None:
    async with ModelServer(Script.words("x"), models=frozenset({"other"})) as server, asking_azure(server) as model:
        _, failure = await collect_until_failure(model)
    assert "deployment for this resource does not exist" in failure.message


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    endpoint = openai_endpoint(base_url=f"http://127.0.0.1:{port}/v1", key=None, organization=None)
    model = OpenAIModel("m", endpoint)
    _, failure = await collect_until_failure(model)
    await model.close()
    assert (failure.code, failure.retryable) == ("model-unavailable", True)
    assert f"127.0.0.1:{port} cannot be reached: connection refused" in failure.message


async def test_a_connection_that_does_not_come_about_times_out() -> None:
    with socket.socket() as full:  # a listener whose queue is full answers no further connection
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
            fillers.append(filler)
        endpoint = openai_endpoint(base_url=f"http://127.0.0.1:{port}/v1", key=None, organization=None)
        model = OpenAIModel("m", endpoint, timeouts=Timeouts(connect_s=0.2, first_token_s=5))
        _, failure = await collect_until_failure(model)
        await model.close()
        for filler in fillers:
            filler.close()
    assert (failure.code, failure.status, failure.retryable) == ("model-timeout-connect", 504, True)


async def test_a_certificate_that_is_not_trusted_is_refused() -> None:
    async with ModelServer(Script.words("x"), tls=certified()) as server, asking(server) as model:
        _, failure = await collect_until_failure(model)
        assert not server.answers
    assert failure.code == "model-unavailable"
    assert "its certificate is not trusted" in failure.message


async def test_a_redirect_is_not_followed() -> None:
    async with asking_raw(
        b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n"
    ) as model:
        _, failure = await collect_until_failure(model)
    assert failure.code == "model-refused"
    assert "redirects" in failure.message


async def test_a_web_page_is_not_an_answer() -> None:
    async with asking_raw(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>") as model:
        _, failure = await collect_until_failure(model)
    assert failure.code == "model-malformed"
    assert "web page" in failure.message


async def test_a_connection_lost_before_the_headers_is_unavailable() -> None:
    async with asking_raw(b"", close=True) as model:
        _, failure = await collect_until_failure(model)
    assert (failure.code, failure.retryable) == ("model-unavailable", True)


async def test_another_call_goes_on_when_one_is_given_up() -> None:
    async with ModelServer(Script.words("a b c d e f", rate=50)) as server, asking(server) as model:
        whole = asyncio.create_task(collect(model))
        async with aclosing(model.stream(PROMPT, PLAIN)) as outputs:
            await anext(outputs)
        assert said(await whole) == "a b c d e f"


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_close_ends_calls_in_progress(run: Callable[[Coroutine[None, None, None]], None]) -> None:
    run(_close_during_a_call())


async def _close_during_a_call() -> None:
    async with ModelServer(Script.words("w " * 1000, rate=50)) as server, asking(server) as model:
        task = asyncio.create_task(collect_until_failure(model))
        await server.asked()
        await model.close()
        await task
        await server.answers[0].closed.wait()
        assert server.answers[0].disconnected


async def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with ModelServer(Script.words("by proxy")) as proxy:
        monkeypatch.setenv("http_proxy", proxy.origin)
        monkeypatch.setenv("no_proxy", "")
        endpoint = openai_endpoint(base_url="http://model.invalid/v1", key=None, organization=None)
        model = OpenAIModel("m", endpoint)
        assert said(await collect(model)) == "by proxy"
        await model.close()
        assert proxy.answers[0].headers["Host"] == "model.invalid"


async def test_retry_after_of_a_rate_limit_over_the_wire() -> None:
    async with ModelServer(Script.of([RateLimited(retry_after=7)])) as server, asking(server) as model:
        _, failure = await collect_until_failure(model)
    assert failure.retry_after == 7
    assert "Try again in 7 s" in failure.message


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "3"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "3"}, 3),
        ({"retry-after": "Sun, 22 Nov 2026 12:00:30 GMT"}, 30),
        ({"retry-after": "Sun, 22 Nov 2026 11:00:00 GMT"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "-4"}, None),
        ({"retry-after": "tomorrow"}, None),
    ],
)
def test_retry_after_is_read_in_every_form(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers, datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)) == seconds


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"detail": "Not Found"}, "Not Found"),
        ({"detail": [{"loc": ["body", "messages"], "msg": "Field required", "type": "missing"}]},
         "body.messages: Field required"),
        ({"detail": [5]}, None),
        ([{"error": {"message": "API key not valid.", "code": 400}}], "API key not valid."),
        ([], None),
        (5, None),
    ],
)  # fmt: skip
def test_what_an_error_body_says_is_found_in_many_shapes(body: object, said: str | None) -> None:
    assert error_detail(json.dumps(body).encode()).message == said


@asynccontextmanager
async def asking_raw(answer: bytes, *, close: bool = False) -> AsyncIterator[OpenAIModel]:
    """A model whose server sends these very bytes, and keeps the connection open unless told to close."""
    hold = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        if not close:
            await hold.wait()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        async with openai_model(f"http://127.0.0.1:{port}/v1", timeouts=SHORT) as model:
            yield model
    finally:
        hold.set()
        server.close()
