"""The deadlines of a model call against peers that break them in ways of their own, over real sockets."""

import asyncio
import gc
import json
import socket
import threading
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, contextmanager, suppress

import pytest
import uvloop
from model_contract import PLAIN, PROMPT, collect, collect_until_failure, said
from openai_models import openai_model

from millstream.errors import ModelError
from millstream.models import Finish, ModelOutput, openai
from millstream.models.openai import OpenAIModel
from millstream.models.timeouts import Timeouts

# Long enough for a busy machine to keep, and a while behind it.
LIMIT_S = 1.0
OVER_S = 1.3
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def word(text: str, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return chunked(b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n")


def asking(port: int, timeouts: Timeouts) -> AbstractAsyncContextManager[OpenAIModel]:
    return openai_model(f"http://127.0.0.1:{port}/v1", timeouts=timeouts)


@contextmanager
def peer_in_a_thread(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    """A peer that does not wait for our loop; its port."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                talk(connection)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.close()
        thread.join()


@pytest.mark.parametrize(
    ("beginning", "code"),
    [
        (b"", "model-timeout-first-token"),
        (word("x"), "model-timeout-between-tokens"),
        (word("x", "stop"), None),
        (word("x", "stop") + chunked(b"data: [DONE]\n\n"), None),
    ],
    ids=["first token", "next token", "usage", "end of the body"],
)
def test_comments_without_pause_are_no_answer(
    beginning: bytes, code: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai, "TAIL_S", LIMIT_S)

    async def ask(port: int) -> tuple[list[ModelOutput], ModelError | None]:
        async with asyncio.timeout(30), asking(port, Timeouts(5, LIMIT_S, LIMIT_S)) as model:
            if code is None:
                return await collect(model), None
            return await collect_until_failure(model)

    def flood(connection: socket.socket) -> None:
        connection.sendall(HEAD + beginning)
        while True:
            connection.sendall(chunked(b": ping\n\n") * 100)

    with peer_in_a_thread(flood) as port:
        outputs, failure = uvloop.run(ask(port))
    assert said(outputs) == ("x" if beginning else "")
    if failure is None:
        assert outputs[-1] == Finish("stop")
    else:
        assert failure.code == code


@asynccontextmanager
async def peer(answer: Callable[[asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await answer(writer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    ("timeouts", "pause_at"),
    [(Timeouts(5, LIMIT_S, 5), 1), (Timeouts(5, 5, LIMIT_S), 2)],
    ids=["first token", "next token"],
)
async def test_a_pause_of_the_consumer_is_not_the_models_silence(timeouts: Timeouts, pause_at: int) -> None:
    taken: asyncio.Queue[None] = asyncio.Queue()

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD)
        for text in ("one ", "two "):
            writer.write(word(text))
            await taken.get()
        writer.write(word("three", "stop") + chunked(b"data: [DONE]\n\n") + b"0\r\n\r\n")

    outputs = []
    async with peer(answer) as port, asking(port, timeouts) as model, aclosing(model.stream(PROMPT, PLAIN)) as stream:
        async for output in stream:
            outputs.append(output)
            if len(outputs) == pause_at:
                await asyncio.sleep(OVER_S)
            taken.put_nowait(None)
    assert said(outputs) == "one two three"


async def test_a_connection_that_breaks_while_the_consumer_pauses_is_told_as_that() -> None:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + word("one"))
        await writer.drain()
        writer.transport.abort()

    async def read(model: OpenAIModel) -> None:
        async with aclosing(model.stream(PROMPT, PLAIN)) as stream:
            async for _ in stream:
                await asyncio.sleep(OVER_S)

    async with peer(answer) as port, asking(port, Timeouts(5, LIMIT_S, LIMIT_S)) as model:
        with pytest.raises(ModelError) as failure:
            await read(model)
    assert failure.value.code == "model-interrupted"


async def test_a_body_that_breaks_its_own_form_is_told_at_once() -> None:
    read = asyncio.Event()

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + word("one"))
        await read.wait()
        writer.write(b"upstream timed out\r\n")
        await writer.drain()
        await never.wait()

    never = asyncio.Event()
    async with asyncio.timeout(30), peer(answer) as port, asking(port, Timeouts(5, 60, 60)) as model:
        with pytest.raises(ModelError) as failure:  # noqa: PT012
            async with aclosing(model.stream(PROMPT, PLAIN)) as stream:
                async for _ in stream:
                    read.set()
        never.set()
    assert failure.value.code == "model-interrupted"


async def test_what_came_before_a_body_broke_its_form_counts() -> None:
    async def answer(writer: asyncio.StreamWriter) -> None:
        done = chunked(b"data: [DONE]\n\n")
        writer.write(HEAD + word("one", "stop") + done + b"upstream timed out\r\n")

    async with peer(answer) as port, asking(port, Timeouts(5, 5, 5)) as model:
        assert said(await collect(model)) == "one"


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_a_block_of_the_loop_is_not_the_models_silence(run: Callable[[Coroutine[None, None, None]], None]) -> None:
    blocked, sent, taken = threading.Event(), threading.Event(), threading.Event()

    def talk(connection: socket.socket) -> None:
        connection.sendall(HEAD + word("one "))
        blocked.wait(5)
        connection.sendall(word("two "))
        sent.set()
        taken.wait(5)
        connection.sendall(word("three", "stop") + chunked(b"data: [DONE]\n\n") + b"0\r\n\r\n")

    def block() -> None:
        blocked.set()
        sent.wait(5)
        time.sleep(OVER_S)

    async def ask(port: int) -> None:
        async with asking(port, Timeouts(5, 5, LIMIT_S)) as model:
            outputs = []
            async for output in model.stream(PROMPT, PLAIN):
                outputs.append(output)
                if blocked.is_set():
                    taken.set()
                else:
                    asyncio.get_running_loop().call_soon(block)
        assert said(outputs) == "one two three"

    with peer_in_a_thread(talk) as port:
        run(ask(port))


async def test_words_behind_the_finish_reason_are_waited_for_while_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai, "TAIL_S", LIMIT_S)

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + word("a", "stop"))
        for _ in range(4):
            await asyncio.sleep(LIMIT_S / 3)
            writer.write(word("b"))
        writer.write(chunked(b"data: [DONE]\n\n") + b"0\r\n\r\n")

    async with peer(answer) as port, asking(port, Timeouts(5, 5, 5)) as model:
        assert said(await collect(model)) == "abbbb"


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf", b" \n"])
async def test_a_whole_answer_is_known_behind_a_mark_or_white_space(mark: bytes) -> None:
    body = mark + b'{"choices":[{"message":{"content":"whole"},"finish_reason":"stop"}]}'

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + chunked(body) + b"0\r\n\r\n")

    async with peer(answer) as port, asking(port, Timeouts(5, 5, 5)) as model:
        assert said(await collect(model)) == "whole"


async def test_a_call_that_failed_leaves_nothing_for_the_garbage_collector() -> None:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + word("one") + chunked(b"data: {\n\n") + b"0\r\n\r\n")

    async def failure_of(model: OpenAIModel) -> weakref.ref[ModelError]:
        try:
            await collect(model)
        except ModelError as error:
            return weakref.ref(error)
        raise AssertionError("it must fail")

    async with peer(answer) as port, asking(port, Timeouts(5, 5, 5)) as model:
        gc.disable()
        try:
            failure = await failure_of(model)
            await asyncio.sleep(0)
            assert failure() is None
        finally:
            gc.enable()
