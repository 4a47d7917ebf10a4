"""What can be done with a turn: look into its steps, ask again in other words, rate, copy, queue."""

import asyncio
import re
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from millstream.errors import ModelError
from millstream.run import Run

from .conftest import Watched, watched
from .moves import answered, ask, last_answer, set_to, stop_before_waiting, until_done
from .stage import HANDBOOK, Stage, new_millstream, serving

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_a_step_opens_to_what_a_developer_wants_to_see(page: Page, stage: Stage) -> None:
    async def search(run: Run) -> None:
        async with run.step("search", "Searching 2 documents…") as step:
            hits = [{"title": "handbook.pdf", "uri": "handbook.pdf", "page_start": 4, "score": 0.8125}]
            step.done("Found 1 related passage", query="wheel drive", limit=5, hits=hits)

    await ask(page, "What drives the wheel?")
    stage.do(search)
    stage.say("The stream.")
    stage.end()
    await until_done(page)
    await page.get_by_text("Found 1 related passage").first.click()
    await page.locator(".step-detail > summary").click()
    detail = page.locator(".detail")
    await expect(detail).to_contain_text("wheel drive")
    await expect(detail.get_by_role("row")).to_have_text(["PassagePageScore", "handbook.pdf40.813"])


async def test_a_question_is_asked_again_in_other_words_and_both_stay(page: Page, stage: Stage) -> None:
    for question, answer in (("What drives the weel?", "No weel is known."), ("And then?", "Nothing.")):
        await ask(page, question)
        stage.say(answer)
        stage.end()
        await until_done(page)
    await page.get_by_role("button", name="Ask in other words").first.click()
    field = page.get_by_role("textbox", name="Ask in other words")
    await expect(field).to_be_focused()
    await field.fill("What drives the wheel?")
    await page.keyboard.press("Enter")
    stage.say("The mill stream.")
    stage.end()
    await expect(page.locator(".words")).to_have_text(["The mill stream."])
    await expect(page.locator(".bubble")).to_have_text(["What drives the wheel?"])
    assert [message.content for message in stage.runs[-1].messages] == ["What drives the wheel?"]

    versions = page.get_by_role("group", name="Versions of the question")
    await expect(versions).to_contain_text("2 of 2")
    await versions.get_by_role("button", name="Earlier version").click()
    await expect(page.locator(".words")).to_have_text(["No weel is known.", "Nothing."])
    await page.reload()
    await expect(page.locator(".words")).to_have_text(["No weel is known.", "Nothing."])


async def test_an_answer_is_rated_with_a_comment_that_outlives_the_page(page: Page, stage: Stage) -> None:
    await ask(page, "What drives the wheel?")
    stage.say("The wind.")
    stage.end()
    await until_done(page)
    await page.get_by_role("button", name="Bad answer").click()
    await page.get_by_label("What was wrong with it?").fill("It is the stream.")
    # The rating itself was sent before its comment, and may be answered only now.
    comment = {"rating": "down", "comment": "It is the stream."}
    async with page.expect_response(lambda response: response.request.post_data_json == comment) as stored:
        await page.get_by_role("button", name="Send", exact=True).click()
    assert (await stored.value).ok
    await page.reload()
    await expect(page.get_by_role("button", name="Bad answer")).to_have_attribute("aria-pressed", "true")
    async with page.expect_response("**/feedback") as removed:
        await page.get_by_role("button", name="Bad answer").click()
    assert (await removed.value).request.method == "DELETE"
    await expect(page.get_by_role("button", name="Bad answer")).to_have_attribute("aria-pressed", "false")


async def test_an_answer_is_copied_as_it_was_written(browser: Browser, stage: Stage, port: int) -> None:
    async with watched(browser, port, permissions=["clipboard-read", "clipboard-write"]) as visit:
        page = await visit.open(f"http://127.0.0.1:{port}/")
        await ask(page, "What drives the wheel?")
        stage.say("The **mill stream**:\n\n```python\nwheel.turn()\n```\n")
        stage.end()
        await until_done(page)
        await page.get_by_role("button", name="Copy as Markdown").click()
        await expect(page.get_by_role("button", name="Copied")).to_be_visible()
        copied = await page.evaluate("navigator.clipboard.readText()")
        assert copied == "The **mill stream**:\n\n```python\nwheel.turn()\n```\n"
        await page.locator(".code").hover()
        await page.get_by_role("button", name="Copy the code").click()
        await expect(page.get_by_role("status").get_by_text("Copied")).to_have_count(2)
        assert await page.evaluate("navigator.clipboard.readText()") == "wheel.turn()\n"


