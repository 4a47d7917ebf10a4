"""Microsoft's clients of the AI Chat Protocol, and the merge rules of azure-search-openai-demo's front end."""

import asyncio
import os
import re
import sys
from pathlib import Path
from typing import Any

import hatch_build
import pytest
from running_node import Node

from millstream.errors import ModelError
from millstream.run import Run
from millstream.search import Passage
from millstream.wire.ai_chat import AIChatEncoder
from serving import CuttingProxy, Server, serving, within

PAGE = Path(__file__).parents[2] / "docs" / "clients" / "ai-chat.md"
SAID = "It costs 3 €[tariff.pdf#page=2]."


async def everything(run: Run) -> None:
    async with run.step("search", "Searching 2 documents…") as step:
        step.done("Found 1 related passage", query="price")
    run.cite([Passage("s1", "d1", "v1", "Tariff", "tariff.pdf", "It costs 3 €.", 2, 2, 0, 13)])
    run.think("They ask for the price.")
    tool = run.tool_started("convert", {"to": "EUR"})
    run.tool_finished(tool, {"rate": 1})
    run.write("It costs 3 €[1].")
    run.data("basket", {"items": 1})
    run.followups(["And two?"])


def js(node: Node, what: str, server: Server, url: str | None = None) -> Any:
    return node("ai_chat.mjs", what, url or server.url)


async def test_the_sdk_reads_both_forms_and_its_state_goes_round(tmp_path: Path, node: Node) -> None:
    async with serving(tmp_path, everything) as server:
        made = await js(node, "both", server)
    whole, first, last = made["whole"], made["lines"][0], made["lines"][-1]
    assert whole["message"] == {"role": "assistant", "content": SAID}
    assert made["text"] == SAID
    assert first["delta"] == {"role": "assistant"}
    assert whole["sessionState"] == first["sessionState"] == last["sessionState"] == {"visits": 1}
    assert whole["context"]["data_points"]["text"] == ["tariff.pdf#page=2: It costs 3 €."]
    assert [thought["title"] for thought in whole["context"]["thoughts"]] == ["Found 1 related passage", "convert"]
    assert whole["context"]["reasoning"] == last["context"]["reasoning"] == "They ask for the price."
    assert whole["context"]["data"] == [{"name": "basket", "data": {"items": 1}}]
    assert whole["context"]["finish_reason"] == last["context"]["finish_reason"] == "stop"


async def test_the_bytes_are_what_a_plain_reader_needs(tmp_path: Path, node: Node) -> None:
    async with serving(tmp_path, everything) as server:
        made = await js(node, "bytes", server)
    assert made["text"].endswith("}\n")
    assert len(made["lines"]) == made["text"].count("\n")
    assert "".join(line["delta"].get("content", "") for line in made["lines"]) == SAID
    assert all("error" not in line for line in made["lines"])


