"""For everyone: by keyboard, by screen reader, at any width, in both schemes."""

import asyncio
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from millstream.errors import ModelError
from millstream.run import Run

from .conftest import Watched, watched
from .moves import LISTEN, ask, set_to, until_done, violations
from .stage import HANDBOOK, RIVERS, Stage

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


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 390), ("dark", 390)])
async def test_no_state_has_a_violation(browser: Browser, stage: Stage, port: int, scheme: str, width: int) -> None:
    async with watched(browser, port, color_scheme=scheme, viewport={"width": width, "height": 844}) as visit:
        visit.expected = ("404 (Not Found)", "net::ERR_INTERNET_DISCONNECTED")
        page = await visit.open(f"http://127.0.0.1:{port}/")
        found: dict[str, list[Any]] = {}

        async def look(state: str) -> None:
            found[state] = await violations(page)

        await expect(page.get_by_text("no language model configured")).to_be_visible()
        await look("empty")
        await ask(page, "What drives the wheel?")
        stage.begin_step("Searching 2 documents…")
        await expect(page.locator(".steps")).to_be_visible()
        await look("searching")
        stage.end_step("Found 2 related passages")
        await expect(page.locator(".waiting")).to_be_visible()
        await look("waiting")
        stage.cite(HANDBOOK, RIVERS)
        stage.think("It *must* be the water.")
        stage.say(RICH)
        await expect(page.locator(".words table")).to_be_visible()
        await ask(page, "And the weir?")
        await expect(page.locator(".queue")).to_be_visible()
        await look("streaming")
        await visit.context.set_offline(True)
        await expect(page.locator(".connection")).to_be_visible()
        await look("offline")
        await visit.context.set_offline(False)
        await expect(page.locator(".connection")).to_have_count(0)
        await page.keyboard.press("Escape")
        await expect(page.locator(".note")).to_be_visible()
        await look("stopped")
        await page.get_by_role("button", name="Ask now").click()
        stage.say("It is kept [1].")
        stage.suggest("And in winter?")
        stage.end()
        await expect(page.get_by_role("button", name="And in winter?")).to_be_visible()
        await page.get_by_role("button", name="Model, tokens and times").last.click()
        await look("finished")
        await page.get_by_role("button", name="Bad answer").last.click()
        await look("commenting")
        await page.keyboard.press("Escape")
        await page.locator(".source-head").first.click()
        await expect(page.locator(".panel mark")).to_be_visible()
        await look("source")
        await page.keyboard.press("Escape")
        await ask(page, "Again")
        stage.say("Half")
        stage.fail()
        await expect(page.locator(".failure")).to_be_visible()
        await look("failed")
        await page.get_by_role("button", name="Settings of this conversation").click()
        await look("settings")
        await page.keyboard.press("Escape")
        if width < 800:
            await page.get_by_role("button", name="Conversations").click()
        await expect(page.get_by_role("navigation", name="Conversations")).to_be_visible()
        await page.get_by_role("button", name="More for").first.click()
        await look("list")
        assert found == {state: [] for state in found}


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 390), ("dark", 390)])
async def test_no_rarer_state_has_a_violation(
    browser: Browser, stage: Stage, port: int, scheme: str, width: int
) -> None:
    async with watched(browser, port, color_scheme=scheme, viewport={"width": width, "height": 844}) as visit:
        visit.expected = ("422",)
        page = await visit.open(f"http://127.0.0.1:{port}/")
        found: dict[str, list[Any]] = {}

        async def look(state: str) -> None:
            found[state] = await violations(page)

        await page.get_by_role("button", name="Watch a recorded answer").first.click()
        await expect(page.locator(".words")).not_to_be_empty()
        await look("recording")
        await page.keyboard.press("Escape")
        await expect(page.locator(".note")).to_be_visible()
        await look("recording, stopped")

        await ask(page, "What is the capital of the moon?")
        stage.do(_search)
        stage.say("The moon has none. It was built in 1743.\n\n- [x] looked up\n- [ ] asked\n")
        stage.end()
        await expect(page.get_by_text("This answer rests on no source of yours.")).to_be_visible()
        await page.locator(".answer .fold > summary").last.click()
        await page.locator(".step-detail > summary").last.click()
        await look("no sources, a step open")

        over = asyncio.Event()

        async def wait(run: Run) -> None:
            async with run.step("retry", "The model is rate limited; trying again in 30 s…"):
                await over.wait()
            raise ModelError("Too many requests.", code="model-rate-limited", retryable=True, retry_after=30)

        await ask(page, "And of the sun?")
        stage.do(wait)
        await expect(page.locator(".steps").get_by_text("trying again in")).to_be_visible()
        await look("waiting for the model")
        over.set()
        await expect(page.get_by_role("button", name="Try again in")).to_be_disabled()
        await look("failed, to wait")

        await page.get_by_role("button", name="Ask in other words").last.click()
        await look("editing")
        await page.get_by_role("textbox", name="Ask in other words").fill("And of Mars?")
        await page.keyboard.press("Enter")
        stage.cite(HANDBOOK)
        stage.say("It has none [1]. It was built in 1743.")
        stage.end()
        await until_done(page)
        await page.locator(".unsupported > summary").click()
        await expect(page.get_by_role("group", name="Versions of the question")).to_be_visible()
        await look("versions, unsupported")

        await page.locator("input[type=file]").set_input_files(
            [
                {"name": "weir.txt", "mimeType": "text/plain", "buffer": b"The weir."},
                {"name": "broken.pdf", "mimeType": "application/pdf", "buffer": b"%PDF-1.4\nno"},
            ]
        )
        await expect(page.get_by_text("Ready", exact=True)).to_be_visible()
        await expect(page.locator(".file.failed")).to_be_visible()
        await look("files")

        if width < 800:
            await page.get_by_role("button", name="Conversations").click()
        side = page.get_by_role("navigation", name="Conversations")
        await side.get_by_role("searchbox").fill("moon")
        await expect(side.locator("mark").first).to_be_visible()
        await look("search")
        await side.get_by_role("button", name="More for").first.click()
        await side.get_by_role("button", name="Rename").click()
        await look("renaming")
        await page.keyboard.press("Escape")
        await side.get_by_role("searchbox").fill("nothing like it")
        await expect(side.get_by_text("No conversation has all these words.")).to_be_visible()
        await expect(page.get_by_role("status").get_by_text("No conversation has all these words.")).to_have_count(1)
        await look("nothing found")
        if width < 800:
            await side.get_by_role("button", name="Close the list").click()
        await set_to(page, "Language", "العربية")
        await expect(page.locator(".app")).to_have_attribute("dir", "rtl")
        await look("Arabic")
        assert found == {state: [] for state in found}


