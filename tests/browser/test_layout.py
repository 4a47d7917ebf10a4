"""Nothing jumps, nothing is too small to hit, nothing is set the wrong way round."""

import asyncio

import pytest
from playwright.async_api import Browser, Locator, Page, expect

from .conftest import watched
from .moves import answered, ask, last_answer, until_done
from .stage import HANDBOOK, RIVERS, Stage

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
LONG = "Was the weir rebuilt before or after the great flood that took the bridge, and what did the guild say to it?"

TOO_SMALL = """() => {
    const root = document.querySelector("millstream-chat").shadowRoot;
    return [...root.querySelectorAll("button, summary, select, textarea, input:not([disabled], [hidden]), a")]
        // In a line of text the text's size counts; of a source all of its card opens it.
        .filter(control => !control.closest(".words") || control.matches(".copy-code"))
        .map(control => [control, (control.closest(".source") ?? control).getBoundingClientRect()])
        .filter(([, box]) => box.width > 0 && (box.width < 43.5 || box.height < 43.5))
        .map(([control, box]) => `${control.outerHTML.slice(0, 90)} ${box.width}x${box.height}`);
}"""


async def width(of: Locator) -> float:
    box = await of.bounding_box()
    assert box is not None
    return box["width"]


@pytest.mark.parametrize("wide", [390, 1280])
async def test_a_question_that_waits_leaves_the_composer_as_wide_as_it_was(
    browser: Browser, stage: Stage, port: int, wide: int
) -> None:
    async with watched(browser, port, viewport={"width": wide, "height": 800}) as visit:
        page = await visit.open(f"http://127.0.0.1:{port}/")
        await ask(page, "One")
        stage.say("Half")
        await expect(page.locator(".words")).to_have_text("Half")
        before = await width(page.locator(".composer-field"))
        await ask(page, LONG)
        await expect(page.locator(".queue")).to_be_visible()
        assert await width(page.locator(".queue")) == await width(page.locator(".composer-field")) == before
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("button", name="Ask now")).to_be_in_viewport(ratio=1)


async def test_renaming_leaves_the_list_as_wide_as_it_was(page: Page, stage: Stage) -> None:
    await ask(page, "One")
    stage.end()
    await until_done(page)
    side = page.get_by_role("navigation", name="Conversations")
    before = await width(side)
    await side.get_by_role("button", name="More for One").click()
    await side.get_by_role("button", name="Rename").click()
    await expect(side.get_by_role("textbox", name="Title")).to_be_focused()
    assert await width(side) == before


async def test_a_finger_hits_every_control_of_a_phone(browser: Browser, stage: Stage, port: int) -> None:
    async with watched(browser, port, **PHONE) as visit:
        page = await visit.open(f"http://127.0.0.1:{port}/")
        small: dict[str, list[str]] = {}

        async def look(state: str) -> None:
            small[state] = await page.evaluate(TOO_SMALL)

        await expect(page.get_by_text("no language model configured")).to_be_visible()
        await look("empty")
        await ask(page, "What drives the wheel?")
        stage.begin_step("Searching…")
        stage.end_step("Found 2 related passages")
        stage.cite(HANDBOOK, RIVERS)
        stage.think("Water.")
        stage.say("The mill stream [1].\n\n```python\nwheel.turn()\n```\n\nIt was built in 1743.")
        await expect(page.locator(".words pre")).to_be_visible()
        await ask(page, LONG)
        await look("queue")
        await page.get_by_role("button", name="Stop the answer").click()
        await expect(page.get_by_role("button", name="Ask now")).to_be_visible()
        await look("stopped")
        await page.get_by_role("button", name="Ask now").click()
        stage.suggest("And in winter?")
        stage.end()
        await expect(page.get_by_role("button", name="And in winter?")).to_be_visible()
        await page.get_by_role("button", name="Regenerate").click()
        stage.say("It turns.")
        stage.fail()
        await expect(page.locator(".failure")).to_be_visible()
        await page.get_by_role("button", name="Bad answer").last.click()
        await look("failed, versions, comment")
        await page.get_by_role("button", name="Settings of this conversation").click()
        await look("settings")
        await page.get_by_role("button", name="Close", exact=True).click()
        await page.get_by_role("button", name="Conversations").click()
        await page.get_by_role("button", name="More for").first.click()
        await look("list")
        assert small == {state: [] for state in small}


