"""The code of docs/streaming.md, run as it stands against real servers."""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import hatch_build
import pytest
import uvicorn
from aiohttp import web
from aiohttp.test_utils import TestServer

from millstream.errors import RunError
from millstream.models.script import RateLimited
from millstream.run import Run
from millstream.testing import ModelServer, Script
from serving import CuttingProxy, listening, serving, until, within

PAGE = (Path(__file__).parents[2] / "docs" / "streaming.md").read_text()
CODE = {name: code for name, code in re.findall(r"^<!-- run: (\w+) -->\n```\w+\n(.*?)^```", PAGE, re.DOTALL | re.M)}
ANSWER = "You have 28 days of paid leave."


def test_every_piece_of_code_is_run() -> None:
    assert len(CODE) == PAGE.count("```") // 2
    tests = Path(__file__).read_text()
    assert all(f'CODE["{name}"]' in tests for name in CODE)


@pytest.fixture
async def model(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ModelServer]:
    async with ModelServer(Script.words("A mill grinds grain.")) as model:
        monkeypatch.setenv("OPENAI_API_KEY", "any")
        monkeypatch.setenv("OPENAI_BASE_URL", model.base_url)
        yield model


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """The address of the page's own answer, served."""
    monkeypatch.setenv("MILLSTREAM_DATA", str(tmp_path))
    app = defined_by(CODE["answer"])["app"]
    async with listening(uvicorn.Config(app, lifespan="on", log_level="error")) as (_, port):
        yield f"http://127.0.0.1:{port}"


