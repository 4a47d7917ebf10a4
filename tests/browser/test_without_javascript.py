"""The page in a browser that runs no scripts: it asks, answers, cites and goes on, under the strict policy."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from millstream.search import Passage

from .conftest import Watched, watched
from .moves import violations
from .stage import RIVERS, Stage, new_millstream, serving

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(loop_scope="session")
async def scriptless(browser: Browser, port: int) -> AsyncIterator[Watched]:
    async with watched(browser, port, java_script_enabled=False) as visit:
        yield visit


async def ask(page: Page, question: str) -> None:
    await page.get_by_label("question").fill(question)
    await page.get_by_role("button", name="Ask", exact=True).click()


async def test_the_form_of_the_page_asks_and_the_answer_goes_on(scriptless: Watched, stage: Stage, port: int) -> None:
    page = await scriptless.open(f"http://127.0.0.1:{port}/")
    stage.cite(RIVERS)
    stage.say(
        "Weirs **raise** the water [1].\n\n<script>document.body.remove()</script>\n\n![x](https://evil.example/x.png)"
    )
    stage.suggest("By how much?")
    stage.end()
    await ask(page, "What do weirs do?")
    await expect(page.get_by_role("heading", name="Answer")).to_be_visible()
    await expect(page.get_by_text("<script>document.body.remove()</script>")).to_be_visible()
    await expect(page.get_by_role("link", name="Source 1: Rivers and weirs")).to_have_text("[1]")
    stage.say("By up to two metres.")
    stage.end()
    await page.get_by_role("button", name="By how much?").click()
    await expect(page.get_by_text("By up to two metres.")).to_be_visible()
    await expect(page.get_by_text("What do weirs do?").first).to_be_visible()
    await page.reload()
    await expect(page.get_by_text("By up to two metres.")).to_be_visible()


async def test_an_answer_in_the_making_looks_again_by_itself(scriptless: Watched, stage: Stage, port: int) -> None:
    page = await scriptless.open(f"http://127.0.0.1:{port}/plain")
    page.set_default_timeout(30_000)
    stage.say("Half ")
    await ask(page, "What do weirs do?")
    await expect(page.get_by_role("link", name="Look again")).to_be_visible()
    stage.say("and whole.")
    stage.end()
    await expect(page.get_by_text("Half and whole.")).to_be_visible(timeout=30_000)
    await expect(page.get_by_role("link", name="Look again")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_each_page_is_accessible(browser: Browser, stage: Stage, tmp_path: Path, scheme: str) -> None:
    (tmp_path / "mills.md").write_text("# Mills\n\nThe wheel turns by the stream.\n")
    millstream = new_millstream(tmp_path)
    millstream.answer(stage.answer)
    async with serving(millstream) as port, watched(browser, port, color_scheme=scheme) as visit:
        page = await visit.open(f"http://127.0.0.1:{port}/plain")
        await millstream.index([tmp_path / "mills.md"])
        await page.reload()
        assert await violations(page) == []
        assert millstream.library is not None
        (document,) = await millstream.library.catalogue.documents("local")
        stage.do(lambda run: run.think("Hm."))
        stage.cite(Passage("p", document.document_id, "v", "Mills", "mills.md", "The wheel turns.", start=9, end=24))
        stage.say("# It turns\n\nBy the stream [1].\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```\ncode\n```\n")
        stage.suggest("Why?")
        stage.end()
        await ask(page, "What turns the wheel?")
        await expect(page.get_by_role("heading", name="Sources")).to_be_visible()
        assert await violations(page) == []
        await page.get_by_role("link", name="Source 1").click()
        await expect(page.locator("mark")).to_have_text("The wheel turns")
        assert await violations(page) == []
