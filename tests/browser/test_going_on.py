"""What ended too early stays as it was left, and can be gone on with."""

import pytest
from playwright.async_api import Page, expect

from millstream.run import Run

from .moves import ask
from .stage import Stage

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_a_step_that_never_ended_does_not_go_on_when_the_answer_was_stopped(page: Page, stage: Stage) -> None:
    await ask(page, "Why?")
    stage.begin_step("Searching the archive…")
    await expect(page.locator(".step-label")).to_be_visible()
    await page.keyboard.press("Escape")
    answer = page.get_by_role("article").last
    await expect(answer.get_by_text("You stopped this answer.")).to_be_visible()
    await answer.locator("summary").click()
    await expect(answer.locator(".step")).to_be_visible()
    await expect(answer.locator(".spinner")).to_have_count(0)
    await expect(answer.locator(".time")).to_have_text([""])


async def test_a_partial_answer_is_gone_on_with(page: Page, stage: Stage) -> None:
    await ask(page, "Count")
    stage.say("1 2 ")
    stage.fail()
    answer = page.get_by_role("article").last
    await expect(answer.get_by_text("The answer failed.")).to_be_visible()

    def go_on(run: Run) -> None:
        assert run.continued is not None
        run.write(f"{run.continued.content}3")

    stage.do(go_on)
    stage.end()
    await answer.get_by_role("button", name="Continue").click()
    await expect(page.locator(".words")).to_have_text("1 2 3")
    await expect(answer.get_by_text("The answer failed.")).to_be_hidden()
    assert len(stage.runs) == 2
