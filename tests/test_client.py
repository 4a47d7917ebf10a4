"""The clients: events once, through every cut; refusals in the server's own words."""

import asyncio
import concurrent.futures
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from starlette.types import ASGIApp, Receive, Scope, Send

import millstream.client.asynchronous
import millstream.client.blocking
import millstream.client.connection
from core import until
from demanding import Demanding
from millstream import AsyncClient, Client, Millstream
from millstream.client.loop import LoopThread
from millstream.errors import InputError, ModelError, RunError, Unavailable
from millstream.events import AnyEvent, Data, RunFailed, RunFinished, RunStopped, TextDelta
from serving import CuttingProxy, Server, serving, within

T = TypeVar("T")


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(millstream.client.asynchronous, "BACKOFF_S", (0.0,))


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(tmp_path) as server:
        yield server


@pytest.fixture
async def client(server: Server) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(server.url + "/") as client:
        yield client


async def all_of(client: AsyncClient, **request: object) -> list[AnyEvent]:
    return [event async for event in client.run("Why?", **request)]


async def test_stream_yields_the_events_of_a_run_to_its_end(server: Server, client: AsyncClient) -> None:
    asked = asyncio.create_task(all_of(client))
    telling = await server.told.next()
    telling.run.write("Hello")
    telling.end()
    events = await within(asked)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert isinstance(events[-1], RunFinished)


async def test_a_failed_run_is_an_event_of_the_stream(server: Server, client: AsyncClient) -> None:
    asked = asyncio.create_task(all_of(client))
    (await server.told.next()).fail(RunError("No credit left.", code="no-credit"))
    last = (await within(asked))[-1]
    assert isinstance(last, RunFailed)
    assert last.code == "no-credit"


async def test_run_returns_the_whole_answer(server: Server, client: AsyncClient) -> None:
    asked = asyncio.create_task(client.run("Why?").final())
    telling = await server.told.next()
    telling.run.write("Hello")
    telling.end()
    assert (await within(asked)).message.content == "Hello"


async def test_final_tells_how_a_run_failed(server: Server, client: AsyncClient) -> None:
    asked = asyncio.create_task(client.run("Why?").final())
    error = ModelError("Too many.", code="model-rate-limited", retryable=True, retry_after=3)
    (await server.told.next()).fail(error)
    found = await within(asked)
    assert found.state == "failed"
    assert found.message.error is not None
    assert (found.message.error.code, found.message.error.retry_after) == ("model-rate-limited", 3)


async def test_the_words_alone(server: Server, client: AsyncClient) -> None:
    run = client.run("Why?")
    words = asyncio.create_task(anext(run.text_stream))
    telling = await server.told.next()
    telling.run.write("Hello ")
    assert await within(words) == "Hello "
    telling.run.write("world")
    telling.end()
    assert [text async for text in run.text_stream] == ["world"]
    assert (await run.final()).message.content == "Hello world"


async def test_a_run_can_be_followed_from_a_cursor_and_its_whole_answer_had(
    server: Server, client: AsyncClient
) -> None:
    run = client.run("Why?", run_id="r1")
    first = asyncio.create_task(anext(run))
    telling = await server.told.next()
    telling.run.write("Hello")
    await within(first)
    again = client.follow("r1", after=1)
    assert isinstance(await within(anext(again)), TextDelta)
    telling.end()
    assert (await within(again.final())).message.content == "Hello"
    assert [event async for event in client.follow("r1", after=(await run.final()).seq)] == []


async def test_conversations_can_be_listed_and_opened(server: Server, client: AsyncClient) -> None:
    asked = asyncio.create_task(client.run("Why?").final())
    telling = await server.told.next()
    telling.run.write("Because.")
    telling.end()
    ended = await within(asked)
    [head] = await client.conversations()
    assert (head.conversation_id, head.title) == (ended.conversation_id, "Why?")
    question, answer = (await client.conversation(ended.conversation_id)).branch()
    assert question.content == "Why?"
    assert answer.run == ended


# Without asyncio


def in_thread(work: Callable[[], T]) -> Awaitable[T]:
    return within(asyncio.to_thread(work))