async def test_model_tokens_and_times_are_shown_on_demand(page: Page, stage: Stage) -> None:
    await ask(page, "What drives the wheel?")
    stage.say("The mill stream.")
    stage.end()
    await until_done(page)
    await page.get_by_role("button", name="Model, tokens and times").click()
    details = page.locator(".details")
    await expect(details).to_contain_text("Model")
    await expect(details).to_contain_text("First word after")
    await expect(details).to_contain_text("Complete after")


async def test_questions_wait_in_a_queue_that_can_be_changed_and_are_asked_in_turn(page: Page, stage: Stage) -> None:
    await ask(page, "One")
    stage.say("Answer one.")
    await expect(page.locator(".words")).to_have_text("Answer one.")
    for question in ("Two", "Never", "Thre"):
        await ask(page, question)
    queue = page.get_by_role("region", name="Questions that wait")
    await expect(queue.get_by_role("listitem")).to_have_count(3)
    await queue.get_by_role("button", name="Remove: Never").click()
    await queue.get_by_role("button", name="Edit: Thre").click()
    await expect(page.get_by_label("Your question")).to_have_value("Thre")
    await ask(page, "Three")
    await expect(queue.locator(".queue-text")).to_have_text(["Two", "Three"])
    stage.end()
    for answer in ("Answer two.", "Answer three."):
        stage.say(answer)
        stage.end()
    await expect(page.locator(".words")).to_have_text(["Answer one.", "Answer two.", "Answer three."])
    await expect(queue).to_have_count(0)
    assert [run.question for run in stage.runs] == ["One", "Two", "Three"]


async def test_stop_keeps_the_queue_until_the_person_goes_on(page: Page, stage: Stage) -> None:
    await stop_before_waiting(page, stage, "One", "Two")
    await page.get_by_role("button", name="Ask now").click()
    stage.say("Answer two.")
    stage.end()
    await expect(page.locator(".words")).to_have_text(["Half", "Answer two."])


async def test_a_stopped_answer_is_gone_on_with(page: Page, stage: Stage) -> None:
    await ask(page, "Count")
    stage.say("1 2 ")
    await expect(page.locator(".words")).to_have_text("1 2")
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Continue").click()
    stage.do(lambda run: run.write(f"{run.continued.content}3"))
    stage.end()
    await expect(page.locator(".words")).to_have_text("1 2 3")


async def test_a_failure_with_a_time_to_wait_counts_it_down(page: Page, stage: Stage) -> None:
    def fail(run: Run) -> None:
        raise ModelError("Too many requests.", code="model-rate-limited", retryable=True, retry_after=30)

    await ask(page, "Why?")
    stage.do(fail)
    await expect(last_answer(page).get_by_role("button", name="Try again in")).to_be_disabled()


async def test_an_answer_without_sources_says_so(page: Page, stage: Stage) -> None:
    await ask(page, "What is the capital of the moon?")
    stage.begin_step("Searching 2 documents…")
    stage.end_step("Found no related passages")
    stage.say("I do not know.")
    stage.end()
    await expect(last_answer(page).get_by_text("This answer rests on no source of yours.")).to_be_visible()


async def test_a_wait_that_is_long_is_said_to_be(page: Page, stage: Stage) -> None:
    await page.clock.install()
    await ask(page, "Why?")
    stage.begin_step("Searching…")
    stage.end_step("Found 1 related passage")
    stage.cite(HANDBOOK)
    await expect(page.get_by_text("Waiting for the model")).to_be_visible()
    await expect(page.locator(".slow")).to_have_count(0)
    await page.clock.fast_forward(12_000)
    await expect(page.locator(".slow")).to_be_visible()
    stage.say("The stream ")
    await expect(page.locator(".words")).to_have_text("The stream")
    await expect(page.locator(".waiting")).to_have_count(0)
    await page.clock.fast_forward(12_000)
    await expect(page.get_by_text("Waiting for the next words")).to_be_visible()
    stage.say("drives it.")
    stage.end()
    await expect(page.locator(".waiting")).to_have_count(0)


async def test_a_number_beyond_its_bounds_becomes_the_nearest_that_may_be(page: Page, stage: Stage) -> None:
    await page.get_by_role("button", name="Settings of this conversation").click()
    amount = page.get_by_label("Sources at most")
    for typed, kept in (("99", "50"), ("0", "1"), ("7", "7")):
        await amount.fill(typed)
        await amount.press("Tab")
        await expect(amount).to_have_value(kept)
    await amount.fill("")
    await amount.press_sequentially("99")
    await page.keyboard.press("Escape")  # which closes it as it is
    async with page.expect_request("**/api/runs") as asked:
        await ask(page, "Why?")
    body = (await asked.value).post_data_json
    assert body is not None
    assert body["options"] == {"sources": 50}
    stage.end()


