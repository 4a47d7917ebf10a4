"""AG-UI's clients against `/ag-ui`: npm `@ag-ui/client`, which verifies what it is sent, and PyPI `ag-ui-protocol`."""

import asyncio
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import hatch_build
import pytest
from ag_ui.core import Event, RunAgentInput, UserMessage
from pydantic import TypeAdapter
from running_node import Node

from millstream.errors import ModelError
from millstream.run import Run
from millstream.search import Passage
from serving import CuttingProxy, Server, serving, within

PAGE = Path(__file__).parents[2] / "docs" / "clients" / "ag-ui.md"


def passage(n: int) -> Passage:
    return Passage(
        source_id=f"s{n}", document_id="d1", version="v1", title="Tariff", uri="tariff.pdf", text="It costs 3 €.",
        page_start=n, score=0.5,
    )  # fmt: skip


async def everything(run: Run) -> None:
    """Says something of every kind."""
    async with run.step("search", "Searching…") as step:
        run.cite([passage(1), passage(2)])
        step.done("Found 2 passages", query="price")
    run.think("A price\u2028is asked for.")
    tool = run.tool_started("convert", {"from": "EUR"})
    run.tool_finished(tool, {"rate": 1.5})
    run.write("It costs 3 € [1].")
    run.data("basket", {"items": 1}, key="k")
    run.followups(["And two?"])