async def _search(run: Run) -> None:
    async with run.step("search", "Searching 2 documents…") as step:
        hits = [{"title": "handbook.pdf", "uri": "handbook.pdf", "page_start": 4, "score": 0.8125}]
        step.done("Found no related passages", query="capital of the moon", filters={"year": [1911]}, hits=hits)


async def test_a_turn_reads_well_in_the_accessibility_tree(page: Page, stage: Stage) -> None:
    await ask(page, "What drives the wheel?")
    stage.begin_step("Searching 2 documents…")
    stage.end_step("Found 1 related passage")
    stage.cite(HANDBOOK)
    stage.say("### The wheel\n\nThe **mill stream** [1].")
    stage.suggest("And in winter?")
    stage.end()
    await expect(page.get_by_role("button", name="And in winter?")).to_be_visible()
    await expect(page.get_by_role("log")).to_match_aria_snapshot(
        """
        - log "Conversation":
          - article:
            - heading "You asked" [level=2]
            - button "Ask in other words"
            - paragraph: What drives the wheel?
          - article:
            - heading "Millstream answered" [level=2]
            - group: /Found 1 related passage/
            - list "Sources":
              - listitem:
                - 'button "Source 1: handbook.pdf, page 4"'
                - paragraph: A mill stream drives the wheel. It is kept clear of leaves in autumn.
            - heading "The wheel" [level=3]
            - paragraph:
              - text: The
              - strong: mill stream
              - 'button "Source 1: handbook.pdf, page 4"'
            - toolbar "This answer":
              - button "Copy as Markdown"
              - button "Regenerate"
              - button "Good answer"
              - button "Bad answer"
              - button "Model, tokens and times"
            - list "Suggested questions":
              - listitem:
                - button "And in winter?"
        """
    )


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
    for _ in range(24):
        await page.keyboard.press("Shift+Tab")
        name, outline = await page.evaluate(
            """() => {
                const control = document.querySelector("millstream-chat").shadowRoot.activeElement;
                const name = control.getAttribute("aria-label") ?? control.labels?.[0]?.innerText ?? control.innerText;
                const shown = [getComputedStyle(control), getComputedStyle(control, "::after")];
                return [name.trim(), shown.some(style => style.outlineStyle !== "none")];
            }"""
        )
        assert outline, f"{name} does not show that it has the focus"
        reached.append(name)
        if name.startswith("Skip"):
            break
    assert reached == [
        "Model, tokens and times",
        "Bad answer",
        "Good answer",
        "Regenerate",
        "Copy as Markdown",
        "Source 1: handbook.pdf, page 4",
        "Source 1: handbook.pdf, page 4",
        "Ask in other words",
        "Conversation",
        "Settings",
        "More for What drives",
        "What drives",
        "Search in what was asked and answered",
        "New conversation",
        "Skip to the question",
    ]
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("Your question")).to_be_focused()
    await page.keyboard.press("Tab")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("dialog", name="Settings")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("button", name="Settings of this conversation")).to_be_focused()


