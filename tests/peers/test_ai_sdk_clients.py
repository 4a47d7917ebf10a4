"""The AI SDK against `/api/chat`: its chat of versions 5, 6 and 7, their strict first releases, and React's `useChat`.

The numbers are those of the assertions that were set for this protocol.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import hatch_build
import pytest
from heartbeats import Heartbeats
from hypothesis import given, settings
from hypothesis import strategies as st
from running_node import Node

from millstream.errors import ModelError
from millstream.events import AnyEvent, ReasoningDelta, RunFailed, RunStarted, TextDelta, Usage
from millstream.run import Run
from millstream.search import Passage
from millstream.wire.ai_sdk import AiSdkEncoder
from serving import CuttingProxy, Server, Telling, serving, within
from strategies import EVENTS, TERMINALS, TEXTS

ROOT = Path(__file__).parents[2]
VERSIONS = ["ai", "ai5", "ai6", "ai500", "ai600"]
# Each package, and what it is sent.
SENT = [*((version, 5) for version in VERSIONS), ("ai", 7)]

PASSAGES = [
    Passage(
        source_id="d1:0", document_id="d1", version="v1", title="Tariff", uri="tariff.pdf", text="🍎 costs 3 €.",
        page_start=2, page_end=2, start=10, end=21, score=0.5,
    ),
    Passage(
        source_id="d2:0", document_id="d2", version="v1", title="News", uri="https://news.example/3",
        text="It is cheap.", start=0, end=12, score=0.25,
    ),
]  # fmt: skip

STARTED = RunStarted(seq=1, at=0, format=1, run_id="r", conversation_id="c", message_id="m", model="gpt", created=1)
WORDS = st.builds(TextDelta, text=TEXTS) | st.builds(ReasoningDelta, text=TEXTS)
SCRIPTS = st.builds(lambda middle, end: [STARTED, *middle, end], st.lists(WORDS | EVENTS, max_size=25), TERMINALS)


async def everything(run: Run) -> None:
    async with run.step("search", "Searching 2 documents…") as step:
        run.cite(PASSAGES)
        step.done("Found 2 passages", query="price")
    run.think("The user asks ")
    run.think("for a price.")
    tool_id = run.tool_started("convert", {"from": "EUR"})
    run.tool_finished(tool_id, {"rate": 1.5})
    run.tool_finished(run.tool_started("convert", {}), error="no such currency")
    run.write("🍎 costs 3 € [1]. ")
    run.write("It is cheap [2].")
    run.data("basket", {"items": 1}, key="mine")
    run.data("basket", {"items": 2}, key="mine")
    run.followups(["And two?"])
    run.play(Usage(input_tokens=10, output_tokens=5, estimated=False, cached_tokens=4))


def parts_of(told: Any, kind: str) -> list[Any]:
    return [part for part in told["messages"][-1]["parts"] if part["type"] == kind]


@asynccontextmanager
async def client(node: Node, *arguments: str) -> AsyncIterator[asyncio.Task[Any]]:
    """The client at work, while the test tells what the server does."""
    task = asyncio.create_task(node("ai_sdk.mjs", *arguments))
    try:
        yield task
        await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def hello(server: Server) -> Telling:
    telling = await server.told.next()
    telling.run.write("Hello ")
    return telling


async def gone(server: Server) -> Telling:
    """The question by which the client says that it has come so far."""
    telling = await server.told.next()
    assert telling.run.question == "go"
    telling.end()
    return telling


@pytest.mark.parametrize(("version", "sent"), SENT)
async def test_a_whole_answer(tmp_path: Path, node: Node, version: str, sent: int) -> None:
    """1 to 4: the frame, the message, a step in its place, the sources; in every version."""
    async with serving(tmp_path, everything, ai_sdk_version=sent) as server:
        told = await node("ai_sdk.mjs", server.url, version, "ask")
    [response] = told["responses"]
    assert response["headers"]["content-type"] == "text/event-stream"
    assert response["headers"]["x-vercel-ai-ui-message-stream"] == "v1"
    assert response["body"].endswith("data: [DONE]\n\n")

    assert (told["status"], told.get("error")) == ("ready", None)
    message = told["messages"][-1]
    assert message["role"] == "assistant"
    assert f'"messageId":"{message["id"]}"' in response["body"]
    metadata = message["metadata"]
    assert metadata["runId"] == response["headers"]["millstream-run"]
    assert metadata["usage"] == {
        "inputTokens": 10, "outputTokens": 5, "totalTokens": 15, "cachedInputTokens": 4, "estimated": False,
    }  # fmt: skip
    assert metadata["finishReason"] == "stop"
    assert told["ends"][0].get("isError", False) is False
    assert told["text"] == "🍎 costs 3 €[1]. It is cheap[2]."
    [reasoning] = parts_of(told, "reasoning")
    assert (reasoning["text"], reasoning["state"]) == ("The user asks for a price.", "done")

    [step] = parts_of(told, "data-step")
    elapsed = step["data"].pop("elapsedMs")
    assert elapsed >= 0
    assert step["data"] == {
        "name": "search", "label": "Found 2 passages", "state": "done", "detail": {"query": "price"},
    }  # fmt: skip
    assert [part["data"]["state"] for part in told["heard"] if part["type"] == "data-step"] == ["active", "done"]

    tariff, news = parts_of(told, "source-url")
    assert tariff["title"] == "Tariff"
    assert tariff["url"].startswith(f"{server.url}/passage?document_id=d1&version=v1&start=10&end=21")
    assert tariff["providerMetadata"]["millstream"] == {
        "n": 1, "documentId": "d1", "version": "v1", "uri": "tariff.pdf", "snippet": "🍎 costs 3 €.", "score": 0.5,
        "pageStart": 2, "pageEnd": 2, "start": 10, "end": 21,
    }  # fmt: skip
    assert (news["url"], news["providerMetadata"]["millstream"]["n"]) == ("https://news.example/3", 2)
    cited = [part["data"] for part in parts_of(told, "data-citation")]
    units = told["text"].encode("utf-16-le")
    assert [(each["sourceId"], units[2 * each["start"] : 2 * each["end"]].decode("utf-16-le")) for each in cited] == [
        ("d1:0", "🍎 costs 3 €"),
        ("d2:0", "It is cheap"),
    ]

    right, wrong = parts_of(told, "dynamic-tool")
    assert (right["state"], right["input"], right["output"]) == ("output-available", {"from": "EUR"}, {"rate": 1.5})
    assert (wrong["state"], wrong["errorText"]) == ("output-error", "no such currency")
    assert [part["data"] for part in parts_of(told, "data-basket")] == [{"items": 2}]
    assert parts_of(told, "data-followups")[0]["data"] == {"questions": ["And two?"]}

    if sent == 7:
        assert told["ends"][0]["finishReason"] == "stop"
        [text] = parts_of(told, "text")
        assert [each["source"]["id"] for each in text["citations"]] == ["d1:0", "d2:0"]


@pytest.mark.parametrize(("version", "sent"), SENT)
async def test_an_error_in_the_middle(tmp_path: Path, node: Node, version: str, sent: int) -> None:
    """5: the text so far stays, and what is wrong is said."""
    async with serving(tmp_path, ai_sdk_version=sent) as server, client(node, server.url, version, "ask") as task:
        telling = await hello(server)
        error = ModelError("The model broke off.", code="model-interrupted", retryable=True, retry_after=2)
        telling.fail(error)
        told = await task
    assert (told["status"], told["error"], told["text"]) == ("error", "The model broke off.", "Hello ")
    error = told["messages"][-1]["metadata"]["error"]
    assert error == {"code": "model-interrupted", "retryable": True, "retryAfter": 2.0}


@pytest.mark.parametrize(("version", "sent"), SENT)
async def test_a_stop_from_elsewhere(tmp_path: Path, node: Node, version: str, sent: int) -> None:
    """6: an abort part ends the stream; the metadata says what it was."""
    async with (
        serving(tmp_path, ai_sdk_version=sent) as server,
        client(node, server.url, version, "stoppedByServer") as task,
    ):
        telling = await hello(server)
        await within(telling.cancelled.wait())
        told = await task
    assert (told["status"], told.get("error"), told["text"]) == ("ready", None, "Hello ")
    assert told["messages"][-1]["metadata"]["aborted"] is True
    assert "finishReason" not in told["messages"][-1]["metadata"]
    assert told["stopStatus"] == 204
    assert '{"type":"abort"' in told["responses"][0]["body"]


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_refusal(tmp_path: Path, node: Node, version: str) -> None:
    """7: its status, and as the error its sentence."""

    async def busy(run: Run) -> None:
        raise ModelError("The model is busy.", code="model-rate-limited", retryable=True, retry_after=6)

    async with serving(tmp_path, busy) as server:
        told = await node("ai_sdk.mjs", server.url, version, "ask")
        assert (told["status"], told["error"]) == ("error", "The model is busy.")
        assert (told["responses"][0]["status"], told["responses"][0]["headers"]["retry-after"]) == (429, "6")
        told = await node("ai_sdk.mjs", server.url, version, "file")
        assert told["error"].startswith("A file cannot be sent with a message here.")


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_sdks_own_stop_and_ours_behind_it(tmp_path: Path, node: Node, version: str) -> None:
    """8: the SDK's leaves, ours reaches the model; then there is nothing to come back to."""
    async with serving(tmp_path) as server, client(node, server.url, version, "stop") as task:
        telling = await hello(server)
        await within(telling.cancelled.wait())
        told = await task
    assert (told["status"], told["text"], told["statusOfResume"]) == ("ready", "Hello ", 204)
    if version != "ai500":  # its `onFinish` does not say, and a 204 leaves it waiting
        assert (told["ends"][0]["isAbort"], told["after"]) == (True, "ready")


