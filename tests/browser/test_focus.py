"""The focus stays in the page: whatever is done by keyboard, the next key has a place to go, and Esc stops."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from .conftest import Watched, watched
from .moves import ask, last_answer, until_done
from .stage import HANDBOOK, Stage

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

# The name of what is focused; "" for the page itself.
FOCUSED = """() => {
    const control = document.querySelector("millstream-chat").shadowRoot.activeElement;
    return (control?.getAttribute("aria-label") ?? control?.labels?.[0]?.innerText ?? control?.innerText ?? "").trim();
}"""


@pytest_asyncio.fixture(loop_scope="session")
async def phone(browser: Browser, port: int) -> AsyncIterator[Page]:
    async with watched(browser, port, viewport={"width": 390, "height": 844}) as visit:
        visit.expected = ("404 (Not Found)",)
        yield await visit.open(f"http://127.0.0.1:{port}/")


async def press(page: Page, name: str, *, last: bool = False) -> None:
    """Enter on the button of this name."""
    button = page.get_by_role("button", name=name)
    await (button.last if last else button.first).focus()
    await page.keyboard.press("Enter")


async def answered(page: Page, stage: Stage, question: str, *followups: str) -> None:
    await ask(page, question)
    stage.cite(HANDBOOK)
    stage.say("It turns [1].")
    stage.suggest(*followups)
    stage.end()
    await until_done(page)


async def expect_escape_stops(page: Page, stage: Stage) -> None:
    stage.say("Half")
    await expect(last_answer(page).locator(".words")).to_have_text("Half")
    await expect(page.get_by_label("Your question")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(last_answer(page).get_by_text("You stopped this answer.")).to_be_visible()


async def tabbed(page: Page, key: str, times: int) -> list[str]:
    names = []
    for _ in range(times):
        await page.keyboard.press(key)
        names.append(await page.evaluate(FOCUSED))
    return names


async def test_the_list_of_a_phone_takes_the_focus_keeps_it_and_gives_it_back(phone: Page, stage: Stage) -> None:
    await answered(phone, stage, "One")
    opener = phone.get_by_role("button", name="Conversations", exact=True)
    close = phone.get_by_role("button", name="Close the list")
    await opener.focus()
    await phone.keyboard.press("Enter")
    await expect(close).to_be_focused()
    around = ["New conversation", "Search in what was asked and answered", "One", "More for One", "Settings"]
    assert await tabbed(phone, "Tab", 6) == [*around, "Close the list"]
    assert await tabbed(phone, "Shift+Tab", 6) == [*reversed(around), "Close the list"]
    await phone.keyboard.press("Escape")
    await expect(phone.get_by_role("dialog")).to_have_count(0)
    await expect(opener).to_be_focused()
    await phone.keyboard.press("Enter")
    await expect(close).to_be_focused()
    await phone.keyboard.press("Enter")
    await expect(opener).to_be_focused()


async def test_a_conversation_chosen_on_a_phone_leads_to_the_question(phone: Page, stage: Stage) -> None:
    await answered(phone, stage, "One")
    await press(phone, "Conversations")
    await phone.get_by_role("link", name="One").focus()
    await phone.keyboard.press("Enter")
    await expect(phone.get_by_role("dialog")).to_have_count(0)
    await expect(phone.get_by_label("Your question")).to_be_focused()


async def test_a_finger_that_chooses_a_conversation_calls_up_no_keyboard(
    browser: Browser, stage: Stage, port: int
) -> None:
    async with watched(browser, port, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True) as visit:
        page = await visit.open(f"http://127.0.0.1:{port}/")
        await answered(page, stage, "One")
        await page.get_by_role("button", name="Conversations").tap()
        await page.get_by_role("link", name="One").tap()
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await expect(page.get_by_role("log")).to_be_focused()


async def test_a_source_over_the_chat_keeps_the_focus_and_gives_it_back(phone: Page, stage: Stage) -> None:
    await answered(phone, stage, "One")
    card = phone.locator(".source-head")
    panel = phone.get_by_role("dialog", name="Source: handbook.pdf")
    await card.focus()
    await phone.keyboard.press("Enter")
    await expect(panel).to_be_focused()
    await expect(panel.get_by_text("This document is no longer there.")).to_be_visible()
    assert await tabbed(phone, "Tab", 3) == ["Close the source"] * 3
    await phone.keyboard.press("Escape")
    await expect(panel).to_have_count(0)
    await expect(card).to_be_focused()
    await phone.keyboard.press("Enter")
    await expect(panel).to_be_focused()
    # A click beside everything leaves the focus with the page: Esc closes the source all the same.
    await phone.locator(".panel-note").click()
    await phone.evaluate("document.querySelector('millstream-chat').shadowRoot.activeElement?.blur()")
    await phone.keyboard.press("Escape")
    await expect(panel).to_have_count(0)
    await expect(card).to_be_focused()


async def test_escape_stops_what_was_begun_by_any_button(page: Page, stage: Stage) -> None:
    await answered(page, stage, "One", "And in winter?")
    await press(page, "Regenerate")
    await expect_escape_stops(page, stage)
    await press(page, "Continue")
    await expect_escape_stops(page, stage)
    await answered(page, stage, "Two", "And in winter?")
    await press(page, "And in winter?")
    await expect_escape_stops(page, stage)
    await press(page, "Ask in other words", last=True)
    await expect(page.get_by_role("textbox", name="Ask in other words")).to_be_focused()
    await page.keyboard.type(" Why?")
    await page.keyboard.press("Enter")
    await expect_escape_stops(page, stage)


async def test_escape_stops_when_nothing_has_the_focus(page: Page, stage: Stage) -> None:
    await ask(page, "One")
    stage.say("Half")
    await expect(page.locator(".words")).to_have_text("Half")
    await page.evaluate("document.querySelector('millstream-chat').shadowRoot.activeElement.blur()")
    await page.keyboard.press("Escape")
    await expect(page.get_by_text("You stopped this answer.")).to_be_visible()


async def test_going_through_versions_stays_at_their_buttons(page: Page, stage: Stage) -> None:
    await answered(page, stage, "One")
    for _ in range(2):
        await press(page, "Regenerate")
        stage.say("It turns.")
        stage.end()
        await until_done(page)
    earlier = page.get_by_role("button", name="Earlier version")
    await earlier.focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("2 of 3")).to_be_visible()
    await expect(earlier).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("1 of 3")).to_be_visible()
    await expect(page.get_by_role("button", name="Later version")).to_be_focused()


async def test_an_entry_of_the_list_keeps_the_focus_through_its_menu_and_its_renaming(page: Page, stage: Stage) -> None:
    await answered(page, stage, "One")
    menu = page.get_by_role("button", name="More for One")
    await menu.focus()
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Escape")
    await expect(menu).to_be_focused()
    for key, title in (("Escape", "One"), ("Enter", "Renamed")):
        await page.keyboard.press("Enter")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("textbox", name="Title")).to_be_focused()
        await page.keyboard.type("Renamed")
        await page.keyboard.press(key)
        await expect(page.get_by_role("button", name=f"More for {title}")).to_be_focused()


async def test_deleting_a_conversation_leads_to_the_next_and_undoing_stays_in_the_list(
    page: Page, stage: Stage
) -> None:
    for question in ("One", "Two"):
        await answered(page, stage, question)
        await press(page, "New conversation")
    await press(page, "More for Two")
    await press(page, "Delete")
    await expect(page.get_by_role("link", name="One")).to_be_focused()
    await press(page, "Undo")
    await expect(page.get_by_role("link", name="Two")).to_be_visible()
    await expect(page.get_by_role("navigation").get_by_role("button", name="New conversation")).to_be_focused()


async def test_dismissing_leads_to_the_neighbour_or_to_the_question(visit: Watched, page: Page, stage: Stage) -> None:
    visit.expected = ("net::ERR_INTERNET_DISCONNECTED",)
    field = page.get_by_label("Your question")
    await ask(page, "One")
    for question in ("first", "second"):
        await ask(page, question)
    await press(page, "Remove: first")
    await expect(page.get_by_role("button", name="Remove: second")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(field).to_be_focused()
    stage.say(*(f"Paragraph {number}.\n\n" for number in range(60)))
    stage.end()
    await until_done(page)
    await page.get_by_role("log").hover()
    await page.mouse.wheel(0, -600)
    await press(page, "Jump to latest")
    await expect(field).to_be_focused()
    files = [{"name": name, "mimeType": "text/plain", "buffer": b"The weir."} for name in ("a.txt", "b.txt")]
    await page.locator("input[type=file]").set_input_files(files)  # type: ignore[arg-type]
    await press(page, "Dismiss a.txt")
    await expect(page.get_by_role("button", name="Dismiss b.txt")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(field).to_be_focused()
    await press(page, "New conversation")
    await visit.context.set_offline(True)
    await page.get_by_role("link", name="One").click()
    await press(page, "Dismiss")
    await expect(field).to_be_focused()
    await visit.context.set_offline(False)


async def test_closing_a_source_whose_citation_is_gone_leads_to_the_question(
    visit: Watched, page: Page, stage: Stage
) -> None:
    visit.expected = ("404 (Not Found)",)
    await answered(page, stage, "One")
    await page.locator(".citation").click()
    await press(page, "Regenerate")
    stage.say("It turns.")
    stage.end()
    await until_done(page)
    await press(page, "Close the source")
    await expect(page.get_by_label("Your question")).to_be_focused()


async def test_a_comment_that_is_sent_leads_back_to_its_thumb(page: Page, stage: Stage) -> None:
    await answered(page, stage, "One")
    await press(page, "Bad answer")
    await expect(page.get_by_label("What was wrong with it?")).to_be_focused()
    await page.keyboard.type("Wrong.")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="Bad answer")).to_be_focused()


async def test_who_has_left_the_element_is_not_called_back(page: Page, stage: Stage) -> None:
    await answered(page, stage, "One")
    await page.get_by_role("button", name="Regenerate").focus()
    await page.evaluate("document.body.append(document.createElement('input'))")
    outside = page.locator("body > input")
    await outside.focus()
    await page.evaluate("document.querySelector('millstream-chat').open(null)")
    await expect(page.get_by_role("article")).to_have_count(0)
    await expect(outside).to_be_focused()


async def press_composing(page: Page, key: str) -> None:
    """A key that goes to an input method, in the midst of a character."""
    session = await page.context.new_cdp_session(page)
    await session.send("Input.imeSetComposition", {"text": "にほん", "selectionStart": 3, "selectionEnd": 3})
    await page.keyboard.press(key)
    await session.send("Input.imeSetComposition", {"text": "", "selectionStart": 0, "selectionEnd": 0})


async def test_escape_in_an_input_method_is_the_input_methods(page: Page, stage: Stage) -> None:
    await answered(page, stage, "One")
    await press(page, "Ask in other words")
    await press_composing(page, "Escape")
    await expect(page.get_by_role("textbox", name="Ask in other words")).to_be_focused()
    await page.keyboard.press("Escape")

    await press(page, "More for One")
    await press(page, "Rename")
    for key in ("Escape", "Enter"):
        await press_composing(page, key)
        await expect(page.get_by_role("textbox", name="Title")).to_be_focused()
    await page.keyboard.press("Escape")

    await ask(page, "Two")
    stage.say("Half")
    await expect(last_answer(page).locator(".words")).to_have_text("Half")
    await press_composing(page, "Escape")
    stage.say(" and whole.")
    await expect(last_answer(page).locator(".words")).to_have_text("Half and whole.")
    stage.end()
    await until_done(page)
    await expect(page.get_by_text("You stopped this answer.")).to_have_count(0)
