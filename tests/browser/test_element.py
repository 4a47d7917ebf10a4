"""The element in somebody else's page."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route

from .conftest import Watched, watched
from .moves import ask, last_answer, until_done, violations
from .stage import HANDBOOK, Stage, new_millstream, serving

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

FOREIGN = """<!doctype html>
<html lang="en">
  <head>
    <title>Somebody's shop</title>
    <link rel="icon" href="/chat/icon.svg" />
    <script type="module" src="/chat/millstream-chat.js"></script>
    <link rel="stylesheet" href="/shop.css" />
  </head>
  <body>
    <header><h1>Somebody's shop</h1></header>
    <main>
      <p class="words">Our own words.</p>
      <millstream-chat endpoint="/chat/"></millstream-chat>
    </main>
  </body>
</html>
"""
STRICT = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; "
    "form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
SHOP_CSS = """
* { color: red; font-family: serif; } button { display: none; } .words { font-size: 60px; }
millstream-chat { width: 420px; height: 600px; --millstream-accent: rgb(120, 0, 120); }
millstream-chat::part(bar) { display: none; }
"""


@pytest_asyncio.fixture(loop_scope="session")
async def shop(browser: Browser, stage: Stage, tmp_path: Path) -> AsyncIterator[tuple[Watched, Page]]:
    """A page of another application with the element in it, under a strict policy and with styles of its own."""
    millstream = new_millstream(tmp_path)
    millstream.answer(stage.answer)

    async def page(request: Request) -> Response:
        return HTMLResponse(FOREIGN, headers={"Content-Security-Policy": STRICT})

    async def css(request: Request) -> Response:
        return PlainTextResponse(SHOP_CSS, media_type="text/css")

    routes: list[Any] = [Route("/", page), Route("/shop.css", css), Mount("/chat", millstream.app)]
    async with serving(Starlette(routes=routes, lifespan=millstream.lifespan)) as port, watched(browser, port) as visit:
        yield visit, await visit.open(f"http://127.0.0.1:{port}/")


async def test_it_answers_in_a_foreign_page_under_a_strict_policy(shop: tuple[Watched, Page], stage: Stage) -> None:
    visit, page = shop
    visit.expected = ("404 (Not Found)",)
    await ask(page, "What drives the wheel?")
    stage.cite(HANDBOOK)
    stage.say("The **mill stream** [1].\n\n```python\nwheel.turn()\n```\n")
    stage.end()
    await until_done(page)
    await expect(last_answer(page).locator("strong")).to_have_text("mill stream")
    await last_answer(page).locator(".citation").click()
    await expect(page.get_by_role("dialog", name="Source: handbook.pdf")).to_be_visible()
    assert await page.locator("[style]").count() == await page.locator("textarea[style]").count()


async def test_neither_styles_nor_ids_nor_the_address_leak_in_or_out(shop: tuple[Watched, Page], stage: Stage) -> None:
    _, page = shop
    await ask(page, "What drives the wheel?")
    stage.say("The mill stream.")
    stage.end()
    await until_done(page)
    assert await page.evaluate("document.querySelector('main > p').getBoundingClientRect().height") > 40
    words = last_answer(page).locator(".words")
    assert await words.evaluate("it => getComputedStyle(it).fontSize") == "16px"
    assert await words.evaluate("it => getComputedStyle(it).color") != "rgb(255, 0, 0)"
    assert await page.evaluate("document.getElementById('question')") is None
    assert await page.evaluate("location.hash") == ""
    assert await page.title() == "Somebody's shop"
    assert await page.get_by_role("navigation").count() == 0
    assert await violations(page) == []


async def test_it_takes_the_colours_and_parts_of_the_page(shop: tuple[Watched, Page], stage: Stage) -> None:
    _, page = shop
    await page.get_by_label("Your question").fill("x")
    colour = await page.get_by_role("button", name="Ask").evaluate("it => getComputedStyle(it).backgroundColor")
    assert colour == "rgb(120, 0, 120)"
    await expect(page.locator(".bar")).to_be_hidden()


async def test_its_properties_and_events_tell_the_page_what_happens(shop: tuple[Watched, Page], stage: Stage) -> None:
    _, page = shop
    await page.evaluate(
        """() => {
            window.heard = [];
            for (const name of ["millstream-conversation", "millstream-answer", "millstream-source"])
                document.addEventListener(name, (event) => heard.push([name, event.detail]));
            window.chat = document.querySelector("millstream-chat");
            chat.headers = {"x-shop": "yes"};
        }"""
    )
    async with page.expect_request("**/api/runs") as asked:
        await page.evaluate("void chat.ask('What drives the wheel?')")
    assert (await asked.value).headers["x-shop"] == "yes"
    stage.cite(HANDBOOK)
    stage.say("The mill stream [1].")
    stage.end()
    await until_done(page)
    heard = await page.evaluate("heard")
    assert [name for name, _ in heard] == ["millstream-conversation", "millstream-answer"]
    assert heard[0][1] == {"conversationId": await page.evaluate("chat.conversationId")}
    assert heard[1][1]["state"] == "finished"
    assert heard[1][1]["content"] == "The mill stream."
    assert heard[1][1]["sources"][0]["title"] == "handbook.pdf"
    await page.evaluate("chat.open(null)")
    await expect(page.locator(".answer")).to_have_count(0)


async def test_its_attributes_say_where_a_persons_own_settings_begin(shop: tuple[Watched, Page]) -> None:
    _, page = shop
    await page.evaluate(
        """() => {
            const chat = document.querySelector("millstream-chat");
            chat.setAttribute("theme", "dark");
            chat.setAttribute("lang", "es");
        }"""
    )
    await expect(page.locator(".frame")).to_have_css("color-scheme", "dark")
    await expect(page.locator(".app")).to_have_attribute("lang", "es")


async def test_it_can_be_taken_out_and_put_back(shop: tuple[Watched, Page], stage: Stage) -> None:
    _, page = shop
    await ask(page, "One")
    stage.say("Half")
    await expect(page.locator(".answer .words")).to_have_text("Half")
    await page.evaluate(
        """() => {
            const chat = document.querySelector("millstream-chat");
            const id = chat.conversationId;
            chat.remove();
            chat.setAttribute("conversation", id);
            document.body.append(chat);
        }"""
    )
    stage.say(" and half.")
    stage.end()
    await expect(page.locator(".answer .words")).to_have_text("Half and half.")
    await expect(page.locator(".answer .words")).to_have_count(1)
