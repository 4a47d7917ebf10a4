"""Streams are served before Starlette, and whatever goes wrong there is told as Starlette would tell it."""

import json
import logging
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from millstream.errors import Forbidden, InputError
from millstream.run import Run
from millstream.server.direct import StreamRoute, StreamsFirst
from serving import serving


def streams(response: ASGIApp, path: str = "/streams/{name}") -> tuple[StreamsFirst, Starlette]:
    async def handle(request: Request) -> ASGIApp:
        return response

    routed = Starlette(routes=[StreamRoute(path, handle, methods=["GET"])])
    return StreamsFirst(routed), routed


class Client:
    """What an application sends to it."""

    def __init__(self) -> None:
        self.sent: list[Message] = []

    async def ask(self, app: StreamsFirst, path: str = "/streams/x", *, method: str = "GET", root: str = "") -> None:
        scope = {"type": "http", "method": method, "path": root + path, "root_path": root, "headers": []}
        await app(scope, self._receive, self._send)

    async def _receive(self) -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def _send(self, message: Message) -> None:
        self.sent.append(message)

    @property
    def status(self) -> int:
        status: int = self.sent[0]["status"]
        return status

    @property
    def body(self) -> bytes:
        return b"".join(each.get("body", b"") for each in self.sent)


@pytest.fixture
def client() -> Client:
    return Client()


def raising(error: Exception) -> ASGIApp:
    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        raise error

    return serve


@pytest.mark.parametrize("root", ["", "/shop/chat"])
async def test_a_stream_is_given_its_path_and_the_application_it_belongs_to(client: Client, root: str) -> None:
    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["path_params"] == {"name": "x"}
        assert scope["app"] is routed
        await Response("yes")(scope, receive, send)

    app, routed = streams(serve)
    await client.ask(app, root=root)
    assert (client.status, client.body) == (200, b"yes")


async def test_no_layer_of_starlette_stands_around_a_stream(client: Client) -> None:
    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        assert "router" not in scope
        assert "starlette.exception_handlers" not in scope
        await Response()(scope, receive, send)

    await client.ask(streams(serve)[0])
    assert client.status == 200


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/elsewhere", 404), ("POST", "/streams/x", 405)])
async def test_other_paths_and_methods_are_starlettes(client: Client, method: str, path: str, status: int) -> None:
    await client.ask(streams(raising(AssertionError("not asked")))[0], path, method=method)
    assert client.status == status


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (InputError("No."), 400, "invalid-request"),
        (HTTPException(401, "Log in.", {"WWW-Authenticate": "Bearer"}), 401, "http-error"),
    ],
)
async def test_a_refusal_is_a_problem(client: Client, error: Exception, status: int, code: str) -> None:
    await client.ask(streams(raising(error))[0])
    problem = json.loads(client.body)
    assert (client.status, problem["status"], problem["code"]) == (status, status, code)
    if isinstance(error, HTTPException):
        assert (b"www-authenticate", b"Bearer") in client.sent[0]["headers"]


async def test_of_a_bug_the_client_is_told_only_that_it_happened_and_the_server_is_told_all(client: Client) -> None:
    with pytest.raises(RuntimeError, match="sk-123"):
        await client.ask(streams(raising(RuntimeError("secret sk-123")))[0])
    assert (client.status, json.loads(client.body)["code"]) == (500, "internal")
    assert b"sk-123" not in client.body


@pytest.mark.parametrize("error", [RuntimeError("bug"), InputError("No."), HTTPException(401)])
async def test_an_answer_that_has_begun_gets_no_second_head(client: Client, error: Exception) -> None:
    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise error

    with pytest.raises(type(error)):
        await client.ask(streams(serve)[0])
    assert [each["type"] for each in client.sent] == ["http.response.start"]


async def quick(run: Run) -> None:
    run.write("Yes.")


def by_header(connection: HTTPConnection) -> str:
    match connection.headers.get("x-user"):
        case "bug":
            raise RuntimeError("secret sk-123 in /home/ann")
        case "forbidden":
            raise Forbidden("Not you.")
        case "unknown":
            raise HTTPException(401, "Log in.")
    return "local"


@pytest.mark.parametrize(("user", "status"), [("bug", 500), ("forbidden", 403), ("unknown", 401)])
async def test_both_streaming_routes_tell_what_identify_raises(
    tmp_path: Path, user: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(tmp_path, identify=by_header) as server:
        with caplog.at_level(logging.ERROR):
            for method, path, body in (
                ("POST", "/api/runs", b'{"question":"Why?"}'),
                ("GET", "/api/runs/r/events", None),
            ):
                caplog.clear()
                response = await server.request(method, path, data=body, headers={"X-User": user})
                assert (response.status, response.json["status"]) == (status, status)
                assert b"sk-123" not in response.body
                assert ("sk-123" in caplog.text) == (user == "bug"), "the traceback is in the server's log"


async def test_who_leaves_before_it_has_asked_starts_nothing_and_leaves_an_end_behind(tmp_path: Path) -> None:
    async def receive() -> Message:
        return {"type": "http.disconnect"}

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async with serving(tmp_path, quick) as server:
        headers = [(b"host", b"localhost"), (b"content-length", b"20")]
        scope = {"type": "http", "method": "POST", "path": "/api/runs", "root_path": "", "headers": headers}
        await server.millstream.app(scope, receive, send)
        assert server.millstream.supervisor.running == 0
    assert [each.get("status") for each in sent] == [499, None], "for the layers of a host's application"


async def test_a_page_of_an_allowed_origin_may_read_the_stream_and_its_refusals(tmp_path: Path) -> None:
    origin = "https://shop.example"
    async with serving(tmp_path, quick, origins=(origin,)) as server:
        for body, status in ((b'{"question":"Why?"}', 200), (b"{", 400)):
            response = await server.request("POST", "/api/runs", data=body, headers={"Origin": origin})
            assert response.status == status
            assert response.headers["Access-Control-Allow-Origin"] == origin
        refused = await server.request("POST", "/api/runs", data=b"{}", headers={"Origin": "https://evil.example"})
        assert (refused.status, refused.json["code"]) == (403, "origin-not-allowed")