async def test_a_citation_leads_to_its_source_and_escape_leads_back(visit: Watched, page: Page, stage: Stage) -> None:
    visit.expected = ("404 (Not Found)",)
    await ask(page, "What drives the wheel?")
    stage.cite(HANDBOOK)
    stage.say("The mill stream drives it [1].")
    stage.end()
    await until_done(page)
    citation = page.locator(".words").get_by_role("button", name="Source 1: handbook.pdf, page 4")
    await citation.focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("complementary", name="Source: handbook.pdf")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(citation).to_be_focused()


LIVE = "[aria-live]:not([aria-live=off]), [role=status], [role=alert], output"


async def test_each_finished_paragraph_is_announced_once_and_the_stream_never(page: Page, stage: Stage) -> None:
    await page.evaluate(LISTEN)
    await ask(page, "Count")
    stage.begin_step("Searching…")
    await expect(page.locator(".steps")).to_be_visible()
    stage.end_step("Found nothing")
    for number in range(1, 21):
        stage.say(f"{number} ")
        await expect(page.locator(".words")).to_contain_text(str(number))
    stage.say("\n\n```python\nwheel.turn()\nwheel.stop()\n```\n\n", "| a | b |\n|--|--|\n| 1 | 2 |\n\n", "The end.")
    stage.end()
    await expect(page.get_by_role("status").get_by_text("Answer ready")).to_have_count(1)
    assert await page.evaluate("announced") == [
        "Searching…",
        "Answering",
        " ".join(map(str, range(1, 21))),
        "Code, python, 2 lines",
        "Table, 2 rows",
        "The end.",
        "Answer ready: 29 words, 0 sources",
    ]
    await expect(page.get_by_role("log")).to_have_attribute("aria-live", "off")
    # No part of the words stands in a live region but the announcer's own.
    assert await page.locator(".words").locator("xpath=ancestor::*[@aria-live!='off' or @role='status']").count() == 0
    assert await page.locator(".transcript").locator(LIVE).count() == 0


