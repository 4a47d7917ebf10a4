"""The AI SDK's routes: requests, refusals, coming back, and stopping."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from starlette.requests import HTTPConnection
from yarl import URL

from millstream.errors import Forbidden, ModelError
from millstream.models import ChatMessage
from millstream.request import MAX_MESSAGES
from millstream.run import Run
from millstream.search import Passage
from millstream.server.protocols import ai_sdk
from serving import Answered, Server, serving, until, within


def said(text: str, role: str = "user", *more: dict[str, Any]) -> dict[str, Any]:
    return {"id": "m", "role": role, "parts": [{"type": "text", "text": text}, *more]}


def body(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"id": "chat", "messages": list(messages or [said("Why?")]), "trigger": "submit-message", **fields}


def parts_of(stream: bytes) -> list[dict[str, Any]]:
    return [json.loads(block[6:]) for block in stream.decode().split("\n\n") if block.startswith("data: {")]


def kinds_of(stream: bytes) -> list[str]:
    return [part["type"] for part in parts_of(stream)]


def text_of(stream: bytes) -> str:
    return "".join(part["delta"] for part in parts_of(stream) if part["type"] == "text-delta")


class Reader:
    """The client's side of a stream, whose head comes with the first visible part."""

    def __init__(self, asked: Awaitable[aiohttp.ClientResponse]) -> None:
        self._asked = asyncio.ensure_future(asked)
        self.had = b""

    async def response(self) -> aiohttp.ClientResponse:
        response = await within(asyncio.shield(self._asked))
        assert response.status == 200, await response.text()
        return response

    async def until(self, text: bytes) -> None:
        response = await self.response()
        while text not in self.had:
            chunk = await within(response.content.readany())
            assert chunk, self.had
            self.had += chunk

    async def rest(self) -> bytes:
        response = await self.response()
        self.had += await within(response.read())
        return self.had

    async def leave(self) -> None:
        (await self.response()).close()


@asynccontextmanager
async def reading(asked: Awaitable[aiohttp.ClientResponse]) -> AsyncIterator[Reader]:
    reader = Reader(asked)
    yield reader
    await reader.leave()


def chatting(server: Server, **fields: Any) -> AbstractAsyncContextManager[Reader]:
    headers = fields.pop("headers", None)
    return reading(server.client.post(f"{server.url}/api/chat", json=body(**fields), headers=headers))


def resuming(server: Server, chat: str = "chat") -> AbstractAsyncContextManager[Reader]:
    escaped = quote(chat, safe="").replace(".", "%2E")  # as encodeURIComponent does, and a proxy may
    return reading(server.client.get(URL(f"{server.url}/api/chat/{escaped}/stream", encoded=True)))


def assert_refused(response: Answered, status: int, *words: str) -> None:
    """One sentence as plain text: the SDK shows it as it is."""
    assert response.status == status, response.body
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-store"
    sentence = response.body.decode()
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert len(sentence) < 200
    for word in words:
        assert word in sentence


async def quick(run: Run) -> None:
    run.write("Yes.")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(tmp_path) as server:
        yield server


async def test_an_answer_is_a_stream_with_the_headers_that_the_protocol_asks_for(tmp_path: Path) -> None:
    async with serving(tmp_path, quick) as server:
        response = await server.post("/api/chat", body())
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/event-stream"
        assert response.headers["x-vercel-ai-ui-message-stream"] == "v1"
        assert response.headers["Cache-Control"] == "no-cache, no-transform"
        assert response.headers["X-Accel-Buffering"] == "no"
        start = parts_of(response.body)[0]
        assert start["messageMetadata"]["runId"] == response.headers["Millstream-Run"]
        assert kinds_of(response.body) == [
            "start", "start-step", "text-start", "text-delta", "text-end", "finish-step", "finish",
        ]  # fmt: skip
        assert text_of(response.body) == "Yes."
        assert response.body.endswith(b"data: [DONE]\n\n")
        snapshot = (await server.get(f"/api/runs/{start['messageMetadata']['runId']}")).json
        assert snapshot["message_id"] == start["messageId"]