def defined_by(code: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102
    return names


async def python(code: str) -> str:
    command = [sys.executable, "-c", code]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def node(code: str, server: str = "") -> Any:
    npm = hatch_build.packaged_npm()
    assert npm is not None
    script = f"const server = {json.dumps(server)};\n{code}"
    command = ["node", "--experimental-eventsource", "--input-type=module", "-e", script]
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=60, env={"PATH": npm.path}
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


async def test_the_models_stream(model: ModelServer) -> None:
    shown = await python(CODE["model"])
    assert shown.startswith("A mill grinds grain.\nended: stop\n")
    assert shown.endswith(" tokens\n")


async def test_a_server_by_hand(model: ModelServer) -> None:
    app = defined_by(CODE["server"])["app"]
    async with (
        listening(uvicorn.Config(app, log_level="error")) as (_, port),
        aiohttp.ClientSession() as client,
        client.post(
            f"http://127.0.0.1:{port}/answer", json={"messages": [{"role": "user", "content": "What is a mill?"}]}
        ) as response,
    ):
        lines = [json.loads(line) for line in (await within(response.text())).splitlines()]
    assert "".join(line.get("text", "") for line in lines) == "A mill grinds grain."
    assert lines[-1] == {"end": "stop"}


async def test_a_server_by_hand_passes_on_that_the_model_is_busy(model: ModelServer) -> None:
    model.script = Script.of([RateLimited(retry_after=7)])
    app = defined_by(CODE["server"].replace("AsyncOpenAI()", "AsyncOpenAI(max_retries=0)"))["app"]
    messages = [{"role": "user", "content": "What is a mill?"}]
    async with (
        listening(uvicorn.Config(app, log_level="error")) as (_, port),
        aiohttp.ClientSession() as client,
        client.post(f"http://127.0.0.1:{port}/answer", json={"messages": messages}) as response,
    ):
        assert (response.status, response.headers["Retry-After"]) == (429, "7")


@pytest.mark.parametrize("whole", [True, False], ids=["between chunks", "in the middle of one"])
async def test_a_server_by_hand_tells_an_answer_that_was_cut(monkeypatch: pytest.MonkeyPatch, whole: bool) -> None:
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    body = json.dumps({**chunk, "choices": [{"index": 0, "delta": {"content": "A mill"}, "finish_reason": None}]})

    async def cut(request: web.Request) -> web.StreamResponse:
        text = f"data: {body}\n\n"
        if whole:
            return web.Response(text=text, content_type="text/event-stream")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Content-Length": "100000"})
        await response.prepare(request)
        await response.write(text.encode())
        assert request.transport is not None
        request.transport.close()
        return response

    model = web.Application()
    model.router.add_post("/v1/chat/completions", cut)
    async with TestServer(model) as upstream:
        monkeypatch.setenv("OPENAI_API_KEY", "any")
        monkeypatch.setenv("OPENAI_BASE_URL", str(upstream.make_url("/v1")))
        app = defined_by(CODE["server"])["app"]
        async with (
            listening(uvicorn.Config(app, log_level="error")) as (_, port),
            aiohttp.ClientSession() as client,
            client.post(f"http://127.0.0.1:{port}/answer", json={"messages": []}) as response,
        ):
            lines = [json.loads(line) for line in (await within(response.text())).splitlines()]
    assert lines == [{"text": "A mill"}, {"error": "cut"}]


async def test_reading_lines(server: str) -> None:
    told = 'console.log(JSON.stringify(await ask("How much leave?")));'
    assert await node(CODE["read"] + told, server) == ANSWER


async def test_lines_may_be_cut_anywhere() -> None:
    """Even in the middle of a letter."""
    told = """
    const bytes = new TextEncoder().encode('{"a":"\\u00fc\\u{1f600}"}\\n\\n{"b":1}\\n');
    const cut = Array.from(bytes, (byte) => new Uint8Array([byte]));
    const lines = [];
    for await (const line of readLines({ body: ReadableStream.from(cut) })) lines.push(JSON.parse(line));
    console.log(JSON.stringify(lines));
    """
    assert await node(CODE["read"] + told) == [{"a": "ü😀"}, {"b": 1}]


async def test_what_is_stopped_is_an_answer_too(tmp_path: Path) -> None:
    async def stopped(run: Run) -> None:
        run.write("Half")
        await asyncio.Event().wait()

    async with serving(tmp_path, stopped) as server:
        asked = asyncio.create_task(node(CODE["read"] + 'console.log(JSON.stringify(await ask("Why?")));', server.url))
        await until(lambda: bool(server.millstream.supervisor._live))
        [run_id] = server.millstream.supervisor._live
        await server.post(f"/api/runs/{run_id}/stop")
        assert await asked == "Half"


async def test_a_reader_who_leaves_lets_the_connection_go() -> None:
    told = """
    let left = false;
    const body = new ReadableStream({
      pull: (stream) => stream.enqueue(new TextEncoder().encode("1\\n2\\n")),
      cancel: () => { left = true; },
    });
    for await (const line of readLines({ body })) break;
    await new Promise((resolve) => setImmediate(resolve));
    console.log(JSON.stringify(left));
    """
    assert await node(CODE["read"] + told)


async def test_an_answer_through_cuts_is_whole(tmp_path: Path) -> None:
    words = " ".join(f"word{number}" for number in range(300))

    async def answer(run: Run) -> None:
        for word in words.split(" "):
            run.write(word if word == "word0" else f" {word}")
            await asyncio.sleep(0)

    told = 'console.log(JSON.stringify(await askThroughCuts("Why?")));'
    async with (
        serving(tmp_path, answer) as server,
        CuttingProxy(server.port, [0, 700, 900, 0, 2000]).running() as proxy,
    ):
        found = await node(CODE["read"] + CODE["resume"] + told, proxy.url)
    assert (found["answer"], found["end"]["type"]) == (words, "run.finished")


async def test_a_refusal_is_not_tried_again(server: str) -> None:
    told = "console.log(JSON.stringify(await askThroughCuts(7).catch((error) => error.message)));"
    assert "question" in await node(CODE["read"] + CODE["resume"] + told, server)


async def test_event_source(server: str) -> None:
    told = """
    const started = await fetch(`${server}/api/runs`, { method: "POST", body: JSON.stringify({ question: "Leave?" }) });
    console.log(JSON.stringify(await follow((await started.json()).run_id)));
    """
    assert await node(CODE["eventsource"] + told, server) == ANSWER


async def test_web_socket(server: str) -> None:
    told = 'console.log(JSON.stringify(await askOverWebSocket("How much leave?")));'
    assert await node(CODE["websocket"] + told, server) == ANSWER


@pytest.fixture
async def failing(tmp_path: Path) -> AsyncIterator[str]:
    async def fails(run: Run) -> None:
        run.write("Half")
        raise RunError("No credit left.")

    async with serving(tmp_path, fails) as server:
        yield server.url


@pytest.mark.parametrize(
    ("name", "call", "told"),
    [
        ("eventsource", "follow(id)", "No credit left."),
        ("eventsource", 'follow("none")', "refused"),
        ("websocket", 'askOverWebSocket("Why?")', "No credit left."),
        ("websocket", "askOverWebSocket(7)", "question"),
    ],
)
async def test_a_run_that_failed_or_was_refused_is_no_answer(failing: str, name: str, call: str, told: str) -> None:
    script = f"""
    const body = JSON.stringify({{ question: "Why?", stream: true, run_id: "r1" }});
    await (await fetch(`${{server}}/api/runs`, {{ method: "POST", body }})).text();
    const id = "r1";
    console.log(JSON.stringify(await {call}.then(() => "answered", (error) => error.message)));
    """
    assert told in await node(CODE[name] + script, failing)


async def test_a_web_socket_that_nobody_answers_is_told() -> None:
    told = 'console.log(JSON.stringify(await askOverWebSocket("Why?").catch((error) => error.message)));'
    assert await node(CODE["websocket"] + told, "http://127.0.0.1:1") == "cut"


async def test_painting_spreads_a_burst_over_the_time_until_the_next_and_loses_nothing() -> None:
    told = """
    let clock = 0, painted = [];
    const painter = new Painter((text) => painted.push(text), () => clock);
    const words = Array.from({ length: 30 }, (_, n) => `word${n} `).join("");
    for (clock = 0; clock < 3000; clock += 16) {
      if (clock % 400 === 0) painter.add(words);
      painter.frame(16);
    }
    while (painter.waiting.length) painter.frame(16);
    console.log(JSON.stringify({ whole: painted.join("") === words.repeat(painted.join("").length / words.length),
      most: Math.max(...painted.map((text) => text.split(" ").length - 1)) }));
    """
    found = await node(CODE["pace"] + told)
    assert found["whole"]
    assert found["most"] < 12


async def test_the_whole_process(server: str) -> None:
    async with aiohttp.ClientSession() as client, client.post(f"{server}/api/runs", json={"question": "?"}) as response:
        message = (await response.json())["message"]
    assert message["content"] == ANSWER
    assert (message["steps"][0]["label"], message["reasoning"]) == ("Found 1 passage", "The handbook says it.")
    assert (message["sources"][0]["title"], message["citations"]) == ("Leave", [{"n": 1, "start": 0, "end": 30}])
    assert message["followups"] == ["May I keep days for next year?"]


async def test_with_and_without_a_stream(server: str) -> None:
    whole, *lines = (await python(CODE["whole"].replace("http://127.0.0.1:8000", server))).splitlines()
    assert whole.startswith(ANSWER)
    assert json.loads(lines[-1])["type"] == "run.finished"