@pytest.mark.parametrize(
    ("setting", "expected"),
    [("The whole answer", ["Answering", "It does turn."]), ("Nothing", [])],
)
async def test_a_listener_chooses_what_is_announced(
    page: Page, stage: Stage, setting: str, expected: list[str]
) -> None:
    await set_to(page, "Screen reader announces", setting)
    await page.evaluate(LISTEN)
    await ask(page, "Does it turn?")
    stage.say("It **does** turn.")
    await expect(page.locator(".words")).to_have_text("It does turn.")
    stage.end()
    await until_done(page)
    await expect(page.locator(".actions")).to_be_visible()
    assert await page.evaluate("announced") == expected


async def test_a_failure_is_announced_at_once(page: Page, stage: Stage) -> None:
    await ask(page, "Why?")
    stage.fail()
    await expect(page.get_by_role("alert")).to_have_text("The answer failed. The model is busy; try again in a moment.")


async def test_who_wants_less_motion_gets_none(browser: Browser, stage: Stage, port: int) -> None:
    async with watched(browser, port, reduced_motion="reduce") as visit:
        page = await visit.open(f"http://127.0.0.1:{port}/")
        await ask(page, "Why?")
        stage.begin_step("Searching…")
        await expect(page.locator(".spinner")).to_have_css("animation-name", "none")
        stage.end_step("Found")
        stage.say("All of it at once, " * 20)
        await expect(page.locator(".words")).to_contain_text("All of it at once, " * 20)
        stage.end()


async def test_forced_colours_keep_every_mark_visible(browser: Browser, stage: Stage, port: int) -> None:
    async with watched(browser, port, forced_colors="active") as visit:
        page = await visit.open(f"http://127.0.0.1:{port}/")
        await ask(page, "Why?")
        stage.cite(HANDBOOK)
        stage.say("So [1].")
        stage.end()
        await until_done(page)
        for part in (".citation", ".bubble", ".number"):
            await expect(page.locator(part).first).to_have_css("border-top-style", "solid")
        assert await violations(page) == []


async def test_a_phone_needs_no_sideways_scrolling(browser: Browser, stage: Stage, port: int) -> None:
    async with watched(browser, port, viewport={"width": 320, "height": 640}) as visit:
        page = await visit.open(f"http://127.0.0.1:{port}/")
        wide = (
            "[document.documentElement, document.querySelector('millstream-chat').shadowRoot.querySelector('.column')]"
            ".some(it => it.scrollWidth > innerWidth)"
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
        """() => [...document.querySelector('millstream-chat').shadowRoot.querySelectorAll('button,summary,input,a')]
            .filter(control => !control.matches('.citation'))  // in a line of text
            .map(control => [control.outerHTML.slice(0, 80), control.getBoundingClientRect()])
            .filter(([, box]) => box.width > 0 && (box.width < 24 || box.height < 24))
            .map(([name, box]) => `${name} ${box.width}x${box.height}`)"""
    )
    assert small == []


async def test_the_transcript_follows_only_a_reader_who_is_at_the_end(page: Page, stage: Stage) -> None:
    await ask(page, "Go on and on")
    stage.say(*(f"Paragraph {number}.\n\n" for number in range(60)))
    words = page.locator(".words")
    await expect(words.get_by_text("Paragraph 59.")).to_be_in_viewport()
    log = page.get_by_role("log")
    await log.hover()
    await page.mouse.wheel(0, -600)
    await expect(page.get_by_role("button", name="Jump to latest")).to_be_visible()
    stage.say("The last one.")
    await expect(words.get_by_text("The last one.")).to_have_count(1)
    await expect(words.get_by_text("The last one.")).not_to_be_in_viewport()
    await page.get_by_role("button", name="Jump to latest").click()
    await expect(words.get_by_text("The last one.")).to_be_in_viewport()
    stage.end()