async def test_what_a_conversation_is_to_be_answered_with_is_sent_and_kept(page: Page, stage: Stage) -> None:
    await page.get_by_role("button", name="Settings of this conversation").click()
    await page.get_by_label("Sources at most").press_sequentially("3")
    await page.get_by_label("Answers from").select_option("Your documents")
    await page.keyboard.press("Escape")
    async with page.expect_request("**/api/runs") as asked:
        await ask(page, "Why?")
    body = (await asked.value).post_data_json
    assert body is not None
    assert (body["answer"], body["options"]) == ("rag", {"sources": 3})
    await until_done(page)
    await page.reload()
    await page.get_by_role("button", name="Settings of this conversation").click()
    await expect(page.get_by_label("Sources at most")).to_be_visible()  # Escape closes only what is open
    await expect(page.get_by_label("Sources at most")).to_have_value("3")
    await page.keyboard.press("Escape")
    await expect(page.get_by_label("Sources at most")).to_be_hidden()
    await page.get_by_role("button", name="New conversation").first.click()
    await page.get_by_role("button", name="Settings of this conversation").click()
    await expect(page.get_by_label("Sources at most")).to_have_value("")


async def test_temperature_and_effort_are_offered_with_a_model_within_the_operators_bounds(
    browser: Browser, stage: Stage, tmp_path: Path
) -> None:
    (tmp_path / "script.json").write_text('{"calls": [{"steps": [{"type": "text", "text": "So."}]}]}')
    millstream = new_millstream(
        tmp_path, model=f"scripted/{tmp_path / 'script.json'}", max_temperature=0.5, efforts="low,high"
    )
    millstream.answer(stage.answer)
    async with serving(millstream) as port, watched(browser, port) as visit:
        page = await visit.open(f"http://127.0.0.1:{port}/")
        await page.get_by_role("button", name="Settings of this conversation").click()
        temperature = page.get_by_label("Temperature")
        await expect(temperature).to_have_attribute("max", "0.5")
        await expect(page.get_by_label("Reasoning effort").get_by_role("option")).to_have_text(
            ["Default", "Low", "High"]
        )
        await temperature.fill("0.25")
        await page.get_by_label("Reasoning effort").select_option("High")
        await page.keyboard.press("Escape")
        async with page.expect_request("**/api/runs") as asked:
            await ask(page, "Why?")
        body = (await asked.value).post_data_json
        assert body is not None
        assert body["options"] == {"temperature": 0.25, "reasoning_effort": "high"}
        stage.end()
        await until_done(page)


async def test_code_is_coloured_once_it_is_finished_by_what_is_loaded_only_then(page: Page, stage: Stage) -> None:
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    await ask(page, "How?")
    stage.say("Like this:\n\n```python\ndef turn(wheel):\n")
    await expect(page.locator(".words pre")).to_contain_text("def turn")
    await expect(page.locator(".hl-keyword")).to_have_count(0)
    assert not any(url.endswith(".js") for url in requested)
    stage.say("    return wheel\n```\n\nThat is all.")
    stage.end()
    await expect(page.locator(".hl-keyword")).to_have_text(["def", "return"])
    assert any(url.endswith(".js") for url in requested)


async def test_the_page_speaks_the_readers_language_from_right_to_left(
    visit: Watched, page: Page, stage: Stage
) -> None:
    await ask(page, "What drives the wheel?")
    stage.cite(HANDBOOK)
    stage.say("The mill stream [1].")
    stage.end()
    await until_done(page)
    await set_to(page, "Language", "العربية")
    app = page.locator(".app")
    await expect(app).to_have_attribute("dir", "rtl")
    await expect(page.get_by_role("button", name="محادثة جديدة")).to_be_visible()
    await expect(page.locator(".words .citation")).to_have_attribute("aria-label", "المصدر 1: handbook.pdf، الصفحة 4")
    await expect(page.locator(".words")).to_contain_text("The mill stream")
    side = await page.get_by_role("navigation").last.bounding_box()
    assert side is not None
    assert side["x"] > 600
    await page.reload()
    await expect(page.get_by_label("سؤالك")).to_be_visible()


async def test_a_theme_can_be_chosen_against_the_systems(page: Page) -> None:
    await set_to(page, "Colours", "Dark")
    await expect(page.locator(".frame")).to_have_css("background-color", "rgb(23, 25, 26)")
    await set_to(page, "Colours", "Light")
    await expect(page.locator(".frame")).to_have_css("background-color", "rgb(252, 251, 249)")