@pytest.mark.parametrize(
    ("version", "scenario"),
    # The first releases add what comes to what they have: their own fault, mended since.
    [*((version, "resume") for version in VERSIONS), *((version, "resumeWithWhatCame") for version in VERSIONS[:3])],
)
async def test_coming_back(tmp_path: Path, node: Node, version: str, scenario: str) -> None:
    """9: the whole answer from its start, under the same id, and nothing twice."""
    async with serving(tmp_path) as server, client(node, server.url, version, scenario) as task:
        telling = await hello(server)
        await gone(server)
        telling.run.write("world")
        telling.end()
        told = await task
    assert (told["status"], told["text"]) == ("ready", "Hello world")
    assert [message["role"] for message in told["messages"]] == ["user", "assistant"]
    assert told.get("id", told["messages"][-1]["id"]) == told["messages"][-1]["id"]


@pytest.mark.parametrize("version", [version for version in VERSIONS if version != "ai500"])
async def test_nothing_to_come_back_to(tmp_path: Path, node: Node, version: str) -> None:
    """9: 204."""
    async with serving(tmp_path) as server:
        told = await node("ai_sdk.mjs", server.url, version, "nothingToResume")
    assert (told["status"], told["messages"], told["responses"][0]["status"]) == ("ready", [], 204)


