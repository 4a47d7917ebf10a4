"""What a person does on the page, in one line each."""

import asyncio
import contextlib
from pathlib import Path
from typing import Any

from playwright.async_api import Error, Locator, Page, Route, expect

from .stage import Stage

# From then on, what a screen reader is given to say is in `announced`.
LISTEN = """() => {
    window.announced = [];
    const root = document.querySelector("millstream-chat").shadowRoot;
    for (const region of root.querySelectorAll("[role=status], [role=alert]"))
        new MutationObserver((changes) => {
            for (const change of changes) for (const node of change.addedNodes) announced.push(node.textContent);
        }).observe(region, {childList: true, subtree: true, characterData: true});
}"""

AXE = Path(__file__).parents[2] / "web/node_modules/axe-core/axe.min.js"


async def ask(page: Page, question: str) -> None:
    await page.get_by_label("Your question").fill(question)
    await page.keyboard.press("Enter")


async def set_to(page: Page, setting: str, choice: str) -> None:
    """Opens the settings, chooses, and closes them."""
    await page.get_by_role("button", name="Settings of this conversation").click()
    await page.get_by_label(setting).select_option(choice)
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)


async def answered(page: Page, stage: Stage, *questions: str) -> None:
    """Asks them one after the other, and each is answered in its turn."""
    for question in questions:
        await ask(page, question)
        stage.say(f"Answer {question}.")
        stage.end()
        await until_done(page)


async def ask_unheard(page: Page, stage: Stage, question: str) -> None:
    """Asks; the run begins, but nothing of it comes back until it has ended."""
    begun = asyncio.Event()
    stage.do(lambda run: begun.set())

    async def hold_back(route: Route) -> None:
        with contextlib.suppress(Error):
            await route.fetch()
            await route.abort()

    await page.route("**/api/runs", hold_back)
    await ask(page, question)
    await begun.wait()


async def stop_before_waiting(page: Page, stage: Stage, question: str, waiting: str) -> None:
    """Asks two, and stops the first in the middle of its answer: the other is not asked yet."""
    await ask(page, question)
    stage.say("Half")
    await expect(page.locator(".words")).to_have_text("Half")
    await ask(page, waiting)
    await page.keyboard.press("Escape")
    await expect(page.get_by_text("Not asked yet")).to_be_visible()


def last_answer(page: Page) -> Locator:
    return page.locator(".answer").last


async def until_done(page: Page) -> None:
    await expect(last_answer(page)).to_have_attribute("aria-busy", "false")


async def violations(page: Page) -> list[Any]:
    """What axe finds. The script is run by the browser's own debugger, which the page's policy does not bind."""
    await page.evaluate(AXE.read_text())
    found = await page.evaluate("axe.run()")
    return [(item["id"], [node["html"] for node in item["nodes"]]) for item in found["violations"]]
