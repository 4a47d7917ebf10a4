"""`POST /api/runs`: one run in each of its forms, byte for byte."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from millstream.run import Run
from millstream.search import Passage
from serving import Server, Told, asking, serving, within

PASSAGE = Passage(
    source_id="p1", document_id="d1", version="1", title="handbook.md", uri="handbook.md", text="Mills turn.", score=0.5
)

STREAM = """\
{"type":"run.started","seq":1,"at":0,"format":1,"run_id":"r1","conversation_id":"ID","message_id":"ID","model":"default","created":0,"parent_id":"ID"}
{"type":"step.started","seq":2,"at":0,"step_id":"s1","name":"search","label":"Searching…"}
{"type":"step.finished","seq":3,"at":0,"step_id":"s1","label":"Found 1","elapsed_ms":0,"detail":{"query":"Why?"}}
{"type":"source","seq":4,"at":0,"n":1,"source_id":"p1","document_id":"d1","version":"1","title":"handbook.md","uri":"handbook.md","snippet":"Mills turn.","score":0.5}
{"type":"reasoning.delta","seq":5,"at":0,"text":"Hm."}
{"type":"text.delta","seq":6,"at":0,"text":"They do\\u2028turn"}
{"type":"citation","seq":7,"at":0,"n":1,"start":0,"end":12}
{"type":"text.delta","seq":8,"at":0,"text":"."}
{"type":"data","seq":9,"at":0,"name":"price","data":{"euro":1}}
{"type":"text.finished","seq":10,"at":0,"reason":"stop"}
{"type":"followups","seq":11,"at":0,"questions":["And then?"]}
{"type":"run.finished","seq":12,"at":0}
"""  # noqa: E501

WHOLE = (
    '{"run_id":"r1","conversation_id":"ID","message_id":"ID","model":"default","created":0,"state":"finished",'
    '"seq":12,"message":{"content":"They do\\u2028turn.","steps":[{"step_id":"s1","name":"search","label":"Found 1",'
    '"state":"done","detail":{"query":"Why?"},"elapsed_ms":0}],"sources":[{"n":1,"source_id":"p1","document_id":"d1",'
    '"version":"1","title":"handbook.md","uri":"handbook.md","snippet":"Mills turn.","score":0.5}],'
    '"citations":[{"n":1,"start":0,"end":12}],"followups":["And then?"],"reasoning":"Hm.",'
    '"data":[{"name":"price","data":{"euro":1}}],"reason":"stop"},"parent_id":"ID"}'
)


async def everything(run: Run) -> None:
    async with run.step("search", "Searching…") as step:
        step.done("Found 1", query="Why?")
    run.cite([PASSAGE])
    run.think("Hm.")
    run.write("They do\u2028turn [1].")
    run.data("price", {"euro": 1})
    run.followups(["And then?"])


def steady(body: bytes) -> str:
    """The bytes without what differs from run to run: times and ids that the server chose."""
    text = re.sub(r'"(at|created|elapsed_ms)":\d+', r'"\1":0', body.decode())
    return re.sub(r'"(conversation_id|message_id|parent_id)":"[0-9a-f]{32}"', r'"\1":"ID"', text)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(tmp_path, everything) as server:
        yield server


def sse(stream: str) -> str:
    return "".join(f"id: {seq}\ndata: {line}\n\n" for seq, line in enumerate(stream.splitlines(), 1))


async def test_ndjson_is_one_event_a_line_byte_for_byte(server: Server) -> None:
    response = await server.post(
        "/api/runs", {"question": "Why?", "run_id": "r1"}, headers={"Accept": "application/x-ndjson"}
    )
    assert response.status == 200
    assert steady(response.body) == STREAM
    assert response.headers["Content-Type"] == "application/x-ndjson"


async def test_sse_is_the_same_events_with_their_seq_as_id_byte_for_byte(server: Server) -> None:
    response = await server.post(
        "/api/runs", {"question": "Why?", "run_id": "r1"}, headers={"Accept": "text/event-stream"}
    )
    assert steady(response.body) == sse(STREAM)
    assert response.headers["Content-Type"] == "text/event-stream"
    assert b"\r" not in response.body


async def test_json_is_the_whole_answer_byte_for_byte_and_the_same_object_as_the_snapshot(server: Server) -> None:
    response = await server.post("/api/runs", {"question": "Why?", "run_id": "r1"})
    assert response.status == 200
    assert steady(response.body) == WHOLE
    assert response.headers["Content-Type"] == "application/json"
    assert (await server.get("/api/runs/r1")).body == response.body


@pytest.mark.parametrize("accept", ["application/x-ndjson", "text/event-stream"])
async def test_streams_forbid_every_proxy_to_hold_or_change_them(server: Server, accept: str) -> None:
    response = await server.post("/api/runs", {"question": "Why?", "run_id": "r1"}, headers={"Accept": accept})
    assert response.headers["Cache-Control"] == "no-cache, no-transform"
    assert response.headers["X-Accel-Buffering"] == "no"
    assert response.headers["Millstream-Run"] == "r1"


async def test_the_whole_answer_names_its_run_too(server: Server) -> None:
    response = await server.post("/api/runs", {"question": "Why?"})
    assert response.headers["Millstream-Run"] == response.json["run_id"]


async def test_plain_curl_just_works(server: Server) -> None:
    """curl -d sends a form's content type and accepts anything."""
    process = await asyncio.create_subprocess_exec(
        "curl", "-s", "-d", '{"question":"Why?"}', f"{server.url}/api/runs", stdout=asyncio.subprocess.PIPE
    )
    out, _ = await within(process.communicate())
    assert process.returncode == 0
    assert b'"state":"finished"' in out