async def test_blank_lines_are_invisible(tmp_path: Path, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    beats = 0
    beaten = asyncio.Event()
    heartbeat = AIChatEncoder.heartbeat

    def beat(self: AIChatEncoder) -> bytes:
        nonlocal beats
        beats += 1
        if beats == 3:
            beaten.set()
        return heartbeat

    async def answer(run: Run) -> None:
        run.write("Hello ")
        await beaten.wait()
        run.write("world")

    monkeypatch.setattr(AIChatEncoder, "heartbeat", property(beat))
    async with serving(tmp_path, answer, heartbeat=0.02) as server:
        made = await js(node, "stream", server)
        beats = 0
        beaten.clear()
        as_demo = await js(node, "demo", server)
    assert [line["delta"] for line in made["lines"][1:3]] == [{"content": "Hello "}, {"content": "world"}]
    assert len(made["lines"]) == 4
    assert as_demo["answer"]["message"]["content"] == "Hello world"


async def test_an_error_in_the_stream_is_thrown_after_the_text_so_far(tmp_path: Path, node: Node) -> None:
    async def answer(run: Run) -> None:
        run.write("It co")
        raise ModelError("It broke off.", code="model-interrupted", retryable=True)

    async with serving(tmp_path, answer) as server:
        made = await js(node, "stream", server)
        as_demo = await js(node, "demo", server)
    assert made["lines"][-1] == {"delta": {"content": "It co"}}
    assert made["thrown"] == {"code": "model-interrupted", "message": "It broke off."}
    assert as_demo == {"text": "It co", "thrown": "It broke off."}


async def test_a_refusal_is_thrown(tmp_path: Path, node: Node) -> None:
    async with serving(tmp_path, everything) as server:
        made = await js(node, "refused", server)
        as_demo = await js(node, "demoRefused", server)
    message = "`messages` must end with a message of role `user`."
    assert made == {form: {"code": "invalid-request", "message": message} for form in ("whole", "stream")}
    assert as_demo == {"thrown": message}


async def test_a_models_refusal_is_thrown(tmp_path: Path, node: Node) -> None:
    async def answer(run: Run) -> None:
        raise ModelError("Not about that.", code="model-content-filter", retryable=False)

    async with serving(tmp_path, answer) as server:
        made = await js(node, "failed", server)
    error = {"code": "model-content-filter", "message": "Not about that."}
    assert made == {"whole": error, "stream": error}


async def test_what_a_filter_ended_says_so(tmp_path: Path, node: Node) -> None:
    async def answer(run: Run) -> None:
        run.write("It")
        run.finish("content_filter")

    async with serving(tmp_path, answer) as server:
        made = await js(node, "stream", server)
    assert made["lines"][-1]["context"]["finish_reason"] == "content_filter"


async def test_a_stopped_answer_ends_without_a_throw(tmp_path: Path, node: Node) -> None:
    async with serving(tmp_path) as server:
        reading = asyncio.create_task(js(node, "stream", server))
        telling = await server.told.next()
        telling.run.write("One. Two.")
        await server.post(f"/api/runs/{telling.run.id}/stop", {"seen": 4})
        made = await within(reading)
    assert "thrown" not in made
    context = made["lines"][-1]["context"]
    assert (context["aborted"], context["seen"], context["finish_reason"]) == (True, 4, "aborted")


async def test_the_demo_has_answer_citations_thoughts_followups_and_state(tmp_path: Path, node: Node) -> None:
    async with serving(tmp_path, everything) as server:
        made = await js(node, "demo", server)
    answer = made["answer"]
    assert answer["message"] == {"role": "assistant", "content": SAID}
    assert made["citations"] == ["tariff.pdf#page=2"]
    assert made["shown"][0] == {"role": "assistant", "citations": 1}
    search, tool = answer["context"]["thoughts"]
    assert (search["title"], search["description"]) == ("Found 1 related passage", "Searching 2 documents…")
    assert search["props"]["query"] == "price"
    assert tool == {"title": "convert", "props": {"arguments": {"to": "EUR"}, "output": {"rate": 1}}}
    assert answer["context"]["followup_questions"] == ["And two?"]
    assert answer["context"]["finish_reason"] == "stop"
    assert answer["session_state"] == {"token": 7}


async def test_a_question_comes_with_its_file(tmp_path: Path, node: Node) -> None:
    async with serving(tmp_path, embedder="none") as server:
        server.millstream.answers.clear()  # the built-in answer over documents
        made = await js(node, "files", server)
    assert made["whole"]["message"]["content"] == made["text"]
    assert "twenty-seven days" in made["text"]
    assert "[uploads/leave.md]" in made["text"]


async def test_a_cut_stream_is_no_end(tmp_path: Path, node: Node) -> None:
    async with serving(tmp_path) as server, CuttingProxy(server.port, cuts=[900]).running() as proxy:
        reading = asyncio.create_task(js(node, "stream", server, proxy.url))
        telling = await server.told.next()
        telling.run.write("One. " * 200)
        made = await within(reading)
        await within(telling.cancelled.wait())
    assert made["thrown"]


# The SDK asks again after a 5xx, and when a connection was lost before the answer began.


async def test_identified_retries_ask_no_model_again(tmp_path: Path, node: Node) -> None:
    asked = 0

    async def answer(run: Run) -> None:
        nonlocal asked
        asked += 1
        raise ModelError("Gone.", code="model-unavailable", retryable=True)

    async with serving(tmp_path, answer) as server:
        made = await js(node, "retried", server)
        assert made["whole"] == made["stream"] == {"code": "model-unavailable", "message": "Gone."}
        assert asked == 1  # of eight requests
        await js(node, "failed", server)
    assert asked == 1 + 8


@pytest.mark.parametrize(("what", "runs"), [("lostIdentified", 1), ("lost", 2)])
async def test_a_lost_answer_is_read_again_or_made_again(what: str, runs: int, tmp_path: Path, node: Node) -> None:
    asked = 0

    async def answer(run: Run) -> None:
        nonlocal asked
        asked += 1
        run.write(f"Answer {asked}")

    async with serving(tmp_path, answer) as server, CuttingProxy(server.port, cuts=[1]).running() as proxy:
        made = await js(node, what, server, proxy.url)
    assert made["content"] == f"Answer {runs}"
    assert asked == runs


# The page.


def documented() -> list[tuple[str, str]]:
    return re.findall(r"^```(js|python|sh)\n(.*?)^```", PAGE.read_text(), flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(("language", "code"), documented())
async def test_the_documented_lines_work(language: str, code: str, tmp_path: Path, npm: hatch_build.Npm) -> None:
    commands = {"js": ["node", "--input-type=module", "-e"], "python": [sys.executable, "-c"], "sh": ["sh", "-c"]}
    (tmp_path / "handbook.md").write_text("# Costs\n\nIt costs 3 €.")
    async with serving(tmp_path, everything, embedder="none") as server:
        code = code.replace("http://127.0.0.1:8000", server.url).replace("handbook.md", str(tmp_path / "handbook.md"))
        process = await asyncio.create_subprocess_exec(
            *commands[language],
            code,
            cwd=Path(__file__).parent,
            env={**os.environ, "PATH": npm.path},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        printed, errors = await within(process.communicate())
    assert process.returncode == 0, errors.decode()
    assert "It costs 3 €[tariff.pdf#page=2]." in printed.decode()