async def test_the_blocking_client_iterates_stops_and_follows(server: Server) -> None:
    with Client(server.url) as client:
        run = client.run("Why?", run_id="r1")
        first = asyncio.create_task(asyncio.to_thread(next, run))
        telling = await server.told.next()
        assert (await within(first)).seq == 1
        telling.run.write("Hello")
        assert await in_thread(lambda: next(iter(run.text_stream))) == "Hello"
        stopped = await in_thread(lambda: run.stop(seen=2))
        assert (stopped.state, stopped.message.content) == ("stopped", "He")
        assert await in_thread(run.final) == stopped
        assert await in_thread(lambda: client.snapshot("r1")) == stopped
        assert [event.seq for event in await in_thread(lambda: list(client.follow("r1")))] == list(
            range(1, stopped.seq + 1)
        )
        [head] = await in_thread(client.conversations)
        found = await in_thread(lambda: client.conversation(head.conversation_id))
        assert found.branch()[-1].run == stopped


@pytest.mark.parametrize("arrived", [False, True])
async def test_ctrl_c_in_the_blocking_client_loses_no_event(
    server: Server, monkeypatch: pytest.MonkeyPatch, arrived: bool
) -> None:
    """Ctrl-C hits at any moment: before the event that is waited for has come, or when it is there."""
    real = concurrent.futures.wait

    def interrupted(reading: list[Any]) -> None:
        monkeypatch.undo()
        if arrived:
            real(reading)
        raise KeyboardInterrupt

    with Client(server.url) as client:
        stream = client.run("Why?")
        asked = asyncio.create_task(asyncio.to_thread(next, stream))
        telling = await server.told.next()
        seqs = [(await within(asked)).seq]
        monkeypatch.setattr(millstream.client.blocking, "wait", interrupted)
        telling.run.write("word")
        with pytest.raises(KeyboardInterrupt):
            await asyncio.to_thread(lambda: next(stream))
        telling.end()
        seqs += [event.seq for event in await asyncio.to_thread(list, stream)]
        snapshot = await asyncio.to_thread(stream.final)
    assert seqs == list(range(1, snapshot.seq + 1))
    assert snapshot.message.content == "word"


async def test_the_blocking_client_may_be_left_in_the_middle(server: Server) -> None:
    with Client(server.url) as client:
        run = client.run("Why?")
        first = asyncio.create_task(asyncio.to_thread(next, run))
        telling = await server.told.next()
        await within(first)
        await in_thread(client.close)
    telling.end()
    await in_thread(client.close)


async def test_the_blocking_client_raises_refusals(server: Server) -> None:
    with Client(server.url) as client, pytest.raises(InputError, match="poet"):
        await in_thread(client.run("Why?", answer="poet").final)