def of_type(run: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [event for event in run["events"] if event["type"] == kind]


async def test_a_whole_run_is_verified_and_becomes_messages(tmp_path: Path, node: Node) -> None:
    async with serving(tmp_path, everything) as server:
        told = await node("ag_ui.mjs", server.url)
    [run] = told["runs"]
    types = [event["type"] for event in run["events"]]
    assert told["warnings"] == []
    assert "rejected" not in run
    assert (types[0], types[-1], run["outcome"]) == ("RUN_STARTED", "RUN_FINISHED", "success")
    assert {(event["threadId"], event["runId"]) for event in (run["events"][0], run["events"][-1])} == {
        ("thread-1", "run-0")
    }
    by_role = {message["role"]: message for message in told["messages"]}
    answer = told["messages"][-1]
    assert answer["content"] == "It costs 3 €."
    assert answer["metadata"]["reason"] == "stop"
    [citation] = answer["metadata"]["citations"]
    assert answer["content"][citation["start"] : citation["end"]] == "It costs 3 €"
    assert by_role["reasoning"]["content"] == "A price\u2028is asked for."
    assert by_role["activity"]["activityType"] == "SOURCES"
    assert [(source["n"], source["page_start"]) for source in by_role["activity"]["content"]["sources"]] == [
        (1, 1),
        (2, 2),
    ]
    assert by_role["tool"]["content"] == '{"rate":1.5}'
    assert run["pending"] == []


async def test_steps_pair_and_tell_their_labels(tmp_path: Path, node: Node) -> None:
    async with serving(tmp_path, everything) as server:
        [run] = (await node("ag_ui.mjs", server.url))["runs"]
    [begun], [ended] = of_type(run, "STEP_STARTED"), of_type(run, "STEP_FINISHED")
    assert begun["stepName"] == ended["stepName"] == "search"
    assert begun["metadata"]["label"] == "Searching…"
    assert ended["metadata"]["label"] == "Found 2 passages"
    assert ended["metadata"]["detail"] == {"query": "price"}


async def test_usage_followups_and_the_applications_events_arrive(tmp_path: Path, node: Node) -> None:
    script = tmp_path / "script.json"
    steps = [{"type": "text", "text": "Hello"}, {"type": "usage", "input_tokens": 10, "output_tokens": 5}]
    script.write_text(json.dumps({"calls": [{"steps": steps}]}))
    async with serving(tmp_path, everything, model=f"scripted/{script}") as server:
        [run] = (await node("ag_ui.mjs", server.url))["runs"]
        chat = {"forwardedProps": {"millstream": {"answer": "chat"}}}
        [by_model] = (await node("ag_ui.mjs", server.url, json.dumps({"input": chat})))["runs"]
    assert {event["name"]: event["value"] for event in of_type(run, "CUSTOM")} == {
        "basket": {"items": 1},
        "followups": ["And two?"],
    }
    [usage] = by_model["events"][-1]["usage"]
    assert (usage["inputTokens"], usage["outputTokens"], usage["totalTokens"]) == (10, 5, 15)


async def test_an_error_in_the_middle_is_delivered_after_the_words_so_far(tmp_path: Path, node: Node) -> None:
    async with serving(tmp_path) as server:
        asked = asyncio.create_task(node("ag_ui.mjs", server.url))
        telling = await server.told.next()
        telling.run.write("It co")
        telling.fail(ModelError("The model broke off.", code="model-interrupted", retryable=True))
        told = await asked
    [run] = told["runs"]
    assert (run["error"]["message"], run["error"]["code"]) == ("The model broke off.", "model-interrupted")
    assert run["error"]["metadata"]["retryable"] is True
    assert told["messages"][-1]["content"] == "It co"
    assert run["events"][-1]["type"] == "RUN_ERROR"


async def test_a_model_that_refuses_at_once_is_a_status(tmp_path: Path, node: Node) -> None:
    async def answer(run: Run) -> None:
        raise ModelError("Too many.", code="model-rate-limited", retryable=True, retry_after=7)

    async with serving(tmp_path, answer) as server:
        [run] = (await node("ag_ui.mjs", server.url))["runs"]
    assert run["rejected"]["status"] == 429
    assert run["rejected"]["payload"] == {"type": "RUN_ERROR", "message": "Too many.", "code": "model-rate-limited"}
    assert run["events"] == []


async def test_a_request_that_is_refused_is_a_status(tmp_path: Path, node: Node) -> None:
    async with serving(tmp_path) as server:
        [run] = (await node("ag_ui.mjs", server.url, json.dumps({"questions": [""]})))["runs"]
    assert run["rejected"]["status"] == 400
    assert run["rejected"]["payload"]["code"] == "invalid-request"


@pytest.mark.parametrize("old", [False, True])
async def test_a_stopped_run_is_cancelled_and_not_an_error(tmp_path: Path, node: Node, old: bool) -> None:
    async with serving(tmp_path) as server:
        asked = asyncio.create_task(node("ag_ui.mjs", server.url, json.dumps({"old": old})))
        telling = await server.told.next()
        telling.run.write("One. Two.")
        assert (await server.post(f"/api/runs/{telling.run.id}/stop", {"seen": 4})).status == 200
        told = await asked
    [run] = told["runs"]
    assert run["events"][-1]["type"] == "RUN_FINISHED"
    assert "error" not in run
    assert told["messages"][-1]["content"] == "One. Two."
    if not old:
        assert run["outcome"] == "cancelled"
        assert told["messages"][-1]["metadata"]["seen"] == 4


async def test_a_filtered_answer_says_so(tmp_path: Path, node: Node) -> None:
    async def answer(run: Run) -> None:
        run.write("No")
        run.finish("content_filter")

    async with serving(tmp_path, answer) as server:
        told = await node("ag_ui.mjs", server.url)
    assert told["messages"][-1]["metadata"]["reason"] == "content_filter"


async def test_a_client_that_aborts_ends_quietly_and_stops_the_run(tmp_path: Path, node: Node) -> None:
    async with serving(tmp_path) as server:
        asked = asyncio.create_task(node("ag_ui.mjs", server.url, json.dumps({"abortAt": "TEXT_MESSAGE_CONTENT"})))
        telling = await server.told.next()
        telling.run.write("Hello")
        told = await asked
        await within(telling.cancelled.wait())
    assert "rejected" not in told["runs"][0]
    assert told["messages"][-1]["content"] == "Hello"


async def test_a_stream_that_is_cut_has_no_end_and_keeps_the_words(tmp_path: Path, node: Node) -> None:
    async with serving(tmp_path, everything) as server:
        body = (await ask(server)).body
        async with CuttingProxy(server.port, cuts=[len(body) - 50]).running() as proxy:  # …and there is a head as well
            told = await node("ag_ui.mjs", proxy.url)
    types = [event["type"] for event in told["runs"][0]["events"]]
    assert types[0] == "RUN_STARTED"
    assert "RUN_FINISHED" not in types
    assert told["messages"][-1]["content"] == "It costs 3 €."


async def test_heartbeats_are_invisible(tmp_path: Path, node: Node) -> None:
    async with serving(tmp_path, heartbeat=0.01) as server:
        asked = asyncio.create_task(node("ag_ui.mjs", server.url))
        telling = await server.told.next()
        telling.run.write("Hel")
        async with server.client.post(f"{server.url}/ag-ui", json=an_input()) as later:
            other = await server.told.next()
            while b": ping" not in await within(later.content.readline()):
                pass
        telling.run.write("lo")
        telling.end()
        told = await asked
        await within(other.cancelled.wait())
    assert told["messages"][-1]["content"] == "Hello"
    assert told["runs"][0]["outcome"] == "success"


async def test_the_next_question_comes_with_what_the_client_kept(tmp_path: Path, node: Node) -> None:
    seen = []

    async def answer(run: Run) -> None:
        seen.append([(message.role, message.content) for message in run.messages])
        await everything(run)

    async with serving(tmp_path, answer) as server:
        told = await node("ag_ui.mjs", server.url, json.dumps({"questions": ["Why?", "And then?"]}))
    assert [run["outcome"] for run in told["runs"]] == ["success", "success"]
    assert seen[1] == [("user", "Why?"), ("assistant", "It costs 3 €."), ("user", "And then?")]
    assert [
        message["content"] for message in told["messages"] if message["role"] == "assistant" and "metadata" in message
    ]


async def test_a_client_from_before_1_0_takes_the_whole_run(tmp_path: Path, node: Node) -> None:
    async with serving(tmp_path, everything) as server:
        told = await node("ag_ui.mjs", server.url, json.dumps({"old": True, "questions": ["Why?", "And then?"]}))
    for run in told["runs"]:
        assert "rejected" not in run
        assert run["events"][-1]["type"] == "RUN_FINISHED"
        assert [event["name"] for event in of_type(run, "CUSTOM")] == ["source", "source", "basket", "followups"]
    assert told["messages"][-1]["content"] == "It costs 3 €."


async def test_the_python_models_read_every_event(tmp_path: Path) -> None:
    async with serving(tmp_path, everything) as server:
        answered = await ask(server)
    assert b"\r" not in answered.body
    events = [
        TypeAdapter[Any](Event).validate_json(block.removeprefix("data: "))
        for block in answered.body.decode().split("\n\n")[:-1]
    ]
    assert [type(event).__name__ for event in events][:: len(events) - 1] == ["RunStartedEvent", "RunFinishedEvent"]
    assert all(not event.__pydantic_extra__ for event in events)
    assert "".join(getattr(event, "delta", "") for event in events if "Text" in type(event).__name__) == "It costs 3 €."


def an_input() -> dict[str, Any]:
    asked = RunAgentInput(
        thread_id="t", run_id="r", protocol_version="1.0", messages=[UserMessage(id="q", content="Why?")]
    )
    return asked.model_dump(by_alias=True)


async def ask(server: Server) -> Any:
    return await server.post("/ag-ui", an_input())


@pytest.mark.parametrize("number", [0, 1])
async def test_the_documented_lines_work(tmp_path: Path, npm: hatch_build.Npm, number: int) -> None:
    language, code = re.findall(r"^```(js|python)\n(.*?)^```", PAGE.read_text(), flags=re.DOTALL | re.MULTILINE)[number]
    commands = {"js": ["node", "--input-type=module", "-e"], "python": [sys.executable, "-c"]}
    async with serving(tmp_path, everything) as server:
        process = await asyncio.create_subprocess_exec(
            *commands[language],
            code.replace("http://127.0.0.1:8000", server.url),
            cwd=Path(__file__).parent,
            env={**os.environ, "PATH": npm.path},
            stdout=asyncio.subprocess.PIPE,
        )
        printed, _ = await within(process.communicate())
    assert process.returncode == 0
    assert "It costs 3 €." in printed.decode()