async def test_the_empty_page_begins_at_its_beginning_however_small_it_is(browser: Browser, port: int) -> None:
    async with watched(browser, port, viewport={"width": 640, "height": 400}) as visit:
        page = await visit.open(f"http://127.0.0.1:{port}/")
        await expect(page.get_by_text("no language model configured")).to_be_attached()
        await expect(page.get_by_role("heading", name="Ask your documents")).to_be_in_viewport()
        await expect(page.get_by_role("button", name="Jump to latest")).to_have_count(0)


async def test_jump_to_latest_goes_when_all_is_in_sight(page: Page, stage: Stage) -> None:
    await ask(page, "Go on and on")
    stage.say(*(f"Paragraph {number}.\n\n" for number in range(60)))
    stage.end()
    await until_done(page)
    await page.get_by_role("log").hover()
    await page.mouse.wheel(0, -600)
    await expect(page.get_by_role("button", name="Jump to latest")).to_be_visible()
    await page.get_by_role("button", name="Regenerate").evaluate("it => it.click()")
    stage.say("Short.")
    stage.end()
    await expect(last_answer(page).locator(".words")).to_have_text("Short.")
    await expect(page.get_by_role("button", name="Jump to latest")).to_have_count(0)


async def test_code_and_an_applications_words_keep_their_direction_in_arabic(
    browser: Browser, stage: Stage, port: int
) -> None:
    async with watched(browser, port, locale="ar") as visit:
        page = await visit.open(f"http://127.0.0.1:{port}/")
        await page.get_by_label("سؤالك").fill("لماذا؟")
        await page.keyboard.press("Enter")
        stage.begin_step("Looking into the catalogue…")
        label = page.locator(".step-label")
        await expect(label).to_have_text("Looking into the catalogue…")
        await expect(label).to_have_css("direction", "ltr")
        stage.end_step("Found 2 related passages")
        stage.say("```python\nhead = weir - race\n```\n")
        stage.end()
        await until_done(page)
        await expect(page.locator(".words pre")).to_have_css("direction", "ltr")
        await expect(page.locator(".fold-name")).to_have_text("عُثر على مقطعين ذوي صلة")


async def test_what_opens_below_the_screen_is_brought_into_sight(page: Page, stage: Stage) -> None:
    await page.set_viewport_size({"width": 1280, "height": 600})
    await ask(page, "Go on")
    stage.say(*(f"Paragraph {number}.\n\n" for number in range(6)))
    stage.suggest("And then?", "And after that?", "And at last?", "And in winter?", "And in spring?")
    stage.end()
    await until_done(page)
    await page.get_by_role("log").evaluate("it => { it.scrollTop = 0 }")
    bad = page.get_by_role("button", name="Bad answer")
    await bad.scroll_into_view_if_needed()
    await bad.click()
    await expect(page.get_by_role("button", name="Send", exact=True)).to_be_in_viewport(ratio=1)
    await asyncio.gather(
        expect(page.get_by_label("What was wrong with it?")).to_be_focused(),
        expect(page.get_by_label("What was wrong with it?")).to_be_in_viewport(ratio=1),
    )


@pytest.mark.parametrize(
    ("size", "waiting"),
    [((1280, 800), 20), ((390, 844), 20), ((844, 390), 4), ((320, 256), 4), ((320, 150), 0), ((200, 200), 0)],
)
async def test_whatever_waits_field_and_stop_stay_in_reach_and_the_transcript_keeps_some_height(
    browser: Browser, stage: Stage, port: int, size: tuple[int, int], waiting: int
) -> None:
    async with watched(browser, port, viewport={"width": size[0], "height": size[1]}) as visit:
        page = await visit.open(f"http://127.0.0.1:{port}/")
        field = page.get_by_label("Your question")
        await ask(page, "Go on")
        stage.say(*(f"Paragraph {number}.\n\n" for number in range(40)))
        await expect(page.locator(".words")).to_contain_text("Paragraph 39.")
        for number in range(waiting):
            await ask(page, f"{number}: {LONG}")
        files = [
            {"name": f"{number}.txt", "mimeType": "text/plain", "buffer": b"The weir."} for number in range(waiting)
        ]
        await page.locator("input[type=file]").set_input_files(files)  # type: ignore[arg-type]
        await expect(page.get_by_text("Ready", exact=True)).to_have_count(waiting, timeout=30_000)
        await field.fill("\n".join(["a long draft"] * 40))
        await expect(page.get_by_role("button", name="Stop the answer")).to_be_in_viewport(ratio=1)
        await expect(field).to_be_in_viewport(ratio=1)
        transcript = await page.get_by_role("log").bounding_box()
        assert transcript is not None
        assert transcript["height"] >= 80
        await expect(page.get_by_role("button", name="Jump to latest")).to_have_count(0)
        for name in [f"Remove: {waiting - 1}:", f"Dismiss {waiting - 1}.txt"] * (waiting > 0):
            await page.get_by_role("button", name=name).click()
            await expect(page.get_by_role("button", name=name)).to_have_count(0)
        stage.end()