def test_importing_the_client_loads_nothing_of_the_server() -> None:
    script = """
import sys, millstream.client
server = "starlette uvicorn openai numpy onnxruntime pydantic sqlite3 millstream.server millstream.run".split()
print([name for name in server if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


async def test_stop_returns_the_snapshot_and_ends_the_stream(server: Server, client: AsyncClient) -> None:
    asked = asyncio.create_task(all_of(client, run_id="r1"))
    telling = await server.told.next()
    telling.run.write("Hello")
    stopped = await client.stop("r1", seen=2)
    assert (stopped.state, stopped.message.content) == ("stopped", "He")
    assert (await within(asked))[-1].seq == stopped.seq
    assert await client.snapshot("r1") == stopped


async def test_an_event_may_be_larger_than_any_buffer(server: Server, client: AsyncClient) -> None:
    asked = asyncio.create_task(all_of(client))
    telling = await server.told.next()
    telling.run.data("big", "x" * 3_000_000)
    telling.end()
    events = await within(asked)
    assert isinstance(events[1], Data)
    assert len(events[1].data) == 3_000_000


async def test_a_reader_who_leaves_the_loop_leaves_the_run(server: Server, client: AsyncClient) -> None:
    async with client.run("Why?", run_id="r1") as events:
        assert (await anext(events)).seq == 1
    telling = await server.told.next()
    telling.end()
    async with client.run("Why?", run_id="r1") as events:
        assert isinstance([event async for event in events][-1], RunFinished)


# Refusals


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        ({}, 400, "invalid-request"),
        ({"question": "x", "answer": "poet"}, 400, "unknown-answer"),
        ({"question": "x", "conversation_id": "none"}, 404, "no-conversation"),
    ],
)
async def test_a_refusal_has_the_servers_words_and_is_not_tried_again(
    client: AsyncClient, request_: dict[str, object], status: int, code: str
) -> None:
    for call in (client.run(**request_).final(), anext(client.run(**request_))):
        with pytest.raises(InputError) as refused:
            await within(call)
        assert (refused.value.status, refused.value.code) == (status, code)


@pytest.mark.parametrize("odd", ["../status", "a/b", "a?b#c", "", "..", "é", "x" * 65])
async def test_an_id_never_leads_to_another_address(client: AsyncClient, odd: str) -> None:
    calls = {
        "no-run": [client.snapshot(odd), client.stop(odd), client.follow(odd).final()],
        "no-conversation": [client.conversation(odd)],
    }
    for code, asked in calls.items():
        for call in asked:
            with pytest.raises(InputError) as refused:
                await within(call)
            assert (refused.value.status, refused.value.code) == (404, code)


async def test_a_busy_server_is_told_at_once_with_its_retry_after(tmp_path: Path) -> None:
    async with serving(tmp_path, max_running=1) as server, AsyncClient(server.url) as client:
        asked = asyncio.create_task(all_of(client))
        telling = await server.told.next()
        with pytest.raises(Unavailable) as refused:
            await all_of(client)
        assert (refused.value.code, refused.value.retry_after) == ("busy", 2)
        telling.end()
        await within(asked)


async def test_nobody_there_is_told_at_once() -> None:
    async with AsyncClient("http://127.0.0.1:1") as client:
        for call in (
            client.run("Why?").final(),
            client.snapshot("x"),
            anext(client.run("Why?")),
        ):
            with pytest.raises(Unavailable, match=r"^http://127\.0\.0\.1:1 cannot be reached: Connection refused\.$"):
                await within(call)


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://localhost", "http://", "http://[", "nonsense", ""])
async def test_what_is_no_address_is_told_at_once(url: str) -> None:
    async with AsyncClient(url) as client:
        with pytest.raises(InputError, match="address of a server"):
            await within(client.snapshot("x"))


@pytest.mark.parametrize(
    ("authorization", "given"),
    [
        ("Bearer s3cret", {"token": "s3cret"}),
        ("Basic YW5uOnMvM2NyZXQ=", {"name": "ann:s%2F3cret@"}),
        ("Basic YW5uOg==", {"name": "ann@"}),
        ("Key s3cret", {"headers": {"Authorization": "Key s3cret"}}),
    ],
)
async def test_whoever_stands_before_the_server_is_told_who_asks_with_every_request(
    tmp_path: Path, authorization: str, given: dict[str, Any]
) -> None:
    name = given.pop("name", "")
    async with (
        serving(tmp_path, app=lambda ours: Demanding(ours.app, authorization)) as server,
        CuttingProxy(server.port, [600]).running() as proxy,
        AsyncClient(f"http://{name}127.0.0.1:{proxy.port}", **given) as client,
    ):
        asked = asyncio.create_task(all_of(client, run_id="r1"))
        telling = await server.told.next()
        telling.run.write("word " * 200)
        await until(lambda: "r1" in server.millstream.supervisor._live)
        await within(client.stop("r1"))
        assert isinstance((await within(asked))[-1], RunStopped)
        assert len(await within(client.conversations())) == 1


@pytest.mark.parametrize("given", [{}, {"token": "wr0ng"}])
async def test_who_lacks_the_token_is_told_so(tmp_path: Path, given: dict[str, str]) -> None:
    async with (
        serving(tmp_path, app=lambda ours: Demanding(ours.app, "Bearer s3cret")) as server,
        AsyncClient(server.url, **given) as client,
    ):
        with pytest.raises(InputError, match="wants a token") as refused:
            await all_of(client)
        assert (refused.value.status, refused.value.code) == (401, "http-error")


# Cuts (that nothing is lost or doubled, wherever they fall, is shown in tests/server/test_resuming.py)


async def test_a_server_that_goes_away_for_good_is_given_up_after_some_attempts(tmp_path: Path) -> None:
    async with (
        serving(tmp_path) as server,
        CuttingProxy(server.port, [600] + [0] * 100).running() as proxy,
        AsyncClient(proxy.url) as client,
    ):
        asked = asyncio.create_task(all_of(client))
        (await server.told.next()).run.write("word " * 200)
        with pytest.raises(Unavailable, match="cannot be reached"):
            await within(asked)


@asynccontextmanager
async def imitation(*answers: tuple[int, bytes]) -> AsyncIterator[tuple[str, list[str]]]:
    """A server that is none of ours: gives these answers in their order, the last one for ever."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(f"{request.method} {request.path_qs}")
        status, body = answers[min(len(asked), len(answers)) - 1]
        return web.Response(status=status, body=body)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", asked
    finally:
        await runner.cleanup()