async def test_realtime_shows_words_as_they_arrive(page: Page, stage: Stage) -> None:
    await set_to(page, "Answers appear", "As they arrive")
    await ask(page, "Why?")
    stage.say("word " * 200)
    written = asyncio.Event()
    stage.do(lambda run: written.set())
    await written.wait()
    await expect(page.locator(".words")).to_have_text(("word " * 200).strip())
    stage.end()


async def test_what_the_sources_do_not_support_is_said_and_opens_to_the_statements(page: Page, stage: Stage) -> None:
    await ask(page, "What drives the wheel?")
    stage.cite(HANDBOOK)
    stage.say(
        "The mill stream 🌊 drives the wheel [1]. The weir was built in **1743**. It is kept clear of leaves [1]."
    )
    await expect(page.locator(".words")).to_contain_text("clear of leaves")
    flags = page.locator(".unsupported")
    await expect(flags).to_have_count(0)
    stage.end()
    for _ in ("as it is made", "from what is stored"):
        await until_done(page)
        await expect(flags.locator("summary")).to_have_text("1 statement is not supported by the sources")
        await expect(flags.locator(".statement")).to_be_hidden()
        await flags.locator("summary").click()
        await expect(flags.locator(".statement")).to_have_text("The weir was built in 1743.")
        await expect(flags.locator("strong")).to_have_text("1743")
        await expect(flags).to_contain_text("In no source: \u20681743\u2069")
        await page.reload()


async def test_a_wait_before_the_next_try_counts_down(page: Page, stage: Stage) -> None:
    await page.clock.install()
    over = asyncio.Event()

    async def wait(run: Run) -> None:
        async with run.step("retry", "The model is rate limited; trying again in 31 s…", retry_after=30.4):
            await over.wait()

    await ask(page, "What drives the wheel?")
    stage.do(wait)
    label = page.locator(".step-label")
    await expect(label).to_contain_text("trying again in")
    await page.clock.fast_forward(20_000)
    await expect(label).to_have_text(re.compile(r"^The model is rate limited; trying again in (9|10)\xa0s…$"))
    await page.clock.fast_forward(20_000)
    await expect(label).to_contain_text("in 0\xa0s…")
    over.set()
    stage.end()


async def test_a_wait_that_is_only_told_in_words_shows_how_long_it_has_taken(page: Page, stage: Stage) -> None:
    """As older servers' recordings have it; an application's own wait is counted down beside its words."""
    over = asyncio.Event()

    async def wait(run: Run) -> None:
        async with (
            run.step("retry", "The model is rate limited; trying again in 30 s…"),
            run.step("seat", "Waiting for a free seat…", retry_after=30),
        ):
            await over.wait()

    await ask(page, "What drives the wheel?")
    stage.do(wait)
    first, second = page.locator(".step").first, page.locator(".step").last
    await expect(first).to_contain_text("trying again in 30\xa0s…")
    await expect(first.locator(".time")).to_have_text(re.compile(r"^[12]\.\ds$"))
    await expect(second).to_contain_text("Waiting for a free seat…")
    await expect(second.locator(".time")).to_have_text(re.compile(r"^2\ds$"))
    over.set()
    stage.end()


async def test_where_there_is_no_clipboard_for_pages_text_is_copied_all_the_same(
    browser: Browser, stage: Stage, port: int
) -> None:
    async with watched(browser, port) as visit:
        await visit.context.add_init_script("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
        page = await visit.open(f"http://127.0.0.1:{port}/")
        await answered(page, stage, "One")
        await page.get_by_role("button", name="Copy as Markdown").click()
        await expect(page.get_by_role("button", name="Copied")).to_be_visible()
        await page.get_by_label("Your question").focus()
        await page.keyboard.press("Control+V")
        await expect(page.get_by_label("Your question")).to_have_value("Answer One.")


async def test_that_nothing_could_be_copied_is_said(browser: Browser, stage: Stage, port: int) -> None:
    async with watched(browser, port) as visit:
        await visit.context.add_init_script(
            "Object.defineProperty(navigator, 'clipboard', {value: undefined}); document.execCommand = () => false"
        )
        page = await visit.open(f"http://127.0.0.1:{port}/")
        await ask(page, "One")
        stage.say("```\nwheel.turn()\n```\n")
        stage.end()
        await until_done(page)
        for button in ("Copy as Markdown", "Copy the code"):
            await page.locator(".code").hover()
            await page.get_by_role("button", name=button).click()
            await expect(page.locator(".problem")).to_have_text("The browser did not allow copying.")
            await page.get_by_role("button", name="Dismiss").click()
