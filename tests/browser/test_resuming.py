"""A reader comes and goes; the answer loses nothing and doubles nothing."""

import asyncio
import time
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect
from starlette.applications import Starlette
from starlette.routing import Mount

from .conftest import Watched, watched
from .moves import ask, set_to, until_done
from .stage import HANDBOOK, CuttingProxy, Stage, new_millstream, serving

# What the browser itself logs when a connection is cut.
CUT = ("net::ERR_",)

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


def numbers(first: int, last: int) -> list[str]:
    return [f"{number} " for number in range(first, last + 1)]


def text(first: int, last: int) -> str:
    return "".join(numbers(first, last)).strip()


async def test_a_reload_in_the_middle_loses_nothing_and_doubles_nothing(page: Page, stage: Stage) -> None:
    await ask(page, "Count")
    stage.cite(HANDBOOK)
    stage.say(*numbers(1, 50))
    await expect(page.locator(".words")).to_have_text(text(1, 50))
    await page.reload()
    await expect(page.locator(".words")).to_have_text(text(1, 50))
    await expect(page.get_by_role("article").last).to_have_attribute("aria-busy", "true")
    stage.say(*numbers(51, 100))
    stage.end()
    await expect(page.locator(".words")).to_have_text(text(1, 100))
    await expect(page.get_by_role("article").last).to_have_attribute("aria-busy", "false")
    await expect(page.get_by_role("list", name="Sources").get_by_role("listitem")).to_have_count(1)
    await expect(page.get_by_role("article")).to_have_count(2)


async def test_a_second_tab_shows_the_same_answer_as_it_is_made(visit: Watched, page: Page, stage: Stage) -> None:
    await ask(page, "Count")
    stage.say(*numbers(1, 5))
    await expect(page.locator(".words")).to_have_text(text(1, 5))
    other = await visit.open(page.url)
    await expect(other.locator(".words")).to_have_text(text(1, 5))
    stage.say(*numbers(6, 10))
    stage.end()
    for tab in (page, other):
        await expect(tab.locator(".words")).to_have_text(text(1, 10))
        await expect(tab.get_by_role("article").last).to_have_attribute("aria-busy", "false")


async def test_the_network_drops_and_returns(browser: Browser, stage: Stage, port: int) -> None:
    async with CuttingProxy(port).running() as proxy, watched(browser, proxy.port) as visit:
        visit.expected = CUT
        page = await visit.open(f"http://127.0.0.1:{proxy.port}/")
        await ask(page, "Count")
        stage.say(*numbers(1, 20))
        await expect(page.locator(".words")).to_have_text(text(1, 20))
        proxy.cut()
        stage.say(*numbers(21, 40))
        await proxy.refused.wait()
        await expect(page.get_by_text("The connection was lost. Resuming…")).to_be_visible()
        await expect(page.locator(".words")).to_have_text(text(1, 20))
        proxy.mend()
        await expect(page.locator(".words")).to_have_text(text(1, 40))
        await expect(page.get_by_text("The connection was lost. Resuming…")).to_be_hidden()
        stage.say(*numbers(41, 60))
        stage.end()
        await expect(page.locator(".words")).to_have_text(text(1, 60))


async def test_every_connection_may_be_cut_after_every_word(browser: Browser, stage: Stage, port: int) -> None:
    async with CuttingProxy(port).running() as proxy, watched(browser, proxy.port) as visit:
        visit.expected = CUT
        page = await visit.open(f"http://127.0.0.1:{proxy.port}/")
        await ask(page, "Count")
        for number in range(1, 9):
            stage.say(f"{number} ")
            await expect(page.locator(".words")).to_have_text(text(1, number))
            proxy.cut()
            proxy.mend()
        stage.end()
        await expect(page.get_by_role("article").last).to_have_attribute("aria-busy", "false")
        await expect(page.locator(".words")).to_have_text(text(1, 8))


async def test_a_question_asked_into_a_dead_network_is_answered_once_it_lives(
    browser: Browser, stage: Stage, port: int
) -> None:
    async with CuttingProxy(port).running() as proxy, watched(browser, proxy.port) as visit:
        visit.expected = CUT
        page = await visit.open(f"http://127.0.0.1:{proxy.port}/")
        await expect(page.get_by_role("heading", name="Ask your documents")).to_be_visible()
        await page.wait_for_load_state("networkidle")
        proxy.cut()
        await ask(page, "Anybody there?")
        await proxy.refused.wait()
        proxy.mend()
        stage.say("Yes.")
        stage.end()
        await expect(page.locator(".words")).to_have_text("Yes.")
        assert len(stage.runs) == 1


async def test_being_offline_is_said(visit: Watched, page: Page, stage: Stage) -> None:
    visit.expected = CUT
    await ask(page, "Count")
    stage.say("1 ")
    await expect(page.locator(".words")).to_have_text("1")
    await visit.context.set_offline(True)
    await expect(page.get_by_text("You are offline.")).to_be_visible()
    stage.say("2 ")
    await visit.context.set_offline(False)
    stage.say("3")
    stage.end()
    await expect(page.locator(".words")).to_have_text("1 2 3")
    await expect(page.get_by_text("You are offline.")).to_be_hidden()