async def test_a_reader_at_the_end_stays_there_when_the_room_shrinks_in_the_middle_of_a_scroll(
    page: Page, stage: Stage
) -> None:
    await ask(page, "Go on")
    stage.say(*(f"Paragraph {number}.\n\n" for number in range(60)))
    last = page.locator(".words").get_by_text("Paragraph 59.")
    await expect(last).to_be_in_viewport()
    await page.evaluate(
        """() => {
            const root = document.querySelector("millstream-chat").shadowRoot;
            root.querySelector(".composer").style.paddingTop = "300px";
            root.querySelector(".transcript").dispatchEvent(new Event("scroll"));
        }"""
    )
    await expect(last).to_be_in_viewport(ratio=1)
    await expect(page.get_by_role("button", name="Jump to latest")).to_have_count(0)
    stage.end()


async def test_each_paragraph_of_a_mixed_answer_runs_in_its_own_direction(page: Page, stage: Stage) -> None:
    await ask(page, "Hello.")
    stage.say("Hello.\n\nهذا نص عربي، 123.\n\n- عنصر أول\n- 1995\n- One, two.\n\n> نص\n\n```\ncode\n```\n\nAnd ")
    words = page.locator(".words")
    await expect(words).to_contain_text("And")
    # What is written so far and what is there at the end are the same.
    for _ in range(2):
        for piece, direction in (("p", "ltr"), ("p >> nth=1", "rtl"), ("ul", "rtl"), ("pre", "ltr")):
            await expect(words.locator(piece).first).to_have_css("direction", direction)
        # Bullets and items are on the same side.
        for item in await words.locator("li").all():
            await expect(item).to_have_css("direction", "rtl")
        await expect(words.locator("blockquote")).to_have_css("direction", "rtl")
        stage.say("so.")
        stage.end()
        await until_done(page)


async def test_each_line_of_a_question_runs_in_its_own_direction(page: Page, stage: Stage) -> None:
    await ask(page, "A line that is a good deal longer.\nنص")
    gap = await page.locator(".bubble").evaluate(
        """bubble => {
            const line = document.createRange();
            line.setStart(bubble.firstChild, bubble.firstChild.data.indexOf("نص"));
            line.setEnd(bubble.firstChild, bubble.firstChild.length);
            return bubble.getBoundingClientRect().right - line.getBoundingClientRect().right;
        }"""
    )
    assert gap < 30
    stage.end()


async def test_in_a_very_low_window_the_list_of_conversations_can_still_be_read(
    browser: Browser, stage: Stage, port: int
) -> None:
    async with watched(browser, port, viewport={"width": 320, "height": 256}) as visit:
        page = await visit.open(f"http://127.0.0.1:{port}/")
        for question in ("One", "Two", "Three"):
            await answered(page, stage, question)
            await page.goto(f"http://127.0.0.1:{port}/#")
        await page.get_by_role("button", name="Conversations").click()
        side = page.get_by_role("navigation", name="Conversations")
        await side.get_by_role("link", name="Two").scroll_into_view_if_needed()
        box = await side.get_by_role("list").bounding_box()
        assert box is not None
        assert box["height"] >= 150
        await side.get_by_role("button", name="Settings").scroll_into_view_if_needed()
        await expect(side.get_by_role("button", name="Settings")).to_be_in_viewport(ratio=1)
