"""The element in somebody else's page."""

import asyncio
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
from .moves import answered, ask, last_answer, until_done, violations
from .pdfs import pdf_of
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


@pytest.mark.parametrize("paragraphs", [1, 60])
async def test_the_element_is_filled_though_its_bar_is_hidden(
    shop: tuple[Watched, Page], stage: Stage, paragraphs: int
) -> None:
    _, page = shop
    await ask(page, "What drives the wheel?")
    stage.say("The mill stream drives the wheel.\n\n" * paragraphs)
    stage.end()
    await until_done(page)
    boxes = [await page.locator(part).bounding_box() for part in ("millstream-chat", ".transcript", ".composer")]
    element, transcript, composer = (box or {} for box in boxes)
    assert transcript["y"] == element["y"]
    assert transcript["height"] > 400
    assert transcript["y"] + transcript["height"] <= composer["y"]
    assert composer["y"] + composer["height"] <= element["y"] + element["height"]


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


@pytest.mark.parametrize("named", [False, True])
async def test_it_can_be_taken_out_and_put_back(shop: tuple[Watched, Page], stage: Stage, named: bool) -> None:
    """It goes on with its conversation, or the one that it is told meanwhile, and with its answer in the making."""
    _, page = shop
    await ask(page, "One")
    stage.say("Half")
    await expect(page.locator(".answer .words")).to_have_text("Half")
    await page.evaluate(
        """named => {
            const chat = document.querySelector("millstream-chat");
            const id = chat.conversationId;
            if (named) chat.open(null);
            chat.remove();
            if (named) chat.setAttribute("conversation", id);
            document.body.append(chat);
        }""",
        named,
    )
    stage.say(" and half.")
    stage.end()
    await expect(page.locator(".answer .words")).to_have_text("Half and half.")
    await expect(page.locator(".answer .words")).to_have_count(1)


async def test_moved_before_its_first_conversation_has_a_name_it_goes_on(
    shop: tuple[Watched, Page], stage: Stage
) -> None:
    visit, page = shop
    visit.expected = ("net::ERR_",)
    held = asyncio.Event()

    async def hold(route: Any) -> None:
        if route.request.post_data_json["stream"]:
            await route.continue_()
        else:
            await held.wait()
            await route.abort()

    await page.route("**/api/runs", hold)
    await page.evaluate("document.querySelector('millstream-chat').setAttribute('words', 'whole')")
    async with page.expect_request("**/api/runs") as asked:
        await ask(page, "One")
    run_id = (await asked.value).post_data_json["run_id"]  # type: ignore[index]
    async with page.expect_request(f"**/api/runs/{run_id}"):
        await page.evaluate("document.body.append(document.querySelector('millstream-chat'))")
    held.set()


async def test_it_asks_nothing_more_once_it_is_taken_out(shop: tuple[Watched, Page]) -> None:
    visit, page = shop
    visit.expected = ("net::ERR_FAILED",)
    await page.clock.install()
    asked: list[str] = []

    async def fail(route: Any) -> None:
        asked.append(route.request.url)
        await route.abort()

    await page.route("**/api/status", fail)
    await page.evaluate("document.querySelector('millstream-chat').endpoint = '/chat/?'")
    await expect(page.get_by_label("Your question")).to_be_visible()
    while not asked:
        await page.wait_for_event("requestfailed")
    async with page.expect_event("requestfailed"):
        await page.clock.run_for(5_000)
    await page.evaluate("document.querySelector('millstream-chat').remove()")
    before = len(asked)
    await page.clock.run_for(60_000)
    await page.evaluate("fetch('/shop.css').then((css) => css.text())")  # what was asked before it has been heard of
    assert len(asked) == before