async def test_the_answer_is_given_the_words_of_all_messages(server: Server) -> None:
    history = [
        said("Be brief.", "system"),
        said("Why?", "user", {"type": "data-place", "data": 1}),
        {"role": "assistant", "parts": [{"type": "step-start"}, {"type": "reasoning", "text": "Hm"}]},
        said("Because ", "assistant", {"type": "source-url", "url": "x"}, {"type": "text", "text": "of it."}),
        said("And", "user", {"type": "text", "text": "then?"}),
    ]
    async with chatting(server, messages=history) as reader:
        telling = await server.told.next()
        assert telling.run.messages == [
            ChatMessage("system", "Be brief."),
            ChatMessage("user", "Why?"),
            ChatMessage("assistant", "Because of it."),
            ChatMessage("user", "And\n\nthen?"),
        ]
        telling.end()
        await reader.rest()


async def test_the_marks_of_an_earlier_answer_are_taken_out_again(tmp_path: Path) -> None:
    """Its sources had other numbers."""
    passages = [
        Passage(
            source_id=f"s{n}", document_id="d", version="v", title="T", uri="t.md", text=f"🍎 costs {n} €.",
            start=0, end=9, score=1.0,
        )
        for n in (1, 2)
    ]  # fmt: skip
    asked: list[list[ChatMessage]] = []

    async def answer(run: Run) -> None:
        asked.append(list(run.messages))
        run.cite(passages)
        run.write("🍎 costs 1 € [1]. See `[1]`. ")
        run.tool_finished(run.tool_started("look", {}))
        run.write("🍎 costs 2 € [2]. Right?")

    async with serving(tmp_path, answer) as server:
        stream = (await server.post("/api/chat", body())).body
        texts: dict[str, str] = {}
        for part in parts_of(stream):
            if part["type"] == "text-delta":
                texts[part["id"]] = texts.get(part["id"], "") + part["delta"]
        assert list(texts.values()) == ["🍎 costs 1 €[1]. See `[1]`.", " 🍎 costs 2 €[2]. Right?"]
        citations = [part for part in parts_of(stream) if part["type"] == "data-citation"]
        junk = [
            {"type": "data-citation", "data": data}
            for data in (None, {}, {"part": 9, "mark": 0, "n": 1}, {"part": 0, "mark": -3, "n": 1},
                         {"part": 0, "mark": 10**12, "n": 1}, {"part": 0, "mark": 1, "n": 1})
        ]  # fmt: skip
        before = {
            "role": "assistant",
            "parts": [*({"type": "text", "text": text} for text in texts.values()), *citations, *junk],
        }
        await server.post("/api/chat", body(said("Why?"), before, said("And then?")))
        assert asked[1][1].content == "🍎 costs 1 €. See `[1]`. 🍎 costs 2 €. Right?"


async def test_a_model_that_names_an_answer_chooses_it_and_any_other_is_passed_over(tmp_path: Path) -> None:
    async def short(run: Run) -> None:
        run.write("Short.")

    async with serving(tmp_path, quick) as server:
        server.millstream.answer(short, name="short")
        for model, text in (("short", "Short."), ("openai/gpt-9", "Yes."), (None, "Yes."), (["short"], "Yes.")):
            assert text_of((await server.post("/api/chat", body(model=model, webSearch=True))).body) == text


async def test_options_are_those_of_a_run(server: Server) -> None:
    async with chatting(server, options={"temperature": 0.5, "sources": 3}) as reader:
        telling = await server.told.next()
        assert (telling.run.options.temperature, telling.run.options.sources) == (0.5, 3)
        telling.end()
        await reader.rest()


