"""`Client`: events once, through every cut; refusals in the server's own words."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from starlette.requests import HTTPConnection

import millstream.client
from core import until
from millstream import Client
from millstream.errors import Forbidden, InputError, ModelError, RunError, Unavailable
from millstream.events import AnyEvent, Data, RunFailed, RunFinished, TextDelta
from serving import CuttingProxy, Server, Told, serving, within


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(millstream.client, "BACKOFF_S", (0.0,))


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(tmp_path) as server:
        yield server


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    async with Client(server.url + "/") as client:
        yield client


async def all_of(client: Client, **request: object) -> list[AnyEvent]:
    return [event async for event in client.stream({"question": "Why?", **request})]


async def test_stream_yields_the_events_of_a_run_to_its_end(server: Server, client: Client) -> None:
    asked = asyncio.create_task(all_of(client))
    telling = await server.told.next()
    telling.run.write("Hello")
    telling.end()
    events = await within(asked)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert isinstance(events[-1], RunFinished)


async def test_a_failed_run_is_an_event_of_the_stream(server: Server, client: Client) -> None:
    asked = asyncio.create_task(all_of(client))
    (await server.told.next()).fail(RunError("No credit left.", code="no-credit"))
    last = (await within(asked))[-1]
    assert isinstance(last, RunFailed)
    assert last.code == "no-credit"


async def test_run_returns_the_whole_answer(server: Server, client: Client) -> None:
    asked = asyncio.create_task(client.run({"question": "Why?"}))
    telling = await server.told.next()
    telling.run.write("Hello")
    telling.end()
    assert (await within(asked)).message.content == "Hello"


async def test_run_raises_what_the_run_failed_with(server: Server, client: Client) -> None:
    asked = asyncio.create_task(client.run({"question": "Why?"}))
    error = ModelError("Too many.", code="model-rate-limited", retryable=True, retry_after=3)
    (await server.told.next()).fail(error)
    with pytest.raises(RunError) as failed:
        await within(asked)
    found = failed.value
    assert (found.code, found.status, found.retryable, found.retry_after) == ("model-rate-limited", 429, True, 3)
    assert found.message == "Too many."


async def test_stop_returns_the_snapshot_and_ends_the_stream(server: Server, client: Client) -> None:
    asked = asyncio.create_task(all_of(client, run_id="r1"))
    telling = await server.told.next()
    telling.run.write("Hello")
    stopped = await client.stop("r1", seen=2)
    assert (stopped.state, stopped.message.content) == ("stopped", "He")
    assert (await within(asked))[-1].seq == stopped.seq
    assert await client.snapshot("r1") == stopped


async def test_an_event_may_be_larger_than_any_buffer(server: Server, client: Client) -> None:
    asked = asyncio.create_task(all_of(client))
    telling = await server.told.next()
    telling.run.data("big", "x" * 3_000_000)
    telling.end()
    events = await within(asked)
    assert isinstance(events[1], Data)
    assert len(events[1].data) == 3_000_000


async def test_a_reader_who_leaves_the_loop_leaves_the_run(server: Server, client: Client) -> None:
    async with aclosing(client.stream({"question": "Why?", "run_id": "r1"})) as events:
        assert (await anext(events)).seq == 1
    telling = await server.told.next()
    telling.end()
    async with aclosing(client.stream({"question": "Why?", "run_id": "r1"})) as events:
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
    client: Client, request_: dict[str, object], status: int, code: str
) -> None:
    for call in (client.run(request_), anext(client.stream(request_))):
        with pytest.raises(InputError) as refused:
            await within(call)
        assert (refused.value.status, refused.value.code) == (status, code)


async def test_a_busy_server_is_told_at_once_with_its_retry_after(tmp_path: Path) -> None:
    async with serving(tmp_path, max_running=1) as server, Client(server.url) as client:
        asked = asyncio.create_task(all_of(client))
        telling = await server.told.next()
        with pytest.raises(Unavailable) as refused:
            await all_of(client)
        assert (refused.value.code, refused.value.retry_after) == ("busy", 2)
        telling.end()
        await within(asked)


async def test_nobody_there_is_told_at_once() -> None:
    async with Client("http://127.0.0.1:1") as client:
        for call in (
            client.run({"question": "Why?"}),
            client.snapshot("x"),
            anext(client.stream({"question": "Why?"})),
        ):
            with pytest.raises(Unavailable, match=r"http://127\.0\.0\.1:1 cannot be reached"):
                await within(call)


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://localhost", "http://", "nonsense", ""])
async def test_what_is_no_address_is_told_at_once(url: str) -> None:
    async with Client(url) as client:
        with pytest.raises(InputError, match="address of a server"):
            await within(client.snapshot("x"))


async def test_the_token_is_sent_as_a_bearer_token(tmp_path: Path) -> None:
    def by_token(connection: HTTPConnection) -> str:
        if connection.headers.get("authorization") != "Bearer ann":
            raise Forbidden("Sign in first.")
        return "ann"

    told = Told()
    async with serving(tmp_path, told.answer, identify=by_token) as server:
        async with Client(server.url) as client:
            with pytest.raises(InputError, match="Sign in first") as refused:
                await all_of(client)
            assert refused.value.status == 403
        async with Client(server.url, token="ann") as client:
            asked = asyncio.create_task(all_of(client))
            (await told.next()).end()
            await within(asked)


# Cuts (that nothing is lost or doubled, wherever they fall, is shown in tests/server/test_resuming.py)


async def test_a_server_that_goes_away_for_good_is_given_up_after_some_attempts(tmp_path: Path) -> None:
    async with (
        serving(tmp_path) as server,
        CuttingProxy(server.port, [600] + [0] * 100).running() as proxy,
        Client(proxy.url) as client,
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
    async with imitation(*answers) as (url, asked), Client(url) as client:
        events = await within(all_of(client, run_id="r"))
    assert [event.seq for event in events] == [1, 2, 4]
    assert asked == ["POST /api/runs", "GET /api/runs/r/events?after=2"]
    assert isinstance(events[1], TextDelta)


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_a_proxy_whose_server_is_away_for_a_moment_is_waited_for(status: int) -> None:
    away = (status, b"<html>Bad gateway</html>")
    async with imitation((200, STARTED), away, away, (200, WORD + FINISHED)) as (url, asked), Client(url) as client:
        assert [event.seq for event in await within(all_of(client, run_id="r"))] == [1, 2, 4]
    assert len(asked) == 4


@pytest.mark.parametrize("answer", [(200, b""), (204, b""), (200, b"\n\n")])
async def test_streams_that_end_without_an_event_again_and_again_are_given_up(answer: tuple[int, bytes]) -> None:
    async with imitation((200, STARTED), answer) as (url, asked), Client(url) as client:
        with pytest.raises(Unavailable, match="again and again"):
            await within(all_of(client))
    assert len(asked) == millstream.client.ATTEMPTS + 1


@pytest.mark.parametrize(("status", "code"), [(409, "cursor-ahead"), (410, "gone")])
async def test_events_that_were_lost_with_their_server_are_told_as_an_error_of_the_run(status: int, code: str) -> None:
    problem = b'{"status":%d,"code":"%b","detail":"Start again from the snapshot."}' % (status, code.encode())
    async with imitation((200, STARTED), (status, problem)) as (url, _), Client(url) as client:
        with pytest.raises(RunError) as failed:
            await within(all_of(client))
    assert (failed.value.code, failed.value.status) == (code, status)


async def test_a_server_that_falls_silent_is_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server of ours sends a heartbeat; a stream without any is read again elsewhere."""
    monkeypatch.setattr(millstream.client, "SILENCE_S", 0.3)
    async with serving(tmp_path, heartbeat=60) as server, Client(server.url) as client:
        asked = asyncio.create_task(all_of(client, run_id="r1"))
        telling = await server.told.next()
        lives = server.millstream.supervisor._live
        for readers in (1, 0, 1):
            await until(lambda readers=readers: "r1" in lives and lives["r1"].readers == readers)
        telling.end()
        assert isinstance((await within(asked))[-1], RunFinished)