async def test_another_endpoint_begins_anew_there(shop: tuple[Watched, Page], stage: Stage) -> None:
    _, page = shop
    await answered(page, stage, "One")
    await page.evaluate("document.querySelector('millstream-chat').setAttribute('endpoint', '/chat/../chat/')")
    await expect(page.locator(".answer")).to_have_count(0)
    async with page.expect_request("**/api/runs") as asked:
        await ask(page, "Two")
    assert (await asked.value).method == "POST"
    stage.say("Again.")
    stage.end()
    await until_done(page)


ELSEWHERE = """<!doctype html>
<html lang="en">
  <head>
    <title>Somebody's shop</title>
    <link rel="icon" href="data:," />
    <script type="module" src="{chat}millstream-chat.js"></script>
  </head>
  <body><main><millstream-chat endpoint="{chat}"></millstream-chat></main></body>
</html>
"""
# As docs/element.md says, with the page's own icon.
ELSEWHERE_POLICY = (
    "default-src 'none'; script-src {chat}; connect-src {chat}; img-src data:; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
DROP = """name => {
    const files = new DataTransfer();
    files.items.add(new File(["The weir raises the water by two metres."], name, {type: "text/plain"}));
    document.querySelector("millstream-chat").shadowRoot.querySelector(".transcript")
        .dispatchEvent(new DragEvent("drop", {dataTransfer: files, bubbles: true, cancelable: true, composed: true}));
}"""


class Elsewhere:
    """A page on an origin of its own, with the chat of another one in it."""

    def __init__(self) -> None:
        self.chat = ""

    async def page(self, request: Request) -> Response:
        policy = ELSEWHERE_POLICY.format(chat=self.chat)
        return HTMLResponse(ELSEWHERE.format(chat=self.chat), headers={"Content-Security-Policy": policy})


async def test_a_page_of_another_origin_asks_adds_documents_and_opens_sources(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "rivers.pdf").write_bytes(pdf_of(["The weir was rebuilt in 1911 by the guild."]))
    elsewhere = Elsewhere()
    async with serving(Starlette(routes=[Route("/", elsewhere.page)])) as shop_port:
        shop = f"http://localhost:{shop_port}"
        millstream = new_millstream(tmp_path, origins=shop)
        async with serving(millstream) as port, watched(browser, port) as visit:
            elsewhere.chat = f"http://127.0.0.1:{port}/"
            visit.allowed |= {f"{shop}/", "data:", "blob:"}
            page = await visit.open(f"{shop}/")
            await expect(page.get_by_text("There are no documents yet.")).to_be_visible()
            await millstream.index([tmp_path / "rivers.pdf"])
            await ask(page, "When was the weir rebuilt?")
            await until_done(page)
            await expect(last_answer(page).locator(".words")).to_contain_text("rebuilt in 1911 by the guild")
            await last_answer(page).locator(".words .citation").first.click()
            panel = page.get_by_label("Source: rivers")
            await expect(panel.locator(".marked", has_text="rebuilt in 1911")).to_be_visible()
            await panel.get_by_role("button", name="Close the source").click()
            await page.evaluate(DROP, "weir.txt")
            await expect(page.get_by_text("Ready", exact=True)).to_be_visible()
            await page.get_by_role("button", name="Good answer").click()
            await expect(page.get_by_role("button", name="Good answer")).to_have_attribute("aria-pressed", "true")


async def test_a_page_whose_origin_is_not_named_is_refused(browser: Browser, tmp_path: Path) -> None:
    elsewhere = Elsewhere()
    async with (
        serving(Starlette(routes=[Route("/", elsewhere.page)])) as shop_port,
        serving(new_millstream(tmp_path)) as port,
        watched(browser, port) as visit,
    ):
        elsewhere.chat = f"http://127.0.0.1:{port}/"
        visit.allowed |= {f"http://localhost:{shop_port}/", "data:"}
        visit.expected = ("CORS policy", "net::ERR_FAILED")
        page = await visit.open(f"http://localhost:{shop_port}/")
        assert not await page.evaluate("!!customElements.get('millstream-chat')")