FILE = {"type": "file", "mediaType": "image/png", "url": "data:image/png;base64,AA=="}


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (b"", "JSON"),
        (b"{", "JSON"),
        (b"\xff", "JSON"),
        (b"[" * 200_000, "object"),
        (b'{"session":' + b"[" * 200_000, "nested"),
        ([], "object"),
        ({}, "messages"),
        ({"messages": "Why?"}, "messages"),
        ({"messages": []}, "user"),
        ({"messages": [{"role": "user", "content": "Why?"}]}, "parts"),
        ({"messages": [{"role": "tool", "parts": []}]}, "role"),
        ({"messages": [{"parts": []}]}, "role"),
        ({"messages": [{"role": "user", "parts": "Why?"}]}, "parts"),
        ({"messages": [{"role": "user", "parts": ["Why?"]}]}, "parts"),
        ({"messages": [{"role": "user", "parts": [{"type": "text"}]}]}, "text"),
        ({"messages": [{"role": "user", "parts": [{"type": "text", "text": 5}]}]}, "text"),
        (body(said(" ")), "empty"),
        (body(said("Why?"), said("Because.", "assistant")), "user"),
        (body(said("What is this?", "user", FILE)), "documents"),
        (body(*[said("Why?")] * (MAX_MESSAGES + 1)), "messages"),
        (body(said("x" * 100_001)), None),
        (body(id=5), "id"),
        (body(id="x" * 257), "id"),
        (body(options={"temperature": 3}), "temperature"),
        (body(options={"colour": "red"}), "colour"),
        (body(options={"sources": 9}), "MILLSTREAM_MAX_SOURCES"),
    ],
    ids=lambda value: (value if isinstance(value, bytes) else json.dumps(value).encode())[:50].decode("latin-1"),
)
async def test_what_cannot_be_answered_is_refused_in_a_sentence(tmp_path: Path, asked: Any, words: str | None) -> None:
    async with serving(tmp_path, quick, max_sources=8) as server:
        data = asked if isinstance(asked, bytes) else json.dumps(asked).encode()
        response = await server.request("POST", "/api/chat", data=data)
        if words is None:
            assert response.status == 200
        else:
            assert_refused(response, 400, words)


async def test_other_refusals_have_their_status(tmp_path: Path) -> None:
    def identify(connection: HTTPConnection) -> str:
        raise Forbidden("Sign in first.")

    async with serving(tmp_path, quick, max_body_bytes=2000) as server:
        assert_refused(await server.request("POST", "/api/chat", data=b" " * 2001), 413, "2000")
        assert_refused(await server.get("/api/chat"), 405, "POST")
        assert_refused(await server.post("/api/chat/chat/stream", {}), 405, "GET")
        assert_refused(await server.get("/api/chat/chat/stop"), 405, "POST")
        server.millstream.supervisor.drain()
        response = await server.post("/api/chat", body())
        assert_refused(response, 503, "shutting down")
        assert response.headers["Retry-After"] == "5"
    async with serving(tmp_path, quick, identify=identify) as server:
        for response in (
            await server.post("/api/chat", body()),
            await server.get("/api/chat/chat/stream"),
            await server.post("/api/chat/chat/stop"),
        ):
            assert_refused(response, 403, "Sign in first.")


async def test_a_failure_before_the_first_part_is_its_own_status(tmp_path: Path) -> None:
    async def busy(run: Run) -> None:
        raise ModelError("The model is busy.", code="model-rate-limited", retryable=True, retry_after=6.2)

    async with serving(tmp_path, busy) as server:
        response = await server.post("/api/chat", body())
        assert_refused(response, 429, "The model is busy.")
        assert response.headers["Retry-After"] == "7"
        assert (await server.get("/api/chat/chat/stream")).status == 204  # it has been told


async def test_a_failure_after_it_is_an_error_part(server: Server) -> None:
    async with chatting(server) as reader:
        telling = await server.told.next()
        telling.run.write("Hello ")
        await reader.until(b"Hello ")
        telling.fail(ModelError("The model broke off.", code="model-interrupted", retryable=True))
        stream = await reader.rest()
    assert kinds_of(stream)[-2:] == ["message-metadata", "error"]
    assert parts_of(stream)[-1]["errorText"] == "The model broke off."


async def test_who_comes_back_has_the_same_stream_from_its_start(server: Server) -> None:
    assert (await server.get("/api/chat/chat/stream")).status == 204
    async with chatting(server) as first:
        telling = await server.told.next()
        telling.run.write("Hello ")
        await first.until(b"Hello ")
        async with resuming(server) as second:
            await second.until(b"Hello ")
            telling.run.write("world")
            telling.end()
            streams = [await first.rest(), await second.rest()]
        assert (await second.response()).headers["x-vercel-ai-ui-message-stream"] == "v1"
    assert streams[0] == streams[1]
    assert text_of(streams[0]) == "Hello world"
    response = await server.get("/api/chat/chat/stream")
    assert (response.status, response.body) == (204, b"")


async def test_who_comes_back_before_the_first_word_is_told_at_once_that_there_is_an_answer(server: Server) -> None:
    asked = asyncio.create_task(server.post("/api/chat", body()))
    telling = await server.told.next()
    lives = server.millstream.supervisor._live
    await until(lambda: telling.run.id in lives and lives[telling.run.id].readers == 1)
    async with resuming(server) as reader:
        await reader.until(b'"type":"start"')
        telling.fail(ModelError("The model is busy.", code="model-rate-limited", retryable=True))
        assert kinds_of(await reader.rest())[-1] == "error"
    assert (await within(asked)).status == 429


