"""Markdown of models as HTML: what it shows, and what it never lets through."""

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.server.markdown import MAX_CHARACTERS, is_safe_address, render
from millstream.snapshot import CitationState

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)><style>*{}</style>",
    "<a href='javascript:alert(1)'>x</a>",
    "</div></main><form action=https://evil.example><input name=a><button>Go",
    '<meta http-equiv="refresh" content="0;url=https://evil.example">',
    "<!-- --><iframe srcdoc='<script>1</script>'>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](java&#115;cript:alert(1))",
    "[x](&#x6A;avascript:alert(1))",
    "[x](java\tscript:alert(1))",
    "[x](<java\nscript:alert(1)>)",
    "[x]( javascript:alert(1))",
    "[x](\x01javascript:alert(1))",
    "[x](vbscript:x) [x](data:text/html,<script>1</script>) [x](file:///etc/passwd) [x](/api/runs) [x](//evil.example)",
    "<javascript:alert(1)> <data:text/html,x>",
    "[x]: javascript:alert(1)\n\n[x] [x][x]",
    "![x](https://evil.example/a.png)",
    "![x](data:image/svg+xml,<svg onload=alert(1)>) ![x](data:image/png;base64,AAAA)",
    "![x][y]\n\n[y]: https://evil.example/b.png",
    "[![x](https://evil.example/c.png)](https://evil.example/d)",
    '![" onerror="alert(1)](https://evil.example/" onload="x)',
    '[x](https://a.example/"onmouseover="alert(1) "t\\"><script>1</script>")',
    '```"><script>alert(1)</script>\n</code></pre><script>\n```',
    "`</code><script>alert(1)</script>`",
    "| <script> | [x](javascript:1) |\n|:---|---:|\n| `<b>` | ![x](data:image/png,x) |",
    "https://user:pass@evil.example/ [x](https://good.example@evil.example/)",
    "&lt;script&gt; &#60;script&#62;",
    "**[unfinished](https://evil.exa",
    "> " * 500 + "<script>",
    "[" * 2000 + "](javascript:1)",
    "*" * 2000 + "<b>",
]


class Seen(HTMLParser):
    """What a browser would make of it: every element with its attributes."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


ALLOWED = {
    *("p br em strong s a code pre blockquote ul ol li hr table thead tbody tr th td h3 h4 h5 h6".split()),  # noqa: SIM905
}


def check(html: str) -> Seen:
    seen = Seen(html)
    for tag, attributes in seen.elements:
        assert tag in ALLOWED
        assert set(attributes) <= {"href", "title", "rel", "referrerpolicy", "start", "dir"}
        if tag == "a":
            assert is_safe_address(attributes["href"] or "")
            assert attributes["rel"] == "noopener noreferrer nofollow"
            assert attributes["referrerpolicy"] == "no-referrer"
        else:
            assert "href" not in attributes
    return seen


def plain(markdown: str, *ends: int) -> str:
    citations = [CitationState(n, 0, end) for n, end in enumerate(ends, 1)]
    return render(markdown, citations, lambda it: f'<a href="https://s.example/{it.n}">[{it.n}]</a>')


@pytest.mark.parametrize("markdown", HOSTILE)
def test_nothing_hostile_becomes_more_than_text_and_safe_links(markdown: str) -> None:
    check(plain(markdown))


@given(
    st.text(alphabet="<>\"'`[]()!&#;:/*_|\n ajs\u1805\ua95f0", max_size=80), st.lists(st.integers(0, 90), max_size=4)
)
def test_no_combination_of_markup_becomes_more(markdown: str, ends: list[int]) -> None:
    seen = Seen(plain(markdown, *ends))
    assert {tag for tag, _ in seen.elements} <= ALLOWED


@pytest.mark.parametrize(
    "address",
    ["https://a.example", "HTTP://a.example:80/b?c#d", "mailto:ann@example.org", "https://medium.example/@ann"],
)
def test_http_https_and_mailto_are_links(address: str) -> None:
    assert is_safe_address(address)
    assert f'<a href="{address}"' in plain(f"[x]({address})")


@pytest.mark.parametrize(
    "address",
    ["javascript:1", "https:", "https://", "http:a", "//a", "/a", "a", "", "mailto:", "data:,x", "https://a b",
     "https://u@evil.example", "https://a\\@evil.example", "https://a.example/\n"],
)  # fmt: skip
def test_nothing_else_is(address: str) -> None:
    assert not is_safe_address(address)


def test_images_are_links_and_inside_a_link_only_their_words() -> None:
    image = Seen(plain("![A *mill*](https://a.example/m.png)"))
    assert [attributes["href"] for tag, attributes in image.elements if tag == "a"] == ["https://a.example/m.png"]
    assert image.text.strip() == "image: A mill"
    linked = Seen(plain("[![A mill](https://a.example/m.png)](https://b.example)"))
    assert [attributes["href"] for tag, attributes in linked.elements if tag == "a"] == ["https://b.example"]
    assert linked.text.strip() == "A mill"


def test_citations_are_links_behind_their_statement_and_never_in_code_or_links() -> None:
    assert plain("**So it is.** Next.", 13) == (
        '<p dir="auto"><strong>So it is.</strong><a href="https://s.example/1">[1]</a> Next.</p>\n'
    )
    assert plain("`code` here", 4) == '<p dir="auto"><code>code</code> here</p>\n'
    in_link = Seen(plain("[see there](https://a.example)", 4))
    assert [attributes["href"] for tag, attributes in in_link.elements if tag == "a"] == ["https://a.example"]
    assert "see[1] there" in in_link.text


@pytest.mark.parametrize("sign", ["\ua95f", "\u1805", "\ua95f\u166e\ua874\u1805"])
def test_a_text_cannot_make_a_citation(sign: str) -> None:
    text = "".join(f"{each}1{each}" for each in sign)
    assert "<a" not in plain(text)
    assert plain(f"{text} so.", 99).count("<a") == 1


def test_what_the_page_shows_is_shown() -> None:
    html = plain("# One\n\n###### Six\n\n~~no~~\n\n| a |\n|:-:|\n| b |\n\n3. x\n\n```py\nif a < b:\n```\n")
    for piece in (">One</h3>", ">Six</h6>", "<s>no</s>", "<td>b</td>", '<ol start="3"', "if a &lt; b:"):
        assert piece in html


def test_a_text_that_is_too_long_to_parse_is_shown_as_it_is() -> None:
    assert plain("*a*" + " " * (MAX_CHARACTERS - 3)).startswith('<p dir="auto"><em>a</em>')
    assert plain("*a*" + "<" * (MAX_CHARACTERS - 2)).startswith("<pre>*a*&lt;")


def test_each_block_runs_in_the_direction_of_its_words_and_code_from_left_to_right() -> None:
    seen = Seen(plain("Hello.\n\nنص\n\n- عنصر\n  - نص\n\n```\nx\n```\n"))
    assert [(tag, attributes.get("dir")) for tag, attributes in seen.elements] == [
        *[("p", "auto")] * 2,
        *[("ul", "auto"), ("li", None), ("ul", None), ("li", None)],
        *[("pre", None), ("code", None)],
    ]