@pytest.mark.parametrize("version", ["ai", "ai5", "ai6"])
async def test_a_connection_that_is_cut(tmp_path: Path, node: Node, version: str) -> None:
    """The chat says so, and has the whole answer when it comes back; version 5 shows twice what it had."""
    async with (
        serving(tmp_path) as server,
        CuttingProxy(server.port, [900]).running() as proxy,
        client(node, proxy.url, version, "reconnect") as task,
    ):
        telling = await hello(server)
        for _ in range(40):
            telling.run.write("more ")
            await asyncio.sleep(0)
        await gone(server)
        telling.run.write("world")
        telling.end()
        told = await task
    assert told["lost"]["status"] == "error"
    assert told["lost"]["end"]["isDisconnect"] is True
    had = told["lost"]["text"]
    assert had.startswith("Hello more ")
    whole = "Hello " + "more " * 40 + "world"
    assert (told["status"], told["text"]) == ("ready", had + whole if version == "ai5" else whole)


@pytest.mark.parametrize("version", VERSIONS)
async def test_heartbeats_are_invisible(tmp_path: Path, node: Node, version: str) -> None:
    heartbeats = Heartbeats()
    async with (
        serving(tmp_path, app=heartbeats.heard, heartbeat=0.02) as server,
        client(node, server.url, version, "ask") as task,
    ):
        await heartbeats.between(await server.told.next(), "Hello ", "world")
        told = await task
    assert (told["status"], told["text"], told.get("error")) == ("ready", "Hello world", None)
    assert ": ping\n" in told["responses"][0]["body"]


@pytest.mark.parametrize(("version", "sent"), SENT)
@pytest.mark.parametrize(("reason", "shown"), [("length", "length"), ("content_filter", "content-filter")])
async def test_why_the_words_ended(
    tmp_path: Path, node: Node, version: str, sent: int, reason: Any, shown: str
) -> None:
    async def answer(run: Run) -> None:
        run.write("Hello")
        run.finish(reason)

    async with serving(tmp_path, answer, ai_sdk_version=sent) as server:
        told = await node("ai_sdk.mjs", server.url, version, "ask")
    assert (told["status"], told["messages"][-1]["metadata"]["finishReason"]) == ("ready", shown)
    if sent == 7:
        assert told["ends"][0]["finishReason"] == shown