async def test_json_is_the_form_without_an_accept_header(server: Server) -> None:
    response = await server.post("/api/runs", {"question": "Why?"}, without=["Accept", "User-Agent"])
    assert response.json["state"] == "finished"


async def test_stream_true_means_ndjson_whatever_accept_says(server: Server) -> None:
    response = await server.post(
        "/api/runs", {"question": "Why?", "run_id": "r1", "stream": True}, headers={"Accept": "application/json"}
    )
    assert steady(response.body) == STREAM


async def test_stream_false_means_json_whatever_accept_says(server: Server) -> None:
    for accept in ("text/event-stream", "text/html"):
        response = await server.post(
            "/api/runs", {"question": "Why?", "run_id": "r1", "stream": False}, headers={"Accept": accept}
        )
        assert steady(response.body) == WHOLE


async def test_an_accept_that_rules_every_form_out_is_refused_and_starts_nothing(server: Server) -> None:
    response = await server.post("/api/runs", {"question": "Why?", "run_id": "r1"}, headers={"Accept": "image/png"})
    assert response.status == 406
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json["code"] == "not-acceptable"
    assert (await server.get("/api/runs/r1")).status == 404


async def test_the_same_start_again_attaches_and_another_request_is_refused(server: Server) -> None:
    body = {"question": "Why?", "run_id": "r1", "stream": True}
    first = await server.post("/api/runs", body)
    assert (await server.post("/api/runs", body)).body == first.body
    other = await server.post("/api/runs", {**body, "question": "How?"})
    assert (other.status, other.json["code"]) == (409, "run-exists")


@pytest.mark.parametrize(("accept", "heartbeat"), [("application/x-ndjson", b"\n"), ("text/event-stream", b": ping\n")])
async def test_a_silent_stream_is_sent_heartbeats(tmp_path: Path, accept: str, heartbeat: bytes) -> None:
    told = Told()
    async with (
        serving(tmp_path, told.answer, heartbeat=0.05) as server,
        server.client.post(f"{server.url}/api/runs", json={"question": "Why?"}, headers={"Accept": accept}) as response,
    ):
        telling = await told.next()
        end_of_first = b"}\n" if accept == "application/x-ndjson" else b"}\n\n"
        await within(response.content.readuntil(end_of_first))
        assert await within(response.content.readexactly(len(heartbeat) * 3)) == heartbeat * 3
        telling.run.write("Still here.")
        telling.end()
        rest = await within(response.read())
    assert b"Still here." in rest
    assert rest.endswith(end_of_first)


async def test_answers_outlive_the_servers_keep_alive_timeout_and_many_silences(tmp_path: Path) -> None:
    told = Told()
    async with serving(tmp_path, told.answer, heartbeat=0.02) as server:
        server.uvicorn.config.timeout_keep_alive = 0.05  # type: ignore[assignment]
        async with asking(server) as reader:
            telling = await told.next()
            await reader.next()
            for _ in range(10):
                assert await within(reader.response.content.readline()) == b"\n"
            telling.run.write("At last.")
            telling.end()
            assert [event["type"] for event in await reader.rest()][-1] == "run.finished"


async def test_a_busy_stream_is_sent_no_heartbeat(tmp_path: Path) -> None:
    told = Told()
    loop = asyncio.get_running_loop()
    async with serving(tmp_path, told.answer, heartbeat=0.4) as server, asking(server) as reader:
        telling = await told.next()
        await reader.next()
        end = loop.time() + 1
        while loop.time() < end:
            telling.run.write("word ")
            assert await within(reader.response.content.readline()) != b"\n"
        telling.end()
        await reader.rest()