STARTED = (
    b'{"type":"run.started","seq":1,"at":0,"format":1,"run_id":"r","conversation_id":"c","message_id":"m",'
    b'"model":"x","created":0}\n'
)
WORD = b'{"type":"text.delta","seq":2,"at":0,"text":"Hi"}\n'
FINISHED = b'{"type":"run.finished","seq":4,"at":0}\n'


async def test_it_resumes_after_the_last_event_that_it_has_and_passes_over_repeated_and_unknown_ones() -> None:
    unknown = b'{"type":"run.sung","seq":3,"at":0}\n'
    answers = (200, STARTED + b"\n" + WORD + WORD[:20]), (200, WORD + unknown + FINISHED)
    async with imitation(*answers) as (url, asked), AsyncClient(url) as client:
        events = await within(all_of(client, run_id="r"))
    assert [event.seq for event in events] == [1, 2, 4]
    assert asked == ["POST /api/runs", "GET /api/runs/r/events?after=2"]
    assert isinstance(events[1], TextDelta)


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_a_proxy_whose_server_is_away_for_a_moment_is_waited_for(status: int) -> None:
    away = (status, b"<html>Bad gateway</html>")
    async with (
        imitation((200, STARTED), away, away, (200, WORD + FINISHED)) as (url, asked),
        AsyncClient(url) as client,
    ):
        assert [event.seq for event in await within(all_of(client, run_id="r"))] == [1, 2, 4]
    assert len(asked) == 4


@pytest.mark.parametrize("answer", [(200, b""), (204, b""), (200, b"\n\n")])
async def test_streams_that_end_without_an_event_again_and_again_are_given_up(answer: tuple[int, bytes]) -> None:
    async with imitation((200, STARTED), answer) as (url, asked), AsyncClient(url) as client:
        with pytest.raises(Unavailable, match="again and again"):
            await within(all_of(client))
    assert len(asked) == millstream.client.asynchronous.ATTEMPTS + 1


@pytest.mark.parametrize(("status", "code"), [(409, "cursor-ahead"), (410, "gone")])
async def test_events_that_were_lost_with_their_server_are_told_as_an_error_of_the_run(status: int, code: str) -> None:
    problem = b'{"status":%d,"code":"%b","detail":"Start again from the snapshot."}' % (status, code.encode())
    async with imitation((200, STARTED), (status, problem)) as (url, _), AsyncClient(url) as client:
        with pytest.raises(RunError) as failed:
            await within(all_of(client))
    assert (failed.value.code, failed.value.status) == (code, status)


async def test_final_takes_what_is_left_of_a_run_whose_last_events_were_lost() -> None:
    problem = b'{"status":409,"code":"cursor-ahead","detail":"Start again from the snapshot."}'
    left = (
        b'{"run_id":"r","conversation_id":"c","message_id":"m","model":"x","created":0,"state":"failed","seq":2,'
        b'"message":{"content":"Hi","steps":[],"sources":[],"citations":[],"followups":[]}}'
    )
    async with imitation((200, STARTED), (409, problem), (200, left)) as (url, asked), AsyncClient(url) as client:
        found = await within(client.run("Why?", run_id="r").final())
    assert (found.state, found.message.content) == ("failed", "Hi")
    assert asked[-1] == "GET /api/runs/r"


