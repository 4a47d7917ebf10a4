"""Markdown of models as safe HTML, for the page without JavaScript, by the same parser as in the browser.

HTML in it is text. Links are http, https and mailto only; images are links too, so that nothing is fetched unasked.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from html import escape

from markdown_it import MarkdownIt
from markdown_it.token import Token

from millstream.marks import place_marks
from millstream.snapshot import CitationState

# Parsing takes time in proportion to the length, and holds up everybody else's answers meanwhile.
MAX_CHARACTERS = 200_000
_LINK_ATTRIBUTES = {"rel": "noopener noreferrer nofollow", "referrerpolicy": "no-referrer"}
_ADDRESS = re.compile(r"https?://[^\s/?#@\\]+(?:[/?#]\S*)?\Z|mailto:[^\s/]\S*\Z", re.IGNORECASE)
# They count as punctuation for Markdown's rules on emphasis, so that `**so.**` closes before one as it did without it.
_SIGNS = ("\ua95f", "\u166e", "\ua874", "\u1805")
_HEADING_SHIFT = 2  # the headings of the page stand above an answer's


def is_safe_address(address: str) -> bool:
    """Whether an address may stand in a link: http and https with a host, and mailto."""
    return _ADDRESS.match(address) is not None


def render(markdown: str, citations: Iterable[CitationState], cite: Callable[[CitationState], str]) -> str:
    """HTML, each block in its own direction, with what `cite` gives (HTML too) behind each citation's statement."""
    if len(markdown) > MAX_CHARACTERS:
        return f"<pre>{escape(markdown)}</pre>"
    sign = next((sign for sign in _SIGNS if sign not in markdown), _SIGNS[-1])
    if sign in markdown:
        markdown = markdown.replace(sign, "·")
    mark = re.compile(f"{sign}(\\d+){sign}")
    placed: list[CitationState] = []

    def numbered(citation: CitationState) -> str:
        placed.append(citation)
        return f"{sign}{len(placed) - 1}{sign}"

    tokens = _parser.parse(place_marks(markdown, citations, numbered))
    for token in tokens:
        if token.type == "inline":
            token.children = list(_inline(token.children or [], mark, placed, cite))
        elif token.type in ("fence", "code_block"):
            token.content = mark.sub("", token.content)
            token.info = ""  # nothing highlights it
        elif token.tag in ("h1", "h2", "h3", "h4", "h5", "h6"):
            token.tag = f"h{min(6, int(token.tag[1]) + _HEADING_SHIFT)}"
        token.attrs.pop("style", None)  # of a table's cell; the policy allows none
        if token.level == 0 and token.nesting == 1:
            token.attrSet("dir", "auto")
    html: str = _parser.renderer.render(tokens, _parser.options, {})
    return html


def _inline(
    children: Sequence[Token],
    mark: re.Pattern[str],
    placed: Sequence[CitationState],
    cite: Callable[[CitationState], str],
) -> Iterator[Token]:
    links = 0
    for child in children:
        if child.type == "text":
            shown = cite if not links else lambda citation: f"[{citation.n}]"
            for position, piece in enumerate(mark.split(child.content)):
                if position % 2:
                    yield _token("html_inline", shown(placed[int(piece)]))
                elif piece:
                    yield _token("text", piece)
        elif child.type == "image":
            alt = mark.sub("", "".join(each.content for each in child.children or [])).strip()
            address = str(child.attrGet("src") or "")
            if links:  # a link in a link is none
                yield _token("text", alt or "image")
            else:
                yield _link(address, f"image: {alt or address}")
        else:
            if child.type == "link_open":
                links += 1
                child.attrs.update(_LINK_ATTRIBUTES)
            elif child.type == "link_close":
                links -= 1
            elif child.type == "code_inline":
                child.content = mark.sub("", child.content)
            yield child


def _link(address: str, words: str) -> Token:
    attributes = "".join(f' {name}="{value}"' for name, value in _LINK_ATTRIBUTES.items())
    return _token("html_inline", f'<a href="{escape(address)}"{attributes}>{escape(words)}</a>')


def _token(kind: str, content: str) -> Token:
    return Token(kind, "", 0, content=content)


class _Parser(MarkdownIt):
    def validateLink(self, url: str) -> bool:  # noqa: N802 - the library's name
        return is_safe_address(url)


_parser = _Parser("commonmark", {"html": False}).enable(["table", "strikethrough"])