async def test_a_reader_who_is_cut_off_is_told(server: Server) -> None:
    """To the SDK a body that ends would be a whole answer."""
    async with chatting(server) as reader:
        telling = await server.told.next()
        telling.run.write("Hello")
        await reader.until(b"Hello")
        (await server.live(telling.run.id)).producer.lose()
        assert parts_of(await reader.rest())[-1]["type"] == "error"


async def test_an_answer_that_ended_while_its_reader_was_away_is_still_there_once(server: Server) -> None:
    async with chatting(server) as reader:
        telling = await server.told.next()
        telling.run.write("Hello ")
        await reader.until(b"Hello ")
        await reader.leave()
    live = await server.live(telling.run.id)
    await until(lambda: live.readers == 0)
    telling.run.write("world")
    telling.end()
    await within(live.producer.end_reached())
    async with resuming(server) as again:
        assert text_of(await again.rest()) == "Hello world"
    assert (await server.get("/api/chat/chat/stream")).status == 204


async def test_a_chat_has_its_newest_answer(server: Server) -> None:
    async with chatting(server) as first:
        one = await server.told.next()
        one.run.write("one")
        await first.until(b"one")
        async with chatting(server) as second:
            two = await server.told.next()
            two.run.write("two")
            await second.until(b"two")
            await within(one.cancelled.wait())  # nobody could come back to it
            assert b'"type":"abort"' in await first.rest()
            async with resuming(server) as again:
                await again.until(b"two")
                two.end()
                assert text_of(await again.rest()) == "two"


@pytest.mark.parametrize("chat", ["a/b", "../x", "ü?#&", "…" * 85, "a/stream", "a/stop"])
async def test_any_id_can_be_come_back_to(server: Server, chat: str) -> None:
    async with chatting(server, id=chat) as reader:
        telling = await server.told.next()
        telling.run.write("Hello")
        await reader.until(b"Hello")
        async with resuming(server, chat) as again:
            await again.until(b"Hello")
            telling.end()


async def test_the_chats_of_one_owner_are_not_anothers(tmp_path: Path) -> None:
    async with (
        serving(tmp_path, identify=lambda connection: connection.headers["user"]) as server,
        chatting(server, headers={"user": "ann"}) as reader,
    ):
        telling = await server.told.next()
        telling.run.write("Hello")
        await reader.until(b"Hello")
        assert (await server.get("/api/chat/chat/stream", headers={"user": "bob"})).status == 204
        assert (await server.post("/api/chat/chat/stop", headers={"user": "bob"})).status == 204
        telling.run.write(" world")
        telling.end()
        assert text_of(await reader.rest()) == "Hello world"


async def test_stop_stops_the_model_and_tells_who_reads(server: Server) -> None:
    async with chatting(server) as reader:
        telling = await server.told.next()
        telling.run.write("Hello")
        await reader.until(b"Hello")
        assert (await server.post("/api/chat/chat/stop")).status == 204
        await within(telling.cancelled.wait())
        stream = await reader.rest()
    assert kinds_of(stream)[-1] == "abort"
    assert (await server.get(f"/api/runs/{telling.run.id}")).json["state"] == "stopped"
    assert (await server.get("/api/chat/chat/stream")).status == 204
    assert (await server.post("/api/chat/chat/stop")).status == 204  # a second one changes nothing


async def test_stop_reaches_an_answer_that_its_reader_left(server: Server) -> None:
    async with chatting(server) as reader:
        telling = await server.told.next()
        telling.run.write("Hello")
        await reader.until(b"Hello")
        await reader.leave()
    assert (await server.post("/api/chat/chat/stop")).status == 204
    await within(telling.cancelled.wait())
    assert (await server.get("/api/chat/chat/stream")).status == 204


async def test_an_answer_that_is_left_goes_on_as_the_operator_says(tmp_path: Path) -> None:
    async with serving(tmp_path, when_unread="stop") as server:
        async with chatting(server) as reader:
            telling = await server.told.next()
            telling.run.write("Hello")
            await reader.until(b"Hello")
            await reader.leave()
        await within(telling.cancelled.wait())
    async with serving(tmp_path) as server:
        async with chatting(server) as reader:
            telling = await server.told.next()
            telling.run.write("Hello")
            await reader.until(b"Hello")
            live = await server.live(telling.run.id)
            await reader.leave()
        await until(lambda: live.readers == 0)
        assert not live.producer.closed
        telling.end()
        await within(live.producer.end_reached())