@pytest.mark.parametrize("version", VERSIONS)
async def test_another_answer_and_another_question(tmp_path: Path, node: Node, version: str) -> None:
    asked: list[list[str]] = []

    async def answer(run: Run) -> None:
        asked.append([f"{message.role}: {message.content}" for message in run.messages])
        run.write(f"Answer {len(asked)}")

    async with serving(tmp_path, answer) as server:
        told = await node("ai_sdk.mjs", server.url, version, "regenerate")
        assert (told["first"], told["text"], len(told["messages"])) == ("Answer 1", "Answer 2", 2)
        told = await node("ai_sdk.mjs", server.url, version, "followUp")
        assert told["text"] == "Answer 4"
    assert asked[1] == ["user: Why?"]
    assert asked[3] == ["user: Why?", "assistant: Answer 3", "user: And then?"]


async def test_fields_of_the_application_choose_the_answer(tmp_path: Path, node: Node) -> None:
    async with serving(tmp_path, everything) as server:

        async def short(run: Run) -> None:
            run.write(f"Short at {run.options.temperature}.")

        server.millstream.answer(short, name="short")
        body = '{"model": "short", "options": {"temperature": 0.5}, "webSearch": true}'
        told = await node("ai_sdk.mjs", server.url, "ai", "ask", body)
    assert told["text"] == "Short at 0.5."


async def test_the_documented_component_in_react(tmp_path: Path, node: Node, npm: hatch_build.Npm) -> None:
    """10: `useChat` asks, stops, asks again, links sources, comes back after a reload, and shows what went wrong."""
    hatch_build.install_packages(npm, ROOT / "web")  # its TypeScript reads the JSX
    async with serving(tmp_path) as server:
        task = asyncio.create_task(node("ai_sdk_react.mjs", server.url))
        try:
            telling = await hello(server)
            await within(telling.cancelled.wait())

            telling = await server.told.next()
            async with telling.run.step("search", "Searching…") as step:
                telling.run.cite(PASSAGES)
                step.done("Found 2 passages")
            telling.run.write("🍎 costs 3 € [1]. It is cheap [2].")
            telling.run.followups(["And two?"])
            telling.end()

            telling = await server.told.next()
            telling.run.write("Two cost ")
            await gone(server)
            telling.run.write("6 €.")
            telling.end()

            telling = await server.told.next()
            telling.fail(ModelError("The model is busy.", code="model-rate-limited", retryable=True))
            told = await task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    assert told["whileStreaming"] == "streaming"
    assert told["stopped"] == ["Why?", "Hello "]
    assert told["again"] == ["Why?", "Found 2 passages🍎 costs 3 €1. It is cheap2.And two?"]
    tariff, news = told["links"]
    assert (tariff[0], tariff[2], news) == ("1", "🍎 costs 3 €.", ["2", "https://news.example/3", "It is cheap."])
    assert tariff[1].startswith(f"{server.url}/passage?document_id=d1&")
    assert told["resumed"] == ["Two cost 6 €."]
    assert told["failure"] == ["error", "The model is busy."]


@pytest.mark.parametrize(("version", "sent"), SENT)
async def test_any_script_of_events_is_read_without_a_fault(
    tmp_path: Path, node: Node, version: str, sent: int
) -> None:
    scripts: list[list[AnyEvent]] = []

    @settings(max_examples=200, database=None, deadline=None)
    @given(SCRIPTS)
    def collect(script: list[AnyEvent]) -> None:
        scripts.append(script)

    collect()
    streams = []
    for script in scripts:
        encoder = AiSdkEncoder("https://docs.example", sent)
        streams.append(b"".join(encoder.encode(event) for event in script).decode())
    (tmp_path / "streams.json").write_text(json.dumps(streams))
    results = await node("ai_sdk_any.mjs", str(tmp_path / "streams.json"), version)
    for script, result in zip(scripts, results, strict=True):
        end = script[-1]
        assert result.get("error") == (end.message if isinstance(end, RunFailed) else None)
        parts = result["message"]["parts"]
        tools = [part["state"] for part in parts if part["type"] == "dynamic-tool"]
        assert set(tools) <= {"output-available", "output-error"}
        written = [event.text for event in script if isinstance(event, TextDelta)]
        marks = [part["data"] for part in parts if part["type"] == "data-citation" and "mark" in part["data"]]
        text = "".join(part["text"] for part in parts if part["type"] == "text")
        assert len(text) == sum(map(len, written)) + sum(len(f"[{mark['n']}]") for mark in marks)
