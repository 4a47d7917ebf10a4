"""For everyone: by keyboard, by screen reader, at any width, in both schemes."""

from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]
from playwright.async_api import Browser, Page, expect

from .conftest import Watched, watched
from .stage import HANDBOOK, RIVERS, Stage
from .moves import ask

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

RICH = """### What drives the wheel

The **mill stream** does [1]. It is described in [a report](https://example.org/report) with `code`:

1. the weir raises the water [2];
2. the race leads it to the wheel [1].

| part | height |
|------|-------:|
| weir | 2 m [2] |

```python
head = weir.level - race.level
```

> Kept clear of leaves. ![plan](https://example.org/plan.png)
"""


async def violations(page: Page) -> list[Any]:
    # The script is run by the browser's own debugger, which the page's policy does not bind.
    results = await Axe().run(page)
    return [(item["id"], [node["html"] for node in item["nodes"]]) for item in results.response["violations"]]


async def test_every_state_has_no_violation_in_either_scheme(browser: Browser, stage: Stage, port: int) -> None:
    for scheme, width in (("light", 1280), ("dark", 390)):
        async with watched(browser, port, color_scheme=scheme, viewport={"width": width, "height": 844}) as visit:
            page = await visit.open(f"http://127.0.0.1:{port}/")
            await expect(page.get_by_text("no language model configured")).to_be_visible()
            assert await violations(page) == []

            await ask(page, "What drives the wheel?")
            stage.begin_step("Searching 2 documents…")
            await expect(page.locator(".steps")).to_be_visible()
            assert await violations(page) == []

            stage.end_step("Found 2 related passages")
            stage.cite(HANDBOOK, RIVERS)
            stage.think("It *must* be the water.")
            stage.say(RICH)
            await expect(page.locator(".words table")).to_be_visible()
            assert await violations(page) == []

            stage.suggest("And in winter?")
            stage.end()
            await expect(page.get_by_role("button", name="And in winter?")).to_be_visible()
            await page.locator(".citation").first.click()
            assert await violations(page) == []

            await ask(page, "Again")
            stage.say("Half")
            stage.fail()
            await expect(page.get_by_text("The answer failed.").first).to_be_visible()
            assert await violations(page) == []
            if width < 800:
                await page.get_by_role("button", name="Conversations").click()
                await expect(page.get_by_role("navigation")).to_be_visible()
                assert await violations(page) == []


async def test_everything_can_be_done_by_keyboard(page: Page, stage: Stage) -> None:
    await expect(page.get_by_label("Your question")).to_be_focused()
    await page.keyboard.type("What drives")
    await page.keyboard.press("Shift+Enter")
    await page.keyboard.type("the wheel?")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("article").first).to_contain_text("What drives\nthe wheel?")
    await expect(page.get_by_label("Your question")).to_be_focused()
    stage.cite(HANDBOOK)
    stage.say("The mill stream [1].")
    stage.end()
    await expect(page.get_by_role("article").last).to_have_attribute("aria-busy", "false")
    await expect(page.get_by_label("Your question")).to_be_focused()

    reached: list[str] = []
    for _ in range(12):
        await page.keyboard.press("Shift+Tab")
        reached.append(
            await page.evaluate(
                """() => {
                    const control = document.activeElement;
                    return control.getAttribute('aria-label') ?? (control.labels?.[0] ?? control).innerText;
                }"""
            )
        )
        outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", f"{reached[-1]} does not show that it has the focus"
        if reached[-1].startswith("Skip"):
            break
    assert reached == [
        "Regenerate",
        "Source 1: handbook.pdf, page 4",
        "Source 1: handbook.pdf, page 4",
        "Conversation",
        "Show answers as they are written",
        "Delete What drives",
        "Rename What drives",
        "What drives",
        "New conversation",
        "Skip to the question",
    ]
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("Your question")).to_be_focused()


async def test_the_stream_is_not_announced_word_by_word(page: Page, stage: Stage) -> None:
    await page.evaluate(
        """() => {
            window.announced = [];
            for (const region of document.querySelectorAll('[role=status], [role=alert]'))
                new MutationObserver(() => announced.push(region.textContent))
                    .observe(region, {childList: true, subtree: true, characterData: true});
        }"""
    )
    await ask(page, "Count")
    stage.begin_step("Searching…")
    await expect(page.locator(".steps")).to_be_visible()
    stage.end_step("Found nothing")
    for number in range(1, 21):
        stage.say(f"{number} ")
        await expect(page.locator(".words")).to_contain_text(str(number))
    stage.end()
    await expect(page.get_by_role("status")).to_have_text("Answer ready: 20 words, 0 sources")
    assert await page.evaluate("announced") == ["Searching…", "Answering", "Answer ready: 20 words, 0 sources"]
    await expect(page.get_by_role("log")).to_have_attribute("aria-live", "off")


async def test_a_phone_needs_no_sideways_scrolling(browser: Browser, stage: Stage, port: int) -> None:
    async with watched(browser, port, viewport={"width": 320, "height": 640}) as visit:
        page = await visit.open(f"http://127.0.0.1:{port}/")
        wide = (
            "[document.documentElement, document.querySelector('.transcript')].some(it => it.scrollWidth > innerWidth)"
        )
        await expect(page.get_by_text("no language model configured")).to_be_visible()
        assert not await page.evaluate(wide)
        await ask(page, "x" * 200)
        stage.cite(HANDBOOK, RIVERS)
        stage.say(RICH, "\n\n```\n", "y" * 300, "\n```\n\n", "z" * 300, "\n\n|", "wide cell|" * 30, "\n|", "-|" * 30)
        stage.end()
        await expect(page.get_by_role("article").last).to_have_attribute("aria-busy", "false")
        assert not await page.evaluate(wide)


async def test_controls_are_large_enough_to_hit(visit: Watched, page: Page, stage: Stage) -> None:
    await ask(page, "What drives the wheel?")
    stage.cite(HANDBOOK)
    stage.say("The mill stream [1].")
    stage.end()
    await expect(page.get_by_role("article").last).to_have_attribute("aria-busy", "false")
    await page.get_by_role("navigation").get_by_role("link").hover()
    small = await page.evaluate(
        """() => [...document.querySelectorAll('button, summary, input, nav a')]
            .map(control => [control.outerHTML.slice(0, 80), control.getBoundingClientRect()])
            .filter(([, box]) => box.width > 0 && (box.width < 24 || box.height < 24))
            .map(([name, box]) => `${name} ${box.width}x${box.height}`)"""
    )
    assert small == []


async def test_the_transcript_follows_only_a_reader_who_is_at_the_end(page: Page, stage: Stage) -> None:
    await ask(page, "Go on and on")
    stage.say(*(f"Paragraph {number}.\n\n" for number in range(60)))
    await expect(page.get_by_text("Paragraph 59.")).to_be_in_viewport()
    log = page.get_by_role("log")
    await log.hover()
    await page.mouse.wheel(0, -600)
    await expect(page.get_by_role("button", name="Jump to latest")).to_be_visible()
    stage.say("The last one.")
    await expect(page.get_by_text("The last one.")).to_have_count(1)
    await expect(page.get_by_text("The last one.")).not_to_be_in_viewport()
    await page.get_by_role("button", name="Jump to latest").click()
    await expect(page.get_by_text("The last one.")).to_be_in_viewport()
    stage.end()