async def test_without_an_id_nobody_can_come_back_so_who_leaves_stops_it(server: Server) -> None:
    async with chatting(server, id=None) as reader:
        telling = await server.told.next()
        telling.run.write("Hello")
        await reader.until(b"Hello")
        await reader.leave()
    await within(telling.cancelled.wait())


async def test_chats_that_nobody_comes_back_to_do_not_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ai_sdk, "MAX_CHATS", 2)
    async with serving(tmp_path) as server:
        for chat in "abc":
            async with chatting(server, id=chat) as reader:
                telling = await server.told.next()
                telling.run.write("Hello")
                await reader.until(b"Hello")
                await reader.leave()
        assert (await within(server.get("/api/chat/a/stream"))).status == 204
        for chat in "bc":
            async with resuming(server, chat) as reader:
                await reader.until(b"Hello")


async def test_events_that_are_no_longer_kept_are_nothing_to_come_back_to(server: Server) -> None:
    async with chatting(server) as reader:
        telling = await server.told.next()
        telling.run.write("Hello")
        await reader.until(b"Hello")
        await reader.leave()
    supervisor = server.millstream.supervisor
    live = supervisor._live[telling.run.id]
    await until(lambda: live.readers == 0)
    telling.end()
    await within(live.producer.end_reached())
    await supervisor.settle()
    await supervisor.log.delete([telling.run.id])
    assert (await server.get("/api/chat/chat/stream")).status == 204
    assert (await server.post("/api/chat/chat/stop")).status == 204


async def test_a_silent_answer_is_sent_heartbeats(tmp_path: Path) -> None:
    async with serving(tmp_path, heartbeat=0.05) as server, chatting(server) as reader:
        telling = await server.told.next()
        await reader.until(b": ping\n: ping\n")
        telling.run.write("Hello")
        telling.end()
        assert text_of((await reader.rest()).replace(b": ping\n", b"")) == "Hello"


async def test_a_source_of_a_file_leads_to_the_page_that_shows_it(tmp_path: Path) -> None:
    async def cite(run: Run) -> None:
        run.cite([
            Passage(
                source_id="s", document_id="d", version="v", title="T", uri="t.md", text="Yes.",
                start=0, end=4, score=1.0,
            )
        ])  # fmt: skip

    for settings, base in (({}, None), ({"public_url": "https://docs.example/chat"}, "https://docs.example/chat")):
        async with serving(tmp_path, cite, **settings) as server:
            stream = (await server.post("/api/chat", body())).body
            [source] = [part for part in parts_of(stream) if part["type"] == "source-url"]
            assert source["url"].startswith(f"{base or server.url}/passage?document_id=d&")


async def test_it_can_be_moved_and_switched_off(tmp_path: Path) -> None:
    async with serving(tmp_path, quick, ai_sdk="/sdk") as server:
        assert text_of((await server.post("/sdk/api/chat", body())).body) == "Yes."
        assert (await server.get("/sdk/api/chat/chat/stream")).status == 204
        assert (await server.post("/api/chat", body())).status in (404, 405)
    async with serving(tmp_path, quick, ai_sdk="off") as server:
        assert (await server.post("/api/chat", body())).status in (404, 405)


async def test_version_7_is_a_setting(tmp_path: Path) -> None:
    for version, reason in ((5, None), (7, "stop")):
        async with serving(tmp_path, quick, ai_sdk_version=version) as server:
            finish = parts_of((await server.post("/api/chat", body())).body)[-1]
            assert finish.get("finishReason") == reason
            assert finish["messageMetadata"] == {"finishReason": "stop"}


async def test_many_readers_of_one_chat_have_the_same(server: Server) -> None:
    async with chatting(server) as reader:
        telling = await server.told.next()
        telling.run.write("Hello")
        await reader.until(b"Hello")
        others = [asyncio.create_task(server.get("/api/chat/chat/stream")) for _ in range(5)]
        await until(lambda: server.millstream.supervisor._live[telling.run.id].readers == 6)
        telling.end()
        stream = await reader.rest()
        assert [answered.body for answered in await within(asyncio.gather(*others))] == [stream] * 5
