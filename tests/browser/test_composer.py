"""Where questions are typed and files are added."""

import asyncio
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, Route, expect

from .conftest import Watched, watched
from .moves import ask, until_done
from .stage import Stage, new_millstream, serving

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

DROP = """([target, name, text]) => {
    const files = new DataTransfer();
    files.items.add(new File([text], name, {type: "text/plain"}));
    const root = document.querySelector("millstream-chat").shadowRoot;
    const event = target === "paste"
        ? new ClipboardEvent("paste", {clipboardData: files, bubbles: true, cancelable: true, composed: true})
        : new DragEvent("drop", {dataTransfer: files, bubbles: true, cancelable: true, composed: true});
    root.querySelector(target === "paste" ? "textarea" : ".transcript").dispatchEvent(event);
}"""


async def test_each_conversation_keeps_its_draft_through_a_reload(page: Page, stage: Stage) -> None:
    await ask(page, "One")
    stage.say("Answer.")
    stage.end()
    await until_done(page)
    await page.get_by_label("Your question").fill("Half a question")
    await page.get_by_role("button", name="New conversation").first.click()
    await expect(page.get_by_label("Your question")).to_have_value("")
    await page.get_by_label("Your question").fill("Another")
    await page.get_by_role("link", name="One").click()
    await expect(page.get_by_label("Your question")).to_have_value("Half a question")
    await page.reload()
    await expect(page.get_by_label("Your question")).to_have_value("Half a question")
    await page.get_by_role("button", name="New conversation").first.click()
    await expect(page.get_by_label("Your question")).to_have_value("Another")


async def test_what_is_typed_while_a_conversation_gets_its_name_stays(page: Page, stage: Stage) -> None:
    await ask(page, "One")
    await page.get_by_label("Your question").fill("Two")
    stage.say("Answer.")
    await expect(page.locator(".words")).to_have_text("Answer.")
    await expect(page.get_by_label("Your question")).to_have_value("Two")
    stage.end()


async def test_files_that_are_dropped_and_pasted_become_documents(browser: Browser, tmp_path: Path) -> None:
    async with serving(new_millstream(tmp_path)) as port, watched(browser, port) as visit:
        page = await visit.open(f"http://127.0.0.1:{port}/")
        await expect(page.get_by_text("There are no documents yet.")).to_be_visible()
        await page.evaluate(DROP, ["drop", "mill.txt", "The mill stream is cleared of leaves every October."])
        files = page.get_by_role("list", name="Files that were added")
        await expect(files.get_by_role("listitem")).to_contain_text(["mill.txt"])
        await expect(files.get_by_text("Ready")).to_be_visible()
        await page.evaluate(DROP, ["paste", "weir.txt", "The weir raises the water by two metres."])
        await expect(files.get_by_text("Ready")).to_have_count(2)
        await files.get_by_role("button", name="Dismiss mill.txt").click()
        await expect(files.get_by_role("listitem")).to_have_count(1)
        await ask(page, "By how much does the weir raise the water?")
        await until_done(page)
        await expect(page.locator(".words")).to_contain_text("two metres")


async def test_a_file_on_its_way_shows_how_far_it_is_and_can_be_given_up(page: Page, visit: Watched) -> None:
    visit.expected = ("net::ERR_",)
    sending = asyncio.Event()

    async def hold(route: Route) -> None:
        sending.set()  # and never goes on

    await page.route("**/api/documents**", hold)
    await page.evaluate(DROP, ["drop", "mill.txt", "The mill stream."])
    await sending.wait()
    files = page.get_by_role("list", name="Files that were added")
    await expect(files.get_by_role("progressbar", name="Sending mill.txt")).to_be_visible()
    await files.get_by_role("button", name="Dismiss mill.txt").click()
    await expect(files).to_have_count(0)


async def test_a_file_that_cannot_be_read_says_why_by_its_name(browser: Browser, tmp_path: Path) -> None:
    async with serving(new_millstream(tmp_path)) as port, watched(browser, port) as visit:
        page = await visit.open(f"http://127.0.0.1:{port}/")
        (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.4\nthis is no PDF at all")
        async with page.expect_file_chooser() as choosing:
            await page.get_by_role("button", name="Add documents").click()
        await (await choosing.value).set_files(str(tmp_path / "broken.pdf"))
        failed = page.locator(".file.failed")
        await expect(failed).to_contain_text("broken.pdf")
        await expect(failed.get_by_role("alert")).not_to_be_empty()


async def test_a_file_of_which_a_part_cannot_be_read_says_so(browser: Browser, tmp_path: Path) -> None:
    async with serving(new_millstream(tmp_path)) as port, watched(browser, port) as visit:
        page = await visit.open(f"http://127.0.0.1:{port}/")
        lines = ['{"mill": "The wheel turns."}', "{", '{"weir": "The weir holds."}']
        await page.evaluate(DROP, ["drop", "mill.jsonl", "\n".join(lines)])
        await expect(page.locator(".file.ready")).to_contain_text("1 of its 3 lines")
        said = page.get_by_role("status").get_by_text("mill.jsonl Ready")
        await expect(said).to_contain_text("1 of its 3 lines")


async def test_a_file_that_is_too_large_is_refused_by_its_name(browser: Browser, tmp_path: Path) -> None:
    async with serving(new_millstream(tmp_path, upload_mb=1)) as port, watched(browser, port) as visit:
        visit.expected = ("413",)
        page = await visit.open(f"http://127.0.0.1:{port}/")
        await page.evaluate(DROP, ["drop", "huge.txt", "x" * 2_000_000])
        await expect(page.locator(".file.failed")).to_contain_text("huge.txt")


async def test_an_empty_question_begins_on_the_side_of_the_readers_language(browser: Browser, port: int) -> None:
    async with watched(browser, port, locale="ar") as visit:
        page = await visit.open(f"http://127.0.0.1:{port}/")
        field = page.get_by_role("textbox").last
        await expect(field).to_have_css("direction", "rtl")
        await field.fill("What drives the wheel?")
        await expect(field).to_have_css("direction", "ltr")
