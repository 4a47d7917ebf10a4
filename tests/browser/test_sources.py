"""A source opens beside the conversation, at its place in the document."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from documents.office_files import make_pptx
from millstream.server.app import Millstream

from .conftest import Watched, watched
from .moves import ask, until_done, violations
from .pdfs import pdf_of
from .stage import new_millstream, serving

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

FILLING = "This paragraph is about something else entirely and only fills the document with words.\n\n"
PASSAGE = "The mill stream is cleared of leaves every October by the miller and his three apprentices."


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "mill.md").write_text(f"# The mill\n\n{FILLING * 200}{PASSAGE}\n\n{FILLING * 50}")
    (folder / "rivers.pdf").write_bytes(
        pdf_of(
            ["A remark on fishing.", *("The trout of these rivers have nothing to do with mills." for _ in range(36))],
            [
                *("Lower Valley is a place of many orchards, and little else is told of it." for _ in range(30)),
                "The weir at Lower Valley raises the water by two metres",
                "and was rebuilt in the year 1911 by the guild.",
            ],
        )
    )
    (folder / "bridges.pdf").write_bytes(
        pdf_of(
            ["The bridge at Upper Valley has four arches of yellow stone."],
            ["Whoever crossed the bridge with a cart paid a toll of three pennies."],
        )
    )
    return folder


@pytest_asyncio.fixture(loop_scope="session")
async def library(browser: Browser, documents: Path, tmp_path: Path) -> AsyncIterator[tuple[Millstream, Page, Watched]]:
    millstream = new_millstream(tmp_path)
    async with serving(millstream) as port, watched(browser, port, viewport={"width": 1400, "height": 800}) as visit:
        page = await visit.open(f"http://127.0.0.1:{port}/")
        await expect(page.get_by_text("no language model configured")).to_be_visible()
        assert millstream.library is not None
        await millstream.library.start([documents], "local")
        yield millstream, page, visit


async def test_text_opens_with_the_passage_marked_and_in_sight(library: tuple[Millstream, Page, Watched]) -> None:
    _, page, _ = library
    await ask(page, "Who clears the mill stream of leaves in October?")
    await until_done(page)
    await page.locator(".words .citation").first.click()
    panel = page.get_by_role("complementary", name="Source: The mill")
    await expect(panel.locator("mark", has_text="cleared of leaves every October")).to_have_count(1)
    await expect(panel.locator("mark").first).to_be_in_viewport()
    assert await violations(page) == []
    await panel.get_by_role("button", name="Close the source").click()
    await expect(panel).to_have_count(0)


async def test_a_pdf_opens_at_its_page_with_the_passage_marked(library: tuple[Millstream, Page, Watched]) -> None:
    _, page, _ = library
    await ask(page, "By how much does the weir at Lower Valley raise the water?")
    await until_done(page)
    await page.locator(".source-head", has_text="rivers").first.click()
    panel = page.get_by_role("complementary")
    await expect(panel.get_by_text("Page 2 of 2")).to_be_visible()
    await expect(panel.locator(".marked", has_text="The weir at Lower Valley raises the water")).to_have_count(1)
    await expect(panel.locator(".marked", has_text="rebuilt in the year 1911")).to_have_count(1)
    await expect(panel.locator(".marked").first).to_be_in_viewport()
    # The text, and with it the mark, lies exactly over the page, however wide that becomes.
    for width in (1400, 1250):
        await page.set_viewport_size({"width": width, "height": 800})
        await expect(panel.locator(".pdf-text")).to_have_js_property(
            "clientWidth", await panel.locator("canvas").evaluate("it => it.clientWidth")
        )
    dark = await panel.locator("canvas").evaluate(
        """canvas => {
            const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            let dark = 0;
            for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 0 && data[i] < 100) dark++;
            return dark;
        }"""
    )
    assert dark > 100, "the page is drawn"
    assert await violations(page) == []
    await panel.get_by_role("button", name="Page before").click()
    await expect(panel.get_by_text("Page 1 of 2")).to_be_visible()
    await expect(panel.locator(".pdf-text")).to_contain_text("A remark on fishing")


async def test_a_citation_opens_the_page_that_it_names(library: tuple[Millstream, Page, Watched]) -> None:
    _, page, _ = library
    await ask(page, "What toll did a cart pay on the bridge?")
    await until_done(page)
    card = page.get_by_role("button", name="bridges, pages 1 to 2")
    mark = page.locator(".words").get_by_role("button", name="bridges, page 2").first
    panel = page.get_by_role("complementary")
    await mark.click()
    await expect(panel.get_by_text("Page 2 of 2")).to_be_visible()
    await expect(panel.locator(".marked", has_text="paid a toll of three pennies")).to_be_in_viewport()
    await card.click()
    await expect(panel.get_by_text("Page 1 of 2")).to_be_visible()
    await mark.click()
    await expect(panel.get_by_text("Page 2 of 2")).to_be_visible()
    await panel.get_by_role("button", name="Page before").click()
    await expect(panel.get_by_text("Page 1 of 2")).to_be_visible()
    await mark.click()
    await expect(panel.get_by_text("Page 2 of 2")).to_be_visible()


async def test_a_citation_of_slides_opens_where_the_one_that_it_names_begins(
    library: tuple[Millstream, Page, Watched], documents: Path
) -> None:
    millstream, page, _ = library
    told = [
        ("Ferry", "\n".join(["The ferry at Lower Valley was built of oak and pine.", *["Ay."] * 29]), ""),
        ("Ferryman", "The ferryman was paid seven herrings.", ""),
    ]
    (documents / "ferry.pptx").write_bytes(make_pptx([*told, *[("Orchard", FILLING * 10, "")] * 6]))
    assert millstream.library is not None
    await millstream.library.start([documents], "local")
    await ask(page, "How many herrings was the ferryman paid?")
    await until_done(page)
    await page.locator(".words").get_by_role("button", name="page 2").first.click()
    marked = page.get_by_role("complementary").locator("mark")
    await expect(marked.filter(has_text="oak and pine")).to_have_count(1)
    await expect(marked.filter(has_text="seven herrings")).to_be_in_viewport()
    # Where the cited slide begins is what the panel is opened at.
    await expect(marked.filter(has_text="Ferryman").first).to_be_in_viewport()
    await expect(marked.first).not_to_be_in_viewport()


async def test_markdown_opens_as_people_read_it_with_exactly_the_passage_marked(
    library: tuple[Millstream, Page, Watched], documents: Path
) -> None:
    millstream, page, _ = library
    rows = "".join(f"| Cart {n} | `{n}` pennies |\n" for n in range(200))
    table = f"| Vehicle | Toll |\n|---|--:|\n{rows}| Velocipede | **seven** pennies |\n{rows}"
    code = "```\n# no heading\nraise(weir)\n```\n"
    (documents / "tolls.md").write_text(
        f"---\ntitle: Tolls\n---\n\n# Tolls\n\n{FILLING * 3}## On the bridge\n\n{table}\n{code}"
    )
    assert millstream.library is not None
    await millstream.library.start([documents], "local")
    await ask(page, "What toll does a velocipede pay?")
    await until_done(page)
    await page.locator(".source-head", has_text="Tolls").first.click()
    panel = page.get_by_role("complementary")
    await expect(panel.locator("td mark", has_text="Velocipede")).to_have_count(1)
    await expect(panel.locator("mark").first).to_be_in_viewport()
    await expect(panel.locator("th").first).to_have_text("Vehicle")
    await expect(panel.locator("pre", has_text="# no heading")).to_have_count(1)
    await expect(panel.locator(".document")).not_to_contain_text("|")
    (head,) = await millstream.supervisor.conversations.list("local", limit=1)
    _, (*_, answer) = await millstream.supervisor.conversation("local", head.conversation_id)
    assert answer.snapshot is not None
    source = answer.snapshot.message.sources[0]
    passage = (documents / "tolls.md").read_text()[source.start : source.end]
    marked = "".join(await panel.locator("mark").all_text_contents())
    assert re.sub(r"\W", "", marked) == re.sub(r"\W", "", passage)


async def test_a_document_that_is_gone_leaves_the_passage(
    library: tuple[Millstream, Page, Watched], documents: Path
) -> None:
    millstream, page, visit = library
    visit.expected = ("404 (Not Found)",)
    await ask(page, "Who clears the mill stream of leaves in October?")
    await until_done(page)
    (documents / "mill.md").unlink()
    assert millstream.library is not None
    await millstream.library.start([documents], "local")
    await page.locator(".words .citation").first.click()
    panel = page.get_by_role("complementary")
    await expect(panel.get_by_text("This document is no longer there.")).to_be_visible()
    await expect(panel.locator("mark")).not_to_be_empty()


async def test_a_document_that_changed_says_so(library: tuple[Millstream, Page, Watched], documents: Path) -> None:
    millstream, page, _ = library
    await ask(page, "Who clears the mill stream of leaves in October?")
    await until_done(page)
    (documents / "mill.md").write_text(f"# The mill\n\nA new beginning.\n\n{PASSAGE}\n")
    assert millstream.library is not None
    await millstream.library.start([documents], "local")
    await page.locator(".words .citation").first.click()
    await expect(page.get_by_role("complementary").get_by_text("This document has changed")).to_be_visible()
