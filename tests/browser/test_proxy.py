"""Behind a real nginx that buffers answers, the words still come one after the other."""

import asyncio
import contextlib
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from .conftest import watched
from .moves import ask, until_done
from .stage import Stage

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

# nginx with buffering for everything, deaf to the server's wish for none. By itself that holds back nothing that comes
# in small pieces; its compression does, until the answer has ended.
CONFIGURATION = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
worker_processes 1;
events {{ worker_connections 64; }}
http {{
  access_log off;
  gzip {gzip};
  gzip_types *;
  gzip_proxied any;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://127.0.0.1:{target};
      proxy_set_header Host $http_host;
      proxy_buffering on;
      proxy_buffers 8 64k;
      proxy_ignore_headers X-Accel-Buffering;
    }}
    {sockets}
  }}
}}
"""
SOCKETS = """
    location /api/ws {{
      proxy_pass http://127.0.0.1:{target};
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection upgrade;
    }}
"""


@contextlib.asynccontextmanager
async def nginx(folder: Path, target: int, *, gzip: bool, upgrade: bool) -> AsyncIterator[int]:
    assert NGINX is not None, "nginx is not installed; scripts/setup test installs it"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    configuration = folder / "nginx.conf"
    sockets = SOCKETS.format(target=target) if upgrade else ""
    configuration.write_text(
        CONFIGURATION.format(folder=folder, port=port, target=target, gzip="on" if gzip else "off", sockets=sockets)
    )
    process = await asyncio.create_subprocess_exec(
        NGINX, "-c", str(configuration), "-p", str(folder), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(10):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    break
                assert process.returncode is None, (folder / "error.log").read_text()
                await asyncio.sleep(0)
        yield port
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.parametrize("upgrade", [True, False], ids=["with WebSockets", "without WebSockets"])
async def test_a_proxy_that_holds_all_of_an_answer_back_is_noticed_and_told(
    browser: Browser, stage: Stage, port: int, tmp_path: Path, upgrade: bool
) -> None:
    async with nginx(tmp_path, port, gzip=True, upgrade=upgrade) as proxy, watched(browser, proxy) as visit:
        visit.expected = ("WebSocket", "ERR_", "400", "404")
        visit.allowed.add(f"ws://127.0.0.1:{proxy}/")
        page = await visit.open(f"http://127.0.0.1:{proxy}/")
        page.set_default_timeout(30_000)
        async with page.expect_request("**/api/runs"):
            await ask(page, "Count")
        stage.say("1 ")
        # The page gives up the first way, on which nothing comes, and tries the next.
        await page.wait_for_event("request", lambda request: request.url.endswith("/api/runs"))
        stage.say("2 ")
        if upgrade:
            await expect(page.locator(".words")).to_have_text("1 2", timeout=20_000)
            await expect(page.get_by_text("A proxy holds the words back. They come another way now.")).to_be_visible()
            stage.say("3 ")
            await expect(page.locator(".words")).to_have_text("1 2 3")
        stage.say("4")
        stage.end()
        await expect(page.locator(".words")).to_contain_text("4", timeout=40_000)
        await until_done(page)


async def test_a_proxy_whose_buffers_hold_nothing_back_is_left_alone(
    browser: Browser, stage: Stage, port: int, tmp_path: Path
) -> None:
    async with nginx(tmp_path, port, gzip=False, upgrade=False) as proxy, watched(browser, proxy) as visit:
        page = await visit.open(f"http://127.0.0.1:{proxy}/")
        requested: list[str] = []
        page.on("request", lambda request: requested.append(request.url))
        await ask(page, "Count")
        for number in range(1, 9):
            stage.say(f"{number} ")
            await expect(page.locator(".words")).to_have_text(" ".join(map(str, range(1, number + 1))))
        stage.end()
        await until_done(page)
        assert len([url for url in requested if url.endswith("/api/runs")]) == 1
