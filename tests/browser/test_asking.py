"""Asking, as a person sees it."""

from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from .conftest import Watched, watched
from .moves import ask, set_to, until_done
from .stage import HANDBOOK, RIVERS, Stage, new_millstream, serving

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_an_answer_over_real_documents_shows_its_steps_its_sources_its_words_and_its_citations(
    browser: Browser, tmp_path: Path
) -> None:
    documents = tmp_path / "documents"
    documents.mkdir()
    (documents / "mill.md").write_text(
        "# The mill\n\nThe mill stream is cleared of leaves every October by the miller.\n"
    )
    millstream = new_millstream(tmp_path)
    async with serving(millstream) as port, watched(browser, port) as visit:
        page = await visit.open(f"http://127.0.0.1:{port}/")
        await expect(page.get_by_text("Quoting your documents, no language model configured")).to_be_visible()
        assert millstream.library is not None
        await millstream.library.start([documents], "local")
        await ask(page, "Who clears the mill stream of leaves?")
        answer = page.get_by_role("article").last
        await expect(answer).to_have_attribute("aria-busy", "false")
        await expect(answer.locator(".words")).to_contain_text("cleared of leaves every October by the miller")
        await expect(answer.get_by_role("list", name="Sources").get_by_role("button")).to_have_count(1)
        citation = answer.locator(".words").get_by_role("button", name="Source 1").first
        await citation.click()
        marked = page.get_by_role("complementary").locator("mark")
        await expect(marked.filter(has_text="cleared of leaves every October")).to_be_visible()


async def test_each_part_is_shown_as_soon_as_it_is_made(page: Page, stage: Stage) -> None:
    await ask(page, "What drives the wheel?")
    answer = page.get_by_role("article").last

    stage.begin_step("Searching 2 documents…")
    await expect(answer.get_by_text("Searching 2 documents…")).to_be_visible()
    await expect(answer.locator(".time")).to_contain_text("s")

    stage.end_step("Found 2 related passages")
    await expect(answer.get_by_text("Found 2 related passages")).to_be_visible()

    stage.cite(HANDBOOK, RIVERS)
    await expect(answer.get_by_role("button", name="Source 1: handbook.pdf, page 4")).to_be_visible()
    await expect(answer.locator(".words")).to_be_empty()

    stage.think("The handbook says it.")
    await expect(answer.get_by_text("Thinking…")).to_be_visible()

    stage.say("The **mill stream** [1] drives ")
    await expect(answer.locator(".words strong")).to_have_text("mill stream")
    await expect(answer).to_have_attribute("aria-busy", "true")
    # Once there are words, the steps make room for them.
    await expect(answer.get_by_text("Found 2 related passages").and_(page.locator(".step-label"))).to_be_hidden()

    stage.say("the wheel [1], with a head of two metres [2].")
    stage.suggest("And in winter?")
    stage.end()
    await expect(answer).to_have_attribute("aria-busy", "false")
    words = answer.locator(".words")
    await expect(words.get_by_role("button", name="Source 2: Rivers and weirs")).to_be_visible()
    await expect(words).not_to_contain_text("[")
    await expect(answer.get_by_role("button", name="And in winter?")).to_be_visible()
    await expect(page.get_by_role("status")).to_contain_text("Answer ready")


async def test_a_failed_answer_keeps_what_was_written_says_why_and_can_be_asked_again(page: Page, stage: Stage) -> None:
    await ask(page, "What drives the wheel?")
    stage.say("Half an answer")
    stage.fail()
    answer = page.get_by_role("article").last
    await expect(answer.get_by_text("The answer failed.")).to_be_visible()
    await expect(answer).to_contain_text("The model is busy; try again in a moment.")
    await expect(answer.locator(".words")).to_have_text("Half an answer")
    await expect(page.get_by_role("alert")).to_contain_text("The model is busy")

    await answer.get_by_role("button", name="Try again").click()
    stage.say("A whole answer.")
    stage.end()
    await expect(page.locator(".words")).to_have_text("A whole answer.")
    await expect(page.get_by_text("2 of 2")).to_be_visible()
    await page.get_by_role("button", name="Earlier version").click()
    await expect(page.locator(".words")).to_have_text("Half an answer")


async def test_streaming_can_be_switched_off_and_stays_off(page: Page, stage: Stage) -> None:
    await set_to(page, "Answers appear", "When they are complete")
    await page.reload()
    async with page.expect_request("**/api/runs") as asked:
        await ask(page, "What drives the wheel?")
    body = (await asked.value).post_data_json
    assert body is not None
    assert body["stream"] is False
    await expect(page.locator(".waiting")).to_contain_text("Waiting for the model")
    stage.cite(HANDBOOK)
    stage.say("The mill ", "stream [1].")
    stage.end()
    answer = page.get_by_role("article").last
    await expect(answer.locator(".words")).to_contain_text("The mill stream")
    await expect(answer.locator(".words").get_by_role("button", name="Source 1")).to_be_visible()
    await expect(answer).to_have_attribute("aria-busy", "false")