async def test_an_answer_whose_server_shuts_down_is_kept_as_interrupted_and_the_next_is_refused_with_a_reason(
    browser: Browser, stage: Stage, tmp_path: Path
) -> None:
    millstream = new_millstream(tmp_path)
    millstream.answer(stage.answer)
    async with serving(millstream) as port, watched(browser, port) as visit:
        visit.expected = ("503 (Service Unavailable)",)
        page = await visit.open(f"http://127.0.0.1:{port}/")
        await ask(page, "Count")
        stage.say(*numbers(1, 5))
        await expect(page.locator(".words")).to_have_text(text(1, 5))
        await millstream.supervisor.close(drain_s=0)
        await expect(page.get_by_text("Interrupted.", exact=True)).to_be_visible()
        await expect(page.locator(".words")).to_have_text(text(1, 5))
        await page.get_by_role("button", name="Try again").click()
        await expect(page.locator(".problem")).to_contain_text("The server is shutting down")
        await expect(page.locator(".words")).to_have_text(text(1, 5))


async def test_the_page_works_under_the_prefix_of_somebody_elses_application(
    browser: Browser, stage: Stage, tmp_path: Path
) -> None:
    millstream = new_millstream(tmp_path)
    millstream.answer(stage.answer)
    host = Starlette(routes=[Mount("/deep/chat", millstream.app)])
    async with serving(host) as port, watched(browser, port) as visit:
        page = await visit.open(f"http://127.0.0.1:{port}/deep/chat/")
        await ask(page, "Count")
        stage.say(*numbers(1, 5))
        await expect(page.locator(".words")).to_have_text(text(1, 5))
        await page.reload()
        await expect(page.locator(".words")).to_have_text(text(1, 5))
        stage.end()
        await expect(page.get_by_role("article").last).to_have_attribute("aria-busy", "false")
    await millstream.close()


async def test_a_new_conversation_without_streaming_keeps_its_place_on_reload(page: Page, stage: Stage) -> None:
    await set_to(page, "Answers appear", "When they are complete")
    async with page.expect_request("**/api/runs"):
        await ask(page, "Count")
    reached = asyncio.Event()
    stage.do(lambda run: reached.set())
    await reached.wait()
    await page.reload()
    await expect(page.locator(".bubble")).to_have_text("Count")
    stage.say(*numbers(1, 5))
    stage.end()
    await expect(page.locator(".words")).to_have_text(text(1, 5))
    await page.reload()
    await expect(page.locator(".words")).to_have_text(text(1, 5))


async def test_a_step_goes_on_counting_from_when_it_began(visit: Watched, page: Page, stage: Stage) -> None:
    await ask(page, "Count")
    stage.begin_step("Searching…")
    await expect(page.locator(".step")).to_be_visible()
    later = await visit.context.new_page()
    await later.clock.install(time=time.time() + 60)
    await later.goto(page.url)
    await expect(later.locator(".step .time")).to_contain_text("1m")
    await expect(later.locator(".step .slow")).to_be_visible()
    stage.end()


async def test_a_background_tab_has_it_all_when_it_is_looked_at_again(visit: Watched, page: Page, stage: Stage) -> None:
    await ask(page, "Count")
    stage.say(*numbers(1, 5))
    await expect(page.locator(".words")).to_have_text(text(1, 5))
    # A page that believes itself hidden gets no frames and must not wait for one.
    await page.evaluate(
        """() => {
            Object.defineProperty(document, "visibilityState", {configurable: true, get: () => "hidden"});
            Object.defineProperty(document, "hidden", {configurable: true, get: () => true});
            window.requestAnimationFrame = () => 0;
            document.dispatchEvent(new Event("visibilitychange"));
        }"""
    )
    stage.say(*numbers(6, 50))
    await expect(page.locator(".words")).to_have_text(text(1, 50))
    stage.end()
    await until_done(page)
    await expect(page).to_have_title("● Count · Millstream")


async def test_a_very_long_answer_is_shown_whole_and_the_page_stays_quick(page: Page, stage: Stage) -> None:
    await ask(page, "Tell me everything")
    paragraphs = [
        f"Paragraph {number} says **{number}** words about the wheel and the stream.\n\n" for number in range(600)
    ]
    for at in range(0, 600, 50):
        stage.say(*paragraphs[at : at + 50])
    stage.end()
    await until_done(page)
    await expect(page.locator(".words p").last).to_be_in_viewport()
    await expect(page.locator(".words p")).to_have_count(600)
    assert await page.locator(".words .blocks").count() > 10
    # What is far from the screen is not laid out, but found in the page all the same: that is what `auto` means.
    await expect(page.locator(".words .blocks").first).to_have_css("content-visibility", "auto")
    took = await page.evaluate(
        """async () => {
            const root = document.querySelector("millstream-chat").shadowRoot;
            const begun = performance.now();
            root.querySelector("textarea").value = "x";
            root.querySelector("textarea").dispatchEvent(new Event("input", {bubbles: true}));
            await new Promise(requestAnimationFrame);
            await new Promise(requestAnimationFrame);
            return performance.now() - begun;
        }"""
    )
    assert took < 1000


async def test_a_question_asked_while_offline_is_sent_later_and_that_is_said(
    visit: Watched, page: Page, stage: Stage
) -> None:
    visit.expected = CUT
    await expect(page.get_by_role("heading", name="Ask your documents")).to_be_visible()
    await visit.context.set_offline(True)
    await ask(page, "Anybody there?")
    await expect(page.get_by_text("Your question is sent when the network is back.")).to_be_visible()
    await visit.context.set_offline(False)
    stage.say("Yes.")
    stage.end()
    await expect(page.locator(".words")).to_have_text("Yes.")
    assert len(stage.runs) == 1
