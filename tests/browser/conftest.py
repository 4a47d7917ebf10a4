"""A real browser on a real server, in one event loop: a test moves both sides and waits for events, never for time."""

import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from .stage import Stage, new_millstream, serving

CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=os.environ.get("MILLSTREAM_CHROMIUM") or shutil.which("chromium"),
            args=CHROMIUM_ARGUMENTS,
        )
        yield browser
        await browser.close()


class Watched:
    """A browser context whose pages may not complain: no console error, no policy violation, no foreign request."""

    def __init__(self, context: BrowserContext, allowed: set[str]) -> None:
        self.context = context
        self.allowed = allowed
        self.complaints: list[str] = []
        # What a test provokes on purpose (a cut connection is logged by the browser itself) is named here.
        self.expected: tuple[str, ...] = ()
        context.on("console", lambda message: self._note(message.type, message.text))
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        context.on("request", lambda request: self._request(request.url))

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and not any(part in text for part in self.expected):
            self.complaints.append(f"{kind}: {text}")

    def _request(self, url: str) -> None:
        if not any(url.startswith(origin) for origin in self.allowed):
            self.complaints.append(f"request to {url}")

    async def open(self, url: str) -> Page:
        page = await self.context.new_page()
        page.set_default_timeout(10_000)
        await page.goto(url)
        return page


@contextlib.asynccontextmanager
async def watched(browser: Browser, *ports: int, **options: object) -> AsyncIterator[Watched]:
    context = await browser.new_context(**options)  # type: ignore[arg-type]
    watch = Watched(context, {f"http://127.0.0.1:{port}/" for port in ports})
    try:
        yield watch
        assert watch.complaints == []
    finally:
        await context.close()


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest_asyncio.fixture(loop_scope="session")
async def port(stage: Stage, tmp_path: Path) -> AsyncIterator[int]:
    """A server whose answers are on `stage`."""
    millstream = new_millstream(tmp_path)
    millstream.answer(stage.answer)
    async with serving(millstream) as port:
        yield port


@pytest_asyncio.fixture(loop_scope="session")
async def visit(browser: Browser, port: int) -> AsyncIterator[Watched]:
    async with watched(browser, port) as visit:
        yield visit


@pytest_asyncio.fixture(loop_scope="session")
async def page(visit: Watched, port: int) -> Page:
    return await visit.open(f"http://127.0.0.1:{port}/")
