"""Stop keeps what was on screen, and only that."""

import asyncio

import pytest
from playwright.async_api import Page, Route, expect

from .conftest import Watched
from .moves import LISTEN, answered, ask, ask_unheard, set_to
from .stage import HANDBOOK, Stage

QUEUES = "localStorage.getItem('millstream.queues') ?? '{}'"

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_stop_keeps_exactly_what_was_on_screen(page: Page, stage: Stage) -> None:
    await ask(page, "Tell me")
    stage.cite(HANDBOOK)
    stage.say("Seen 🌊 and **read** [1]. ")
    stage.say("Go on")
    words = page.locator(".words")
    await expect(words).to_contain_text("Go on")
    seen = await words.inner_text()
    async with page.expect_response("**/stop") as stopped:
        await page.get_by_role("button", name="Stop the answer").click()
    response = await stopped.value
    assert response.request.post_data_json == {"seen": len("Seen 🌊 and **read**. Go on")}
    await expect(page.get_by_text("You stopped this answer.")).to_be_visible()
    assert await words.inner_text() == seen
    await expect(page.get_by_label("Your question")).to_be_focused()
    await page.reload()
    await expect(page.get_by_text("You stopped this answer.")).to_be_visible()
    assert await words.inner_text() == seen


async def test_escape_stops_before_the_first_word(page: Page, stage: Stage) -> None:
    await ask(page, "Tell me")
    stage.begin_step("Searching…")
    await expect(page.get_by_text("Searching…").first).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_text("You stopped this answer.")).to_be_visible()
    await expect(page.locator(".words")).to_be_empty()


async def test_a_stopped_answer_can_be_made_again(page: Page, stage: Stage) -> None:
    await ask(page, "Tell me")
    stage.say("Half")
    await expect(page.locator(".words")).to_have_text("Half")
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Regenerate").click()
    stage.say("Whole.")
    stage.end()
    await expect(page.locator(".words")).to_have_text("Whole.")


async def test_leaving_does_not_stop(page: Page, stage: Stage) -> None:
    await ask(page, "Tell me")
    stage.say("On ")
    await expect(page.locator(".words")).to_have_text("On")
    await page.get_by_role("button", name="New conversation").first.click()
    await expect(page.get_by_role("article")).to_have_count(0)
    stage.say("and on.")
    stage.end()
    await page.get_by_role("link", name="Tell me").click()
    await expect(page.locator(".words")).to_have_text("On and on.")


async def test_stop_without_streaming_shows_what_there_is(page: Page, stage: Stage) -> None:
    await set_to(page, "Answers appear", "When they are complete")
    async with page.expect_request("**/api/runs"):
        await ask(page, "Tell me")
    written = asyncio.Event()
    stage.say("Half an answer")
    stage.do(lambda run: written.set())
    await written.wait()
    await page.keyboard.press("Escape")
    await expect(page.get_by_text("You stopped this answer.")).to_be_visible()
    await expect(page.locator(".words")).to_have_text("Half an answer")


async def test_a_stop_before_the_first_event_holds_although_the_page_moves_on(
    visit: Watched, page: Page, stage: Stage
) -> None:
    visit.expected = ("404 (Not Found)",)
    held = asyncio.Event()
    asked = asyncio.Event()

    async def hold(route: Route) -> None:
        asked.set()
        await held.wait()
        await route.continue_()

    await page.route("**/api/runs", hold)
    await ask(page, "Tell me")
    await asked.wait()
    await page.keyboard.press("Escape")
    async with page.expect_response(lambda response: response.url.endswith("/stop") and response.ok):
        held.set()
        await expect(page.get_by_text("You stopped this answer.")).to_be_visible()
    await page.get_by_role("button", name="New conversation").first.click()
    await page.get_by_role("link", name="Tell me").click()
    await expect(page.get_by_text("You stopped this answer.")).to_be_visible()


async def test_a_stop_is_not_lost_when_another_conversation_is_opened_at_once(
    visit: Watched, page: Page, stage: Stage
) -> None:
    visit.expected = ("net::ERR_",)
    await ask_unheard(page, stage, "Tell me")
    async with page.expect_response(lambda response: response.url.endswith("/stop") and response.ok):
        await page.keyboard.press("Escape")
        await page.get_by_role("button", name="New conversation").first.click()
    assert await page.evaluate(QUEUES) == "{}"
    await page.reload()
    await page.get_by_role("link", name="Tell me").click()
    await expect(page.get_by_text("You stopped this answer.")).to_be_visible()


@pytest.mark.parametrize("named", [False, True], ids=["new", "named"])
async def test_a_question_that_cannot_be_sent_is_taken_back(
    visit: Watched, page: Page, stage: Stage, named: bool
) -> None:
    visit.expected = ("net::ERR_",)
    if named:
        await answered(page, stage, "First")
    await page.route("**/api/runs**", lambda route: route.abort())
    async with page.expect_event("requestfailed"):
        await ask(page, "Tell me")
    await page.keyboard.press("Escape")
    await expect(page.get_by_label("Your question")).to_have_value("Tell me")
    await expect(page.locator(".bubble")).to_have_count(1 if named else 0)
    await expect(page.locator(".problem")).to_have_count(0)
    await page.unroute("**/api/runs**")
    await page.reload()
    await expect(page.get_by_label("Your question")).to_have_value("Tell me")
    await expect(page.locator(".queue")).to_have_count(0)
    assert await page.evaluate(QUEUES) == "{}"
    assert [run.question for run in stage.runs] == (["First"] if named else [])


async def test_an_answer_that_is_waited_for_whole_is_not_taken_back(visit: Watched, page: Page, stage: Stage) -> None:
    visit.expected = ("net::ERR_",)
    await set_to(page, "Answers appear", "When they are complete")
    begun = asyncio.Event()
    stage.do(lambda run: begun.set())
    await ask(page, "Tell me")
    await begun.wait()
    await page.route("**/api/runs/**", lambda route: route.abort())
    await page.keyboard.press("Escape")
    await expect(page.locator(".problem")).to_have_text("The server cannot be reached.")
    await expect(page.get_by_label("Your question")).to_have_value("")
    stage.say("It turns.")
    stage.end()
    await expect(page.locator(".words")).to_have_text("It turns.")


async def test_that_it_was_stopped_is_announced_behind_the_words_that_stay(page: Page, stage: Stage) -> None:
    await page.evaluate(LISTEN)
    await ask(page, "Tell me")
    stage.say("One.\n\nTwo")
    await expect(page.locator(".words")).to_contain_text("Two")
    await page.keyboard.press("Escape")
    await expect(page.get_by_text("You stopped this answer.")).to_be_visible()
    await expect(page.get_by_role("status").get_by_text("Stopped")).to_have_count(1)
    assert await page.evaluate("announced") == ["Answering", "One.", "Two", "Stopped"]
