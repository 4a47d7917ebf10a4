"""The non-streaming answer: its status is withheld until the end, unless silence lasts too long."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from millstream.errors import MODEL_ERROR_STATUS, ModelError, NotFound, RunError
from serving import Answered, Server, Telling, asking, serving, within


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(tmp_path) as server:
        yield server


async def failed(server: Server, error: BaseException) -> Answered:
    """The answer to a run that said "Half " and then raised."""
    asked = asyncio.create_task(server.post("/api/runs", {"question": "Why?", "run_id": "r1"}))
    telling = await server.told.next()
    telling.run.write("Half ")
    telling.fail(error)
    return await within(asked)


@pytest.mark.parametrize(("code", "status"), MODEL_ERROR_STATUS.items())
async def test_a_failed_answer_has_its_failures_own_status_and_keeps_the_partial_message(
    server: Server, code: str, status: int
) -> None:
    response = await failed(server, ModelError("The model is unwell.", code=code, retryable=True))
    assert response.status == status
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["Millstream-Run"] == "r1"
    body = response.json
    assert (body["status"], body["code"], body["detail"]) == (status, code, "The model is unwell.")
    assert body["retryable"] is True
    assert (body["run_id"], body["state"], body["message"]["content"]) == ("r1", "failed", "Half ")
    assert "reason" not in body["message"]


async def test_a_failure_that_says_when_to_come_back_sets_retry_after(server: Server) -> None:
    error = ModelError("Too many.", code="model-rate-limited", retryable=True, retry_after=2.2)
    response = await failed(server, error)
    assert response.headers["Retry-After"] == "3"
    assert response.json["retry_after"] == 2.2


async def test_a_failure_of_the_applications_own_is_a_500_with_its_code(server: Server) -> None:
    response = await failed(server, RunError("No credit left.", code="no-credit"))
    assert (response.status, response.json["code"]) == (500, "no-credit")


async def test_a_failure_of_the_applications_own_has_the_status_that_it_gives(server: Server) -> None:
    response = await failed(server, RunError("No credit left.", code="no-credit", status=402))
    assert (response.status, response.json["status"], response.json["code"]) == (402, 402, "no-credit")
    snapshot = (await server.get("/api/runs/r1")).json
    assert snapshot["message"]["error"] == {
        "code": "no-credit", "message": "No credit left.", "retryable": False, "status": 402
    }  # fmt: skip
    attached = await server.post("/api/runs", {"question": "Why?", "run_id": "r1"})
    assert attached.status == 402


async def test_a_refusal_that_an_answer_meets_keeps_its_status(server: Server) -> None:
    response = await failed(server, NotFound("There is no such order.", code="no-document"))
    assert (response.status, response.json["code"]) == (404, "no-document")


@pytest.mark.parametrize("status", [200, 399, 600])
def test_a_run_cannot_fail_with_a_status_that_is_no_failure(status: int) -> None:
    with pytest.raises(ValueError, match=str(status)):
        RunError("No credit left.", status=status)
    assert [RunError("No credit left.", status=edge).status for edge in (400, 599)] == [400, 599]


async def test_an_answer_that_raises_tells_the_client_no_secret_no_path_and_no_stack(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """The log of the server has it all."""
    response = await failed(server, ValueError("key sk-secret-123 in /home/ann/.env"))
    assert (response.status, response.json["code"]) == (500, "internal")
    for body in (
        response.body,
        (await server.get("/api/runs/r1")).body,
        (await server.get("/api/runs/r1/events")).body,
    ):
        for leak in (b"sk-secret", b"/home", b"ValueError", b"Traceback"):
            assert leak not in body
    assert "sk-secret-123" in caplog.text


async def test_a_stopped_answer_is_a_200_with_its_state(server: Server) -> None:
    asked = asyncio.create_task(server.post("/api/runs", {"question": "Why?", "run_id": "r1"}))
    telling = await server.told.next()
    telling.run.write("Half ")
    await server.post("/api/runs/r1/stop")
    response = await within(asked)
    assert (response.status, response.json["state"], response.json["message"]["content"]) == (200, "stopped", "Half ")


class Slow:
    """A non-streaming answer that has been silent for so long that it began."""

    def __init__(self, response: aiohttp.ClientResponse, telling: Telling) -> None:
        self.response = response
        self.telling = telling


@pytest.fixture
async def slow(tmp_path: Path) -> AsyncIterator[Slow]:
    body = {"question": "Why?", "run_id": "r1"}
    async with (
        serving(tmp_path, heartbeat=0.05) as server,
        server.client.post(f"{server.url}/api/runs", json=body) as response,
    ):
        yield Slow(response, await server.told.next())


async def test_after_the_heartbeats_silence_it_commits_to_200_and_sends_white_space(slow: Slow) -> None:
    assert slow.response.status == 200
    assert slow.response.headers["Content-Type"] == "application/json"
    assert slow.response.headers["Millstream-Run"] == "r1"
    assert (await within(slow.response.content.readexactly(3))).strip() == b""
    slow.telling.run.write("At last.")
    slow.telling.end()
    rest = await within(slow.response.read())
    assert json.loads(b"   " + rest)["message"]["content"] == "At last."


async def test_words_do_not_put_the_heartbeat_off_for_they_are_not_sent(tmp_path: Path) -> None:
    async with serving(tmp_path, heartbeat=0.05) as server:
        asked = server.client.post(f"{server.url}/api/runs", json={"question": "Why?"})
        waiting = asyncio.ensure_future(asked)
        telling = await server.told.next()
        while not waiting.done():
            telling.run.write("word ")
            await asyncio.sleep(0.005)
        async with waiting.result() as response:
            telling.end()
            assert json.loads(await within(response.read()))["state"] == "finished"


async def test_white_space_comes_once_a_heartbeat_however_many_words_there_are(tmp_path: Path) -> None:
    async with serving(tmp_path, heartbeat=0.5) as server:
        waiting = asyncio.ensure_future(server.client.post(f"{server.url}/api/runs", json={"question": "Why?"}))
        telling = await server.told.next()
        async with await within(waiting) as response:
            begun = asyncio.get_running_loop().time()
            for _ in range(100):
                telling.run.write("word ")
                await asyncio.sleep(0)
            telling.end()
            body = await within(response.read())
            beats = 1 + (asyncio.get_running_loop().time() - begun) / 0.5
    assert len(body) - len(body.lstrip()) <= beats + 1


async def test_a_failure_after_that_shows_as_state_failed(slow: Slow) -> None:
    slow.telling.run.write("Half ")
    slow.telling.fail(ModelError("The model fell silent.", code="model-timeout-between-tokens", retryable=True))
    body = json.loads(await within(slow.response.read()))
    assert (body["state"], body["message"]["content"]) == ("failed", "Half ")
    assert body["message"]["error"] == {
        "code": "model-timeout-between-tokens", "message": "The model fell silent.", "retryable": True
    }  # fmt: skip


async def test_a_quick_answer_is_committed_only_at_its_end(server: Server) -> None:
    waiting = asyncio.ensure_future(server.client.post(f"{server.url}/api/runs", json={"question": "Why?"}))
    telling = await server.told.next()
    async with asking(server, question="Meanwhile?") as other:
        (await server.told.next()).end()
        await other.rest()
    assert not waiting.done()
    telling.end()
    async with await within(waiting) as response:
        assert response.status == 200