async def test_a_refused_question_comes_back_to_where_it_was_typed(visit: Watched, page: Page) -> None:
    visit.expected = ("400 (Bad Request)",)
    steps = await page.evaluate("history.length")
    await page.get_by_label("Your question").fill("x" * 100_001)
    await page.keyboard.press("Enter")
    await expect(page.locator(".problem")).to_be_visible()
    await expect(page.get_by_label("Your question")).to_have_value("x" * 100_001)
    await expect(page.get_by_role("article")).to_have_count(0)
    assert await page.evaluate("history.length") == steps
    assert "#" not in page.url


async def test_conversations_are_listed_opened_renamed_and_deleted(page: Page, stage: Stage) -> None:
    for question in ("First question", "Second question"):
        await page.get_by_role("button", name="New conversation").first.click()
        await ask(page, question)
        stage.say(f"Answer to the {question.lower()}.")
        stage.end()
        await expect(page.locator(".words")).to_contain_text("Answer to")
        await expect(page.get_by_role("article").last).to_have_attribute("aria-busy", "false")
    side = page.get_by_role("navigation", name="Conversations")
    await expect(side.get_by_role("link")).to_have_text(["Second question", "First question"])

    await side.get_by_role("link", name="First question").click()
    await expect(page.locator(".words")).to_have_text("Answer to the first question.")
    await page.go_back()
    await expect(page.locator(".words")).to_have_text("Answer to the second question.")

    await side.get_by_role("link", name="First question").hover()
    await side.get_by_role("button", name="More for First question").click()
    await side.get_by_role("button", name="Rename").click()
    await expect(side.get_by_role("textbox", name="Title")).to_be_focused()
    await page.keyboard.type("The very first")
    await page.keyboard.press("Enter")
    await expect(side.get_by_role("link", name="The very first")).to_be_visible()

    await side.get_by_role("link", name="The very first").hover()
    await side.get_by_role("button", name="More for The very first").click()
    await side.get_by_role("button", name="Delete").click()
    await expect(side.get_by_role("link")).to_have_text(["Second question"])
    await side.get_by_role("button", name="Undo").click()
    await expect(side.get_by_role("link")).to_have_count(2)
    await side.get_by_role("link", name="The very first").click()
    await expect(page.locator(".words")).to_have_text("Answer to the first question.")


async def test_conversations_are_found_by_what_was_said_in_them(page: Page, stage: Stage) -> None:
    for question, answer in (
        ("What of the wheel?", "It turns by the stream."),
        ("And the weir?", "It holds the water."),
    ):
        await page.get_by_role("button", name="New conversation").first.click()
        await ask(page, question)
        stage.say(answer)
        stage.end()
        await until_done(page)
    side = page.get_by_role("navigation", name="Conversations")
    await side.get_by_label("Search in what was asked and answered").fill("turns")
    await expect(side.get_by_role("link")).to_have_count(1)
    await expect(side.get_by_role("link").locator("mark")).to_have_text("turns")
    await side.get_by_role("searchbox").fill("nothing like it")
    await expect(side.get_by_text("No conversation has all these words.")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(side.get_by_role("link")).to_have_count(2)


async def test_a_conversation_is_saved_as_a_file(page: Page, stage: Stage) -> None:
    await ask(page, "What drives the wheel?")
    stage.say("The **mill stream**.")
    stage.end()
    await until_done(page)
    side = page.get_by_role("navigation", name="Conversations")
    for name, expected in (("Save as Markdown", "The **mill stream**."), ("Save as JSON", '"content"')):
        await side.get_by_role("link").hover()
        if await side.get_by_role("button", name=name).count() == 0:
            await side.get_by_role("button", name="More for").click()
        async with page.expect_download() as saving:
            await side.get_by_role("button", name=name).click()
        path = await (await saving.value).path()
        assert expected in path.read_text()


async def test_a_conversation_goes_on(page: Page, stage: Stage) -> None:
    for question in ("One", "Two"):
        await ask(page, question)
        stage.say(f"Answer {question}.")
        stage.end()
        await expect(page.locator(".words").last).to_have_text(f"Answer {question}.")
        await expect(page.get_by_role("article").last).to_have_attribute("aria-busy", "false")
    assert [message.content for message in stage.runs[1].messages] == ["One", "Answer One.", "Two"]
    await expect(page.get_by_role("navigation").get_by_role("link")).to_have_count(1)


async def test_a_recording_is_labelled_as_one(page: Page) -> None:
    await page.get_by_role("button", name="Watch a recorded answer").first.click()
    await expect(page.get_by_text("Recording: this answer was made earlier")).to_be_visible()
    await expect(page.locator(".words")).not_to_be_empty()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("article").last).to_have_attribute("aria-busy", "false")
