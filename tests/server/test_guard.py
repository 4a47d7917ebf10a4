"""No website can reach a person's own server: Host allow-list, Origin check, CORS for those who were allowed."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from millstream.server.guard import host_name
from millstream.server.settings import load_settings
from serving import Server, asking, serving

QUESTION = {"question": "Why?"}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """Strict, as `millstream serve` is."""
    async with serving(tmp_path, hosts="docs.example") as server:
        yield server


def test_serve_answers_to_loopback_names_only_by_default() -> None:
    assert load_settings().hosts == ()


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("localhost", "localhost"), ("localhost:8000", "localhost"), ("LOCALHOST:80", "localhost"),
        ("127.0.0.1:8000", "127.0.0.1"), ("[::1]:8000", "::1"), ("[::1]", "::1"), ("docs.example:", "docs.example"),
        ("[::1].evil.example", ""), ("[::1]evil", ""), ("localhost:80@evil.example", ""), ("a:b", ""), ("", ""),
        ("::1", ""), ("localhost:80:80", ""), ("evil.example/localhost", ""), ("a b", ""),
    ],
)  # fmt: skip
def test_the_name_in_a_host_header_has_neither_port_nor_brackets(host: str, name: str) -> None:
    assert host_name(host) == name


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:8000", "docs.example", "DOCS.example:443"])
async def test_loopback_and_named_hosts_are_answered(server: Server, host: str) -> None:
    assert (await server.get("/api/status", headers={"Host": host})).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "192.168.0.9", "10.0.0.1"]
)
@pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("GET", "/api/conversations"), ("POST", "/api/runs")])
async def test_a_rebound_name_is_refused_whatever_it_asks(server: Server, host: str, method: str, path: str) -> None:
    """DNS rebinding: the page's own name leads to this machine, so to the browser it is the same origin."""
    headers = {"Host": host, "Origin": f"http://{host}"}
    response = await server.request(method, path, headers=headers, json=QUESTION if method == "POST" else None)
    assert (response.status, response.json["code"]) == (403, "host-not-allowed")
    assert server.millstream.supervisor.running == 0


OTHERS = ["https://evil.example", "http://localhost:1", "null", "http://localhost.evil.example", "file://", "http://["]


@pytest.mark.parametrize("origin", OTHERS)
async def test_a_page_of_another_site_cannot_change_anything(server: Server, origin: str) -> None:
    async with asking(server, run_id="r1") as reader:
        started = await reader.next()
        conversation = f"/api/conversations/{started['conversation_id']}"
        for method, path in (
            ("POST", "/api/runs"), ("POST", "/api/runs/r1/stop"), ("PATCH", conversation), ("DELETE", conversation)
        ):  # fmt: skip
            response = await server.request(method, path, headers={"Origin": origin}, json=QUESTION)
            assert (response.status, response.json["code"]) == (403, "origin-not-allowed"), (method, path)
        assert server.millstream.supervisor.running == 1


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
async def test_a_form_of_another_site_cannot_start_a_run(server: Server, kind: str) -> None:
    """Simple requests are sent without asking first, so it is the Origin that must refuse them."""
    response = await server.request(
        "POST", "/api/runs", data=b'{"question":"Why?"}', headers={"Origin": "null", "Content-Type": kind}
    )
    assert response.status == 403
    assert server.millstream.supervisor.running == 0


async def test_another_site_may_not_read_what_it_gets(server: Server) -> None:
    response = await server.get("/api/conversations", headers={"Origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in response.headers


async def test_the_servers_own_page_and_clients_without_an_origin_can_start_a_run(server: Server) -> None:
    own = {"Origin": f"http://127.0.0.1:{server.port}"}
    for headers in ({}, own, {"Host": "docs.example", "Origin": "https://docs.example"}):
        async with asking(server, headers=headers) as reader:
            assert (await reader.next())["type"] == "run.started"


async def test_an_opaque_origin_is_nobodys_even_without_a_host(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        response = await server.request("POST", "/api/runs", json=QUESTION, headers={"Host": "", "Origin": "null"})
        assert response.status == 403


async def test_of_two_hosts_or_origins_the_first_counts(server: Server) -> None:
    """As for everything else that reads a header."""
    ours, theirs = f"127.0.0.1:{server.port}", "evil.example"
    for hosts, origins, status in (
        ((theirs, ours), (), 403),
        ((ours, theirs), (), 404),
        ((ours,), (f"http://{theirs}", f"http://{ours}"), 403),
        ((ours,), (f"http://{ours}", f"http://{theirs}"), 404),
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        lines = ["POST /api/runs/x/stop HTTP/1.1", "Content-Length: 0", "Connection: close"]
        lines += [f"Host: {host}" for host in hosts] + [f"Origin: {origin}" for origin in origins]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        first = await asyncio.wait_for(reader.readline(), 10)
        assert first.split()[1] == str(status).encode(), (hosts, origins)
        writer.close()


async def test_an_allowed_origin_may_ask_and_read_and_other_origins_still_not(tmp_path: Path) -> None:
    async with serving(tmp_path, origins="https://App.example/, http://localhost:5173") as server:
        for origin in ("https://app.example", "http://localhost:5173"):
            preflight = await server.request(
                "OPTIONS",
                "/api/runs",
                headers={
                    "Origin": origin,
                    "Access-Control-Request-Method": "POST",
                    "Access-Control-Request-Headers": "content-type, last-event-id, authorization",
                },
            )
            assert preflight.status == 200
            assert preflight.headers["Access-Control-Allow-Origin"] == origin
            assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
            async with asking(server, headers={"Origin": origin}) as reader:
                assert reader.response.headers["Access-Control-Allow-Origin"] == origin
                assert "Millstream-Run" in reader.response.headers["Access-Control-Expose-Headers"]
            for method, headers in (("PUT", "content-type"), ("PATCH", "content-type"), ("GET", "range")):
                asked = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}
                allowed = await server.request("OPTIONS", "/api/x", headers={"Origin": origin, **asked})
                assert allowed.status == 200
            read = await server.get("/api/conversations", headers={"Origin": origin})
            assert "Content-Range" in read.headers["Access-Control-Expose-Headers"]
        refused = await server.request(
            "OPTIONS",
            "/api/runs",
            headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"},
        )
        assert "Access-Control-Allow-Origin" not in refused.headers
        assert (await server.post("/api/runs", QUESTION, headers={"Origin": "https://evil.example"})).status == 403


async def test_the_guard_holds_on_ipv6_too(tmp_path: Path) -> None:
    if not socket.has_ipv6:
        return
    async with serving(tmp_path, hosts="docs.example") as server:
        host = f"[::1]:{server.port}"
        ok = await server.post("/api/runs/x/stop", headers={"Host": host, "Origin": f"http://{host}"})
        assert ok.status == 404
        evil = await server.post("/api/runs/x/stop", headers={"Host": host, "Origin": "http://[::2]"})
        assert evil.status == 403
