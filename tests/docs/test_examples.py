"""The examples in the README and the docs, run as they stand against a real server."""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvicorn
from starlette.types import ASGIApp

ROOT = Path(__file__).parents[2]
ADDRESS = "http://127.0.0.1:8000"


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / page).read_text(), flags=re.DOTALL | re.MULTILINE)


def readme_example(name: str) -> str:
    found = re.search(
        rf"<!-- example: {name} -->\n```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.M
    )
    assert found is not None
    return found[1]


class Served:
    """A server in a process of its own: `millstream serve` over the project's docs."""

    def __init__(self, data: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "millstream", "serve", str(ROOT / "docs"), "--port", "0", "--data", str(data)],
            stdout=subprocess.PIPE,
            text=True,
            env={"PATH": "/usr/bin:/bin", "MILLSTREAM_QUOTE_PACE": "0"},
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().split()[-1]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    server = Served(tmp_path_factory.mktemp("data"))
    yield server
    server.process.terminate()
    assert server.process.wait(20) == 0


def test_every_example_of_our_own_python_client_is_run() -> None:
    assert len(blocks("docs/clients/python.md", "python")) == 4


def run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("number", range(3))
def test_the_curl_examples_work(served: Served, number: int) -> None:
    command = blocks("docs/http-api.md", "sh")[number].replace(ADDRESS, served.url)
    if "RUN_ID" in command:
        started = json.loads(run(["sh", "-c", blocks("docs/http-api.md", "sh")[0].replace(ADDRESS, served.url)]))
        command = command.replace("RUN_ID", started["run_id"])
    output = run(["sh", "-c", command])
    if number == 0:
        assert json.loads(output)["state"] == "finished"
    else:
        events = [json.loads(line) for line in output.splitlines() if line]
        assert events[-1]["type"] == "run.finished"
        assert events[0]["seq"] == (1 if number == 1 else 8)


@pytest.mark.parametrize("number", range(3))
def test_the_python_examples_work(served: Served, number: int) -> None:
    code = blocks("docs/http-api.md", "python")[number]
    output = run(
        [
            sys.executable,
            "-c",
            code.replace(ADDRESS, served.url).replace("ws://127.0.0.1:8000", served.url.replace("http", "ws")),
        ]
    )
    if number == 1:
        assert "RunFinished" in output
    else:
        assert len(output.split()) > 5


@pytest.mark.parametrize("number", range(4))
def test_the_examples_of_our_own_python_client_work(served: Served, number: int) -> None:
    output = run(
        [sys.executable, "-c", blocks("docs/clients/python.md", "python")[number].replace(ADDRESS, served.url)]
    )
    assert ("finished [" if number == 1 else "RunFinished") in output


def test_the_readmes_client_works(served: Served) -> None:
    assert len(run([sys.executable, "-c", readme_example("client").replace(ADDRESS, served.url)]).split()) > 5


@pytest.fixture
async def serve_app() -> AsyncIterator[object]:
    servers: list[tuple[uvicorn.Server, asyncio.Task[None]]] = []

    async def serve(app: ASGIApp, lifespan: str) -> str:
        server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan=lifespan, log_level="error"))  # type: ignore[arg-type]
        started = asyncio.Event()
        startup = server.startup

        async def announced_startup(sockets: object = None) -> None:
            await startup(sockets)  # type: ignore[arg-type]
            started.set()

        server.startup = announced_startup  # type: ignore[method-assign]
        servers.append((server, asyncio.create_task(server.serve())))
        await started.wait()
        return f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"

    yield serve
    for server, task in servers:
        server.should_exit = True
        await task


@pytest.mark.parametrize("lifespan", ["on", "off"])
@pytest.mark.parametrize(
    ("name", "prefix", "words"),
    [("wrap", "/chat", "You asked: the price?"), ("answer", "/shop/chat", "It costs **3 €**.")],
)
async def test_the_readme_examples_work_under_a_prefix_with_and_without_lifespan(
    name: str, prefix: str, words: str, lifespan: str, serve_app, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("MILLSTREAM_DATA", str(tmp_path / "data"))

    async def look_up(question: str) -> str:
        return "3 €"

    code = readme_example(name)
    assert len([line for line in code.splitlines() if line.strip()]) < 15
    space: dict[str, object] = {"look_up": look_up}
    exec(code, space)  # noqa: S102
    url = await serve_app(space["app"], lifespan)
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{url}{prefix}/api/runs", json={"question": "the price?"}) as response:
            assert (await response.json())["message"]["content"] == words
        async with session.get(f"{url}{prefix}/") as response:
            assert response.status == 200
            assert "Millstream" in await response.text()
    await space["stream"].close()  # type: ignore[attr-defined]


async def test_the_answer_of_the_library_page_is_over_the_documents(
    serve_app, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("MILLSTREAM_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("MILLSTREAM_QUOTE_PACE", "0")
    (tmp_path / "leave.md").write_text("# Leave\n\nEverybody has 28 days of paid leave a year.\n")
    space: dict[str, Any] = {}
    exec(blocks("docs/library.md", "python")[0], space)  # noqa: S102
    async with space["stream"].lifespan():
        await space["stream"].index([tmp_path / "leave.md"])
        url = await serve_app(space["app"], "off")
        async with aiohttp.ClientSession() as session:
            asked = {"question": "How many days of paid leave are there?"}
            async with session.post(f"{url}/api/runs", json=asked) as response:
                message = (await response.json())["message"]
    assert "28 days" in message["content"]
    assert [citation["n"] for citation in message["citations"]] == [1]
    assert message["steps"][0]["label"] == "Found 1 related passages"


def test_the_vocabulary_example_is_an_event() -> None:
    from millstream.events import TextDelta, decode

    assert isinstance(decode(blocks("docs/events.md", "json")[0]), TextDelta)