async def test_a_server_that_falls_silent_is_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server of ours sends a heartbeat; a stream without any is read again elsewhere."""
    monkeypatch.setattr(millstream.client.connection, "SILENCE_S", 0.3)
    monkeypatch.setattr(millstream.client.asynchronous, "ATTEMPTS", 1000)
    paths: list[str] = []

    def noting(ours: Millstream) -> ASGIApp:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            paths.append(scope["path"])
            await ours.app(scope, receive, send)

        return app

    async with serving(tmp_path, heartbeat=60, app=noting) as server, AsyncClient(server.url) as client:
        asked = asyncio.create_task(all_of(client, run_id="r1"))
        telling = await server.told.next()
        await until(lambda: "/api/runs/r1/events" in paths)
        telling.end()
        assert isinstance((await within(asked))[-1], RunFinished)


# Reads that are cancelled, and clients that are closed


async def test_a_read_that_is_cancelled_loses_nothing(server: Server, client: AsyncClient) -> None:
    run = client.run("Why?")
    with pytest.raises(TimeoutError):  # nothing has been asked yet, or the first event has not come
        await asyncio.wait_for(anext(run), 0)
    events = [await within(anext(run))]
    telling = await server.told.next()
    for word in ("Hello ", "world"):
        reading = asyncio.create_task(anext(run))
        await until(lambda reading=reading: reading._fut_waiter is not None)  # type: ignore[attr-defined]
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        telling.run.write(word)
        events.append(await within(anext(run)))
    telling.end()
    events += [event async for event in run]
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    final = await within(run.final())
    assert (final.state, final.message.content) == ("finished", "Hello world")


async def test_final_of_a_stream_that_was_left_or_cut_is_the_whole_answer(server: Server, client: AsyncClient) -> None:
    run = client.run("Why?")
    first = asyncio.create_task(anext(run))
    telling = await server.told.next()
    await within(first)
    await run.close()
    asked = asyncio.create_task(run.final())
    telling.run.write("Hello")
    telling.end()
    found = await within(asked)
    assert (found.state, found.message.content) == ("finished", "Hello")


async def test_closing_the_blocking_client_ends_the_reads_of_other_threads(server: Server) -> None:
    client = Client(server.url)
    run = client.run("Why?")
    reading = asyncio.create_task(asyncio.to_thread(list, run))
    telling = await server.told.next()
    await until(lambda: run.seq == 1)
    await in_thread(client.close)
    with pytest.raises(Unavailable, match="was closed"):
        await within(reading)
    telling.end()


async def test_threads_that_make_the_first_call_together_share_one_loop(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    both = threading.Barrier(2)

    class Slow(LoopThread):
        def __init__(self, name: str) -> None:
            made.append(name)
            with suppress(threading.BrokenBarrierError):
                both.wait(0.2)  # long enough for another to come here too, were it let in
            super().__init__(name)

    monkeypatch.setattr(millstream.client.blocking, "LoopThread", Slow)
    with Client(server.url) as client:
        await asyncio.gather(*(in_thread(client.conversations) for _ in range(2)))
    assert len(made) == 1


# What is no server of ours


@pytest.mark.parametrize("body", [b"<html>\nHello</html>\n", b'{"hello": 1}\n'])
async def test_another_web_server_is_told_as_such(body: bytes) -> None:
    async with imitation((200, body)) as (url, _), AsyncClient(url) as client:
        with pytest.raises(InputError, match="is no Millstream server"):
            await within(all_of(client))


async def test_a_web_page_and_a_redirect_are_told_as_such() -> None:
    async def answer(request: web.Request) -> web.Response:
        if request.path == "/api/conversations":
            return web.Response(text="<html>Hello</html>", content_type="text/html")
        raise web.HTTPFound("https://login.example/in?secret=1")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as other, AsyncClient(str(other.make_url("/"))) as client:
        with pytest.raises(InputError, match="web page"):
            await within(client.conversations())
        with pytest.raises(InputError, match=r"redirects to https://login\.example/in\. "):
            await within(all_of(client))


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize(
    ("url", "given", "told"),
    [
        ("http://a", {"token": "a\nb"}, "token holds"),
        ("http://a", {"headers": {"X-Key": "a\r\nb"}}, "header X-Key holds"),
        ("http://ann:secret@a", {"token": "b"}, "token and a password"),
    ],
)
def test_what_no_header_can_hold_is_told_at_once(
    kind: type[Client] | type[AsyncClient], url: str, given: dict[str, Any], told: str
) -> None:
    with pytest.raises(InputError, match=told):
        kind(url, **given)


async def test_a_client_may_be_used_in_one_event_loop_after_another(server: Server) -> None:
    client = AsyncClient(server.url)

    async def used() -> None:
        assert await client.conversations() == []

    for _ in range(2):
        await in_thread(lambda: asyncio.run(used()))
    await in_thread(lambda: asyncio.run(client.close()))
