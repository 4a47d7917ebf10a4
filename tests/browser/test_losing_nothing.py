"""What was typed is asked in its place, or is still where it was typed."""

import asyncio

import pytest
from playwright.async_api import Browser, Locator, Page, Route, expect

from .conftest import Watched, watched
from .moves import answered, ask, ask_unheard, stop_before_waiting, until_done
from .stage import CuttingProxy, Stage

CUT = ("net::ERR_",)

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


class Gate:
    """Holds what the page requests until it is opened."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()

    async def __call__(self, route: Route) -> None:
        self.reached.set()
        await self.opened.wait()
        await route.continue_()


def asked(stage: Stage) -> list[list[str]]:
    return [[str(message.content) for message in run.messages] for run in stage.runs]


async def in_other_words(page: Page, which: int) -> Locator:
    """The open editor of a question."""
    await page.get_by_role("button", name="Ask in other words").nth(which).click()
    editor = page.get_by_role("textbox", name="Ask in other words")
    await expect(editor).to_be_focused()
    return editor


async def new_conversation(page: Page) -> None:
    await page.get_by_role("button", name="New conversation").first.click()


async def test_a_question_asked_while_its_conversation_is_loading_follows_what_was_said(
    page: Page, stage: Stage
) -> None:
    await answered(page, stage, "One", "Two")
    gate = Gate()
    await page.route("**/api/conversations/*", gate)
    await page.reload()
    await gate.reached.wait()
    await ask(page, "Three")
    queue = page.get_by_role("region", name="Questions that wait")
    await expect(queue).to_contain_text("Asked when the conversation is loaded")
    await expect(queue.locator(".queue-text")).to_have_text(["Three"])
    gate.opened.set()
    stage.say("Answer Three.")
    stage.end()
    await expect(page.locator(".words")).to_have_text(["Answer One.", "Answer Two.", "Answer Three."])
    await expect(page.locator(".opening")).to_have_count(0)
    await expect(queue).to_have_count(0)
    assert asked(stage)[-1] == ["One", "Answer One.", "Two", "Answer Two.", "Three"]


async def test_a_question_asked_while_loading_goes_before_what_waited_already(page: Page, stage: Stage) -> None:
    await stop_before_waiting(page, stage, "One", "Waiting")
    gate = Gate()
    await page.route("**/api/conversations/*", gate)
    await page.reload()
    await gate.reached.wait()
    await ask(page, "Now")
    gate.opened.set()
    stage.say("Answer Now.")
    await expect(page.locator(".bubble")).to_have_text(["One", "Now"])
    stage.end()
    stage.end()
    await expect(page.locator(".bubble")).to_have_text(["One", "Now", "Waiting"])


async def out_of_reach(visit: Watched, proxy: CuttingProxy, stage: Stage) -> tuple[Page, Locator]:
    """A page that failed to load the conversation "One", whose link is given too."""
    visit.expected = CUT
    page = await visit.open(f"http://127.0.0.1:{proxy.port}/")
    await answered(page, stage, "One")
    await new_conversation(page)
    proxy.cut()
    link = page.get_by_role("navigation", name="Conversations").get_by_role("link", name="One")
    await link.click()
    await expect(page.locator(".problem")).to_have_text("The server cannot be reached.")
    return page, link


async def test_a_conversation_that_failed_to_load_is_loaded_by_another_click_and_its_question_waits(
    browser: Browser, stage: Stage, port: int
) -> None:
    async with CuttingProxy(port).running() as proxy, watched(browser, proxy.port) as visit:
        page, link = await out_of_reach(visit, proxy, stage)
        await expect(page.locator(".welcome")).to_have_count(0)
        await ask(page, "Two")
        await expect(page.locator(".queue-text")).to_have_text(["Two"])
        await expect(page.locator(".problem")).to_have_text("The server cannot be reached.")
        proxy.mend()
        await link.click()
        stage.say("Answer Two.")
        stage.end()
        await expect(page.locator(".words")).to_have_text(["Answer One.", "Answer Two."])
        await expect(page.locator(".problem")).to_have_count(0)
        assert asked(stage)[-1] == ["One", "Answer One.", "Two"]


async def test_a_conversation_that_failed_to_load_is_loaded_when_the_network_is_back(
    visit: Watched, page: Page, stage: Stage
) -> None:
    visit.expected = CUT
    await answered(page, stage, "One")
    await new_conversation(page)
    await visit.context.set_offline(True)
    await page.get_by_role("link", name="One").click()
    await expect(page.locator(".problem")).to_have_text("The server cannot be reached.")
    await visit.context.set_offline(False)
    await expect(page.locator(".words")).to_have_text(["Answer One."])


async def test_a_conversation_that_failed_to_load_is_loaded_as_soon_as_the_server_can_be_reached(
    browser: Browser, stage: Stage, port: int
) -> None:
    async with CuttingProxy(port).running() as proxy, watched(browser, proxy.port) as visit:
        page, _ = await out_of_reach(visit, proxy, stage)
        proxy.mend()
        await expect(page.locator(".words")).to_have_text(["Answer One."])
        await expect(page.locator(".problem")).to_have_count(0)


async def test_a_waiting_question_is_taken_back_in_front_of_what_is_being_typed(page: Page, stage: Stage) -> None:
    await ask(page, "One")
    stage.say("Half")
    await expect(page.locator(".words")).to_have_text("Half")
    await ask(page, "Two")
    await page.get_by_label("Your question").fill("Three")
    await page.get_by_role("button", name="Edit: Two").click()
    await expect(page.get_by_label("Your question")).to_have_value("Two\n\nThree")
    stage.end()


async def test_a_refused_question_comes_back_in_front_of_what_is_being_typed(visit: Watched, page: Page) -> None:
    visit.expected = ("503 (Service Unavailable)",)
    refused = asyncio.Event()
    reached = asyncio.Event()

    async def refuse(route: Route) -> None:
        reached.set()
        await refused.wait()
        problem = '{"title": "Busy", "status": 503, "detail": "Too many answers.", "code": "busy"}'
        await route.fulfill(status=503, content_type="application/problem+json", body=problem)

    await page.route("**/api/runs", refuse)
    await ask(page, "One")
    await reached.wait()
    await page.get_by_label("Your question").fill("Two")
    refused.set()
    await expect(page.locator(".problem")).to_have_text("Too many answers.")
    await expect(page.get_by_label("Your question")).to_have_value("One\n\nTwo")


async def test_other_words_that_are_typed_while_an_answer_is_made_stay_in_their_editor(
    page: Page, stage: Stage
) -> None:
    await answered(page, stage, "One")
    editor = await in_other_words(page, 0)
    await editor.fill("Other words")
    await ask(page, "Two")
    stage.say("Half")
    await expect(page.locator(".words").last).to_have_text("Half")
    await editor.press("Enter")
    await expect(editor).to_have_value("Other words")
    await expect(page.locator(".editor").get_by_role("button", name="Ask", exact=True)).to_be_disabled()
    stage.end()
    await until_done(page)
    await editor.press("Enter")
    stage.say("Answer to other words.")
    stage.end()
    await expect(page.locator(".words")).to_have_text("Answer to other words.")


async def test_an_open_editor_does_not_move_to_another_branch(page: Page, stage: Stage) -> None:
    await answered(page, stage, "One", "Two")
    await (await in_other_words(page, 0)).fill("Un")
    await page.keyboard.press("Enter")
    stage.say("Answer Un.")
    stage.end()
    await expect(page.locator(".words")).to_have_text("Answer Un.")
    await until_done(page)
    await answered(page, stage, "Deux")
    await (await in_other_words(page, -1)).fill("Zwei")
    await page.get_by_role("button", name="Earlier version").click()
    await expect(page.locator(".words")).to_have_text(["Answer One.", "Answer Two."])
    await expect(page.locator(".bubble")).to_have_text(["One", "Two"])


@pytest.mark.parametrize("named", [False, True], ids=["new", "named"])
async def test_a_question_that_the_network_holds_up_is_sent_although_one_looks_elsewhere(
    browser: Browser, stage: Stage, port: int, named: bool
) -> None:
    async with CuttingProxy(port).running() as proxy, watched(browser, proxy.port) as visit:
        visit.expected = CUT
        page = await visit.open(f"http://127.0.0.1:{proxy.port}/")
        await answered(page, stage, "Other")
        await new_conversation(page)
        if named:
            await answered(page, stage, "First")
        proxy.cut()
        await ask(page, "Anybody there?")
        await proxy.refused.wait()
        await ask(page, "And next?")
        await page.get_by_role("link", name="Other").click()
        proxy.mend()
        stage.say("Yes.")
        stage.end()
        await new_conversation(page)
        await expect(page.locator(".queue")).to_have_count(0)
        await page.get_by_role("link", name="First" if named else "Anybody there?").click()
        stage.say("Next.")
        stage.end()
        await expect(page.locator(".words")).to_have_text([*(["Answer First."] if named else []), "Yes.", "Next."])
        assert asked(stage)[-1][-3:] == ["Anybody there?", "Yes.", "And next?"]


async def test_a_question_that_is_refused_while_one_looks_elsewhere_is_a_draft_again(
    visit: Watched, page: Page, stage: Stage
) -> None:
    visit.expected = ("503 (Service Unavailable)", "net::ERR_")
    await answered(page, stage, "Other")
    await new_conversation(page)
    gate = Gate()

    async def refuse(route: Route) -> None:
        gate.reached.set()
        await gate.opened.wait()
        problem = '{"title": "Busy", "status": 503, "detail": "Too many answers.", "code": "busy"}'
        await route.fulfill(status=503, content_type="application/problem+json", body=problem)

    await page.route("**/api/runs", refuse)
    await ask(page, "One")
    await gate.reached.wait()
    await ask(page, "Two")
    await page.get_by_role("link", name="Other").click()
    await expect(page.locator(".words")).to_have_text(["Answer Other."])
    gate.opened.set()
    await expect(page.locator(".problem")).to_have_text("Too many answers.")
    await new_conversation(page)
    await expect(page.get_by_label("Your question")).to_have_value("One\n\nTwo")


async def test_waiting_questions_outlive_a_reload_and_are_asked_in_turn(page: Page, stage: Stage) -> None:
    await ask(page, "One")
    stage.say("Answer One.")
    await expect(page.locator(".words")).to_have_text("Answer One.")
    await ask(page, "Two")
    await page.reload()
    await expect(page.locator(".queue-text")).to_have_text(["Two"])
    stage.end()
    stage.say("Answer Two.")
    stage.end()
    await expect(page.locator(".words")).to_have_text(["Answer One.", "Answer Two."])


async def test_two_tabs_ask_a_waiting_question_once(visit: Watched, page: Page, stage: Stage) -> None:
    await ask(page, "One")
    stage.say("Answer One.")
    await expect(page.locator(".words")).to_have_text("Answer One.")
    await ask(page, "Two")
    other = await visit.open(page.url)
    await expect(other.locator(".queue-text")).to_have_text(["Two"])
    stage.end()
    stage.say("Answer Two.")
    said = asyncio.Event()
    stage.do(lambda run: said.set())
    stage.end()
    await said.wait()
    for tab in (page, other):
        await tab.reload()
        await expect(tab.locator(".words")).to_have_text(["Answer One.", "Answer Two."])
        await expect(tab.locator(".queue")).to_have_count(0)
    assert [run.question for run in stage.runs] == ["One", "Two"]


async def test_a_question_that_waits_for_an_answer_is_asked_when_one_comes_back_to_it(page: Page, stage: Stage) -> None:
    await ask(page, "One")
    stage.say("Answer One.")
    await expect(page.locator(".words")).to_have_text("Answer One.")
    await ask(page, "Two")
    await new_conversation(page)
    ended = asyncio.Event()
    stage.do(lambda run: ended.set())
    stage.end()
    await ended.wait()
    await page.get_by_role("link", name="One").click()
    stage.say("Answer Two.")
    stage.end()
    await expect(page.locator(".words")).to_have_text(["Answer One.", "Answer Two."])


@pytest.mark.parametrize("named", [False, True], ids=["new", "named"])
async def test_a_question_that_could_not_be_sent_outlives_a_reload(
    visit: Watched, page: Page, stage: Stage, named: bool
) -> None:
    visit.expected = CUT
    if named:
        await answered(page, stage, "First")
    await page.route("**/api/**", lambda route: route.abort())
    async with page.expect_event("requestfailed", lambda request: request.url.endswith("/api/runs")):
        await ask(page, "Anybody there?")
    # Of a run that the server does not know the browser itself would complain, so the page must fail to ask for it.
    looked_up = "/api/conversations/" if named else "/api/runs/"
    async with page.expect_event("requestfailed", lambda request: looked_up in request.url):
        await page.reload()
    await page.unroute("**/api/**")
    stage.say("Yes.")
    stage.end()
    await expect(page.locator(".words")).to_have_text([*(["Answer First."] if named else []), "Yes."])
    await expect(page.locator(".queue")).to_have_count(0)
    await page.reload()
    await expect(page.locator(".words").last).to_have_text("Yes.")
    await until_done(page)
    assert [run.question for run in stage.runs] == [*(["First"] if named else []), "Anybody there?"]


async def test_a_reload_before_the_first_event_comes_back_to_the_answer(
    visit: Watched, page: Page, stage: Stage
) -> None:
    visit.expected = CUT
    await ask_unheard(page, stage, "One")
    await page.unroute("**/api/runs")
    await page.reload()
    stage.say("Answer One.")
    stage.end()
    await expect(page.locator(".words")).to_have_text(["Answer One."])
    await expect(page.locator(".bubble")).to_have_text(["One"])
    assert len(stage.runs) == 1


async def test_going_back_from_a_new_conversation_leads_to_the_page_before_it(page: Page, stage: Stage) -> None:
    await answered(page, stage, "One")
    await new_conversation(page)
    await answered(page, stage, "Two")
    await page.go_back()
    await expect(page.locator(".welcome")).to_be_visible()
    await page.go_back()
    await expect(page.locator(".words")).to_have_text(["Answer One."])


async def test_a_question_for_a_conversation_that_is_gone_is_given_back(
    visit: Watched, page: Page, stage: Stage
) -> None:
    visit.expected = ("404 (Not Found)",)
    await page.goto(page.url.partition("#")[0] + "#gone")
    await page.reload()
    await expect(page.locator(".problem")).to_have_text("There is no such conversation.")
    await ask(page, "One")
    await expect(page.get_by_label("Your question")).to_have_value("One")
    await expect(page.locator(".queue")).to_have_count(0)


async def test_undo_shows_the_deleted_conversation_that_was_come_back_to(
    visit: Watched, page: Page, stage: Stage
) -> None:
    visit.expected = ("404 (Not Found)",)
    await answered(page, stage, "One")
    await page.get_by_role("button", name="More for").click()
    await page.get_by_role("button", name="Delete", exact=True).click()
    await expect(page.locator(".welcome")).to_be_visible()
    await page.go_back()
    await expect(page.locator(".problem")).to_have_text("There is no such conversation.")
    await page.get_by_role("button", name="Undo").click()
    await expect(page.locator(".words")).to_have_text(["Answer One."])


async def test_a_window_that_is_looked_at_again_shows_what_another_has_asked(
    visit: Watched, page: Page, stage: Stage
) -> None:
    await answered(page, stage, "One")
    other = await visit.open(page.url)
    await expect(other.locator(".words")).to_have_text(["Answer One."])
    await answered(page, stage, "Two")
    await other.evaluate("dispatchEvent(new Event('focus'))")
    await expect(other.locator(".words")).to_have_text(["Answer One.", "Answer Two."])


async def test_a_follow_up_to_an_earlier_version_is_still_shown_after_a_reload(page: Page, stage: Stage) -> None:
    await answered(page, stage, "One")
    editor = await in_other_words(page, 0)
    await editor.fill("Two")
    await page.keyboard.press("Enter")
    stage.say("Answer Two.")
    stage.end()
    await expect(page.locator(".words")).to_have_text(["Answer Two."])
    await page.get_by_role("button", name="Earlier version").click()
    await ask(page, "And then?")
    stage.say("Half")
    shown = ["Answer One.", "Half"]
    await expect(page.locator(".words")).to_have_text(shown)
    await page.reload()
    await expect(page.locator(".words")).to_have_text(shown)
    stage.say(" an answer.")
    stage.end()
    await expect(page.locator(".words")).to_have_text(["Answer One.", "Half an answer."])


async def test_a_first_question_that_was_left_unsent_is_a_draft_again_once_the_server_tells_that_it_has_it_not(
    visit: Watched, page: Page, stage: Stage
) -> None:
    visit.expected = (*CUT, "404 (Not Found)")
    await page.route("**/api/**", lambda route: route.abort())
    async with page.expect_event("requestfailed", lambda request: request.url.endswith("/api/runs")):
        await ask(page, "Anybody there?")
    await new_conversation(page)
    async with page.expect_event("requestfailed", lambda request: "/api/runs/" in request.url):
        await page.reload()
    await expect(page.get_by_label("Your question")).to_have_value("")
    await page.unroute("**/api/**")
    await page.reload()
    await expect(page.get_by_label("Your question")).to_have_value("Anybody there?")
    await page.reload()
    await expect(page.get_by_label("Your question")).to_have_value("Anybody there?")
    assert stage.runs == []


async def test_what_is_left_while_its_stop_is_on_the_way_and_was_never_sent_is_a_draft_again(
    visit: Watched, page: Page, stage: Stage
) -> None:
    visit.expected = CUT
    await answered(page, stage, "One")
    gate = Gate()

    async def abort_later(route: Route) -> None:
        await gate(route) if route.request.url.endswith("/stop") else await route.abort()

    await page.route("**/api/runs**", abort_later)
    await page.route("**/api/runs/*/stop", abort_later)
    async with page.expect_event("requestfailed"):
        await ask(page, "Two")
    await page.keyboard.press("Escape")
    await gate.reached.wait()
    await new_conversation(page)
    await page.context.set_offline(True)
    gate.opened.set()
    await page.get_by_role("link", name="One").click()
    await page.context.set_offline(False)
    await expect(page.get_by_label("Your question")).to_have_value("Two")
    await expect(page.locator(".words")).to_have_text(["Answer One."])


async def test_behind_a_stopped_answer_what_could_not_be_sent_is_asked_before_what_waits(
    visit: Watched, page: Page, stage: Stage
) -> None:
    visit.expected = CUT
    await stop_before_waiting(page, stage, "One", "Later")
    await page.route("**/api/**", lambda route: route.abort())
    async with page.expect_event("requestfailed", lambda request: request.url.endswith("/api/runs")):
        await ask(page, "Now")
    await expect(page.locator(".queue-text")).to_have_text(["Later"])
    async with page.expect_event("requestfailed"):
        await page.reload()
    await page.unroute("**/api/**")
    stage.say("Answer Now.")
    stage.end()
    stage.say("Answer Later.")
    stage.end()
    await expect(page.locator(".words")).to_have_text(["Half", "Answer Now.", "Answer Later."])
