"""Every example: copied by `millstream new`, started as its reader starts it, asked over HTTP."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from millstream.client import Client
from millstream.examples import EXAMPLES, about, example_names
from millstream.models.extractive import NO_MODEL
from millstream.snapshot import Snapshot
from serving import PATIENCE_S

ROOT = Path(__file__).parents[1]


def new(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "millstream", "new", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)


@contextlib.contextmanager
def running(folder: Path, example: str, **variables: str) -> Iterator[str]:
    """The address of the example's copy, served by uvicorn on a free port."""
    assert new(folder, "mine", "--example", example).returncode == 0
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "app:app", "--port", str(port), "--log-level", "error"],
        cwd=folder / "mine",
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "MILLSTREAM_QUOTE_PACE": "0", **variables},
    )
    url = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + 2 * PATIENCE_S
        while not answers(port):
            assert process.poll() is None, "the example ended"
            assert time.monotonic() < end, "the example does not answer"
            time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        assert process.wait(PATIENCE_S) is not None


def answers(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


def ask(url: str, question: str, token: str | None = None, **fields: Any) -> Snapshot:
    with Client(url, token=token) as client:
        return client.run(question, **fields).final()


def script(folder: Path, *steps: dict[str, Any]) -> str:
    """The setting for a model that says this."""
    (folder / "script.json").write_text(json.dumps({"calls": [{"steps": list(steps)}] * 2}))
    return f"scripted/{folder / 'script.json'}"


def test_a_simple_chat(tmp_path: Path) -> None:
    model = script(tmp_path, {"type": "text", "text": "Hello there."})
    with running(tmp_path, "simple-chat", MILLSTREAM_MODEL=model) as url:
        assert ask(url, "Hello?").message.content == "Hello there."


def test_answers_over_documents(tmp_path: Path) -> None:
    with running(tmp_path, "documents") as url, Client(url) as client:
        end = time.monotonic() + 2 * PATIENCE_S
        while not (found := client.run("How many days of paid leave are there?").final()).message.citations:
            assert time.monotonic() < end, found
        assert "28 days" in found.message.content
        assert found.message.sources[0].uri == "documents/leave.md"


def test_answers_over_rows_of_a_table(tmp_path: Path) -> None:
    model = script(tmp_path, {"type": "text", "text": "The rain jacket is waterproof [1]."})
    with running(tmp_path, "table-rows", MILLSTREAM_MODEL=model) as url:
        message = ask(url, "Which jacket is waterproof?").message
    assert message.content == "The rain jacket is waterproof."
    assert message.sources[0].title == "Rain jacket"
    assert [(citation.n, citation.start) for citation in message.citations] == [(1, 0)]
    assert message.steps[0].label == f"Found {len(message.sources)} products"


def test_without_a_model_the_rows_are_quoted(tmp_path: Path) -> None:
    with running(tmp_path, "table-rows") as url:
        message = ask(url, "Which jacket is waterproof?").message
    assert "Waterproof and breathable" in message.content
    assert [citation.n for citation in message.citations] == [1]


@pytest.mark.parametrize("example", ["simple-chat", "reasoning"])
def test_what_needs_a_model_says_so_until_it_has_one(tmp_path: Path, example: str) -> None:
    with running(tmp_path, example) as url:
        found = ask(url, "How many?")
    assert (found.state, found.message.content) == ("finished", NO_MODEL)


def test_an_api_without_a_page(tmp_path: Path) -> None:
    with running(tmp_path, "api-only") as url:
        assert ask(f"{url}/chat", "Why?", "secret-of-ann").message.content.endswith("that was “Why?”, ann.")
        with Client(f"{url}/chat", token="secret-of-bob") as bob:
            assert bob.conversations() == []
        for path, status in {
            "/version": 200,
            "/chat/api/conversations": 403,
            "/chat/": 404,
            "/chat/plain": 404,
        }.items():
            assert status_of(url + path) == status, path


def test_a_reasoning_model(tmp_path: Path) -> None:
    said = {"type": "reasoning", "text": "Hm."}, {"type": "text", "text": "42."}
    with running(tmp_path, "reasoning", MILLSTREAM_MODEL=script(tmp_path, *said)) as url:
        message = ask(url, "How many?", options={"reasoning_effort": "high"}).message
    assert (message.reasoning, message.content) == ("Hm.", "42.")
    [solved] = message.data or []
    assert solved.data["effort"] == "high"


def status_of(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_there_are_five_of_less_than_sixty_lines_and_each_has_its_test_and_its_place_in_the_docs() -> None:
    names = example_names()
    assert len(names) == 5
    tests, docs = Path(__file__).read_text(), (ROOT / "docs" / "examples.md").read_text()
    for name in names:
        assert len((EXAMPLES / name / "app.py").read_text().splitlines()) < 60
        assert f'running(tmp_path, "{name}"' in tests
        assert f"`{name}`" in docs


def test_the_examples_are_found_in_the_folder_of_that_name() -> None:
    assert (ROOT / "examples").resolve() == EXAMPLES.resolve()


# millstream new


def test_new_says_how_to_begin(tmp_path: Path) -> None:
    done = new(tmp_path, "mine")
    assert done.returncode == 0
    assert "cd mine\n  python app.py" in done.stdout
    assert (tmp_path / "mine" / "app.py").read_text() == (EXAMPLES / "documents" / "app.py").read_text()
    assert (tmp_path / "mine" / "documents" / "leave.md").is_file()


def test_new_tells_what_an_example_needs_and_where_to_look(tmp_path: Path) -> None:
    assert "Without a model it quotes the documents" in new(tmp_path, "documents").stdout
    chat = new(tmp_path, "chat", "--example", "simple-chat").stdout
    assert "It needs a model" in chat
    assert "\n  OPENAI_API_KEY=… MILLSTREAM_MODEL=openai/gpt-4o-mini python app.py\n" in chat
    api = new(tmp_path, "my api", "--example", "api-only").stdout
    assert "cd 'my api'" in api
    assert "curl" in api
    assert "Open " not in api


def test_new_lists_the_examples(tmp_path: Path) -> None:
    shown = new(tmp_path, "--list").stdout
    assert [line.split()[0] for line in shown.splitlines()] == example_names()
    assert all(about(name) in shown for name in example_names())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [((), "name of the folder"), (("mine", "--example", "poet"), "simple-chat"), (("taken",), "is there already")],
)
def test_new_refuses_with_one_clear_line(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    (tmp_path / "taken").mkdir()
    done = new(tmp_path, *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("millstream: ")
    assert words in done.stderr
