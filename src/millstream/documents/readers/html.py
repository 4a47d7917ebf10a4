"""The content of a web page: its headings, paragraphs, lists, tables and code, without what surrounds them."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from selectolax.lexbor import LexborHTMLParser, LexborNode

from millstream.documents import Document, Source
from millstream.documents.encoding import decode_text
from millstream.documents.readers.rows import one_line, piped

_DECLARED = re.compile(
    rb"""<meta[^<>]+charset\s*=\s*(?:["']\s*)?([\w.:-]+)|<\?xml[^<>]+encoding\s*=\s*["']([\w.:-]+)""", re.I
)
_NOT_CONTENT = (
    "script, style, noscript, template, svg, iframe, object, nav, button, select, form [type=hidden], dialog, "
    "[role=navigation], [role=banner], [role=contentinfo], [role=search], [hidden], [aria-hidden=true], "
    "body > header, body > footer, body > aside, body > div > header, body > div > footer"
)
_MAX_SPAN = 65_534  # rows or columns of a cell: https://html.spec.whatwg.org/#attr-tdth-rowspan
_HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
_BLOCKS = {
    "address", "article", "aside", "blockquote", "body", "center", "dd", "details", "dialog", "div", "dl", "dt",
    "fieldset", "figcaption", "figure", "footer", "form", "header", "hgroup", "hr", "html", "li", "main", "ol", "p",
    "section", "summary", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul",
}  # fmt: skip


def read_html(source: Source) -> Document:
    declared = _DECLARED.search(source.data[:4096])
    encoding = (declared[1] or declared[2]).decode("ascii", "replace") if declared else None
    tree = LexborHTMLParser(decode_text(source.data, encoding))
    named = tree.css_first("title")
    title = one_line(named.text()) if named else ""
    for node in tree.css(_NOT_CONTENT):
        node.decompose()
    content = tree.css_first("main, [role=main]") or _only(tree, "article") or tree.body
    heading = tree.css_first("h1")
    if not title and heading:
        title = one_line(heading.text())
    return Document(title, "\n\n".join(_Blocks().of(content)) if content else "")


def _only(tree: LexborHTMLParser, selector: str) -> LexborNode | None:
    found = tree.css(selector)
    return found[0] if len(found) == 1 else None


class _Blocks:
    """Walks a tree without recursion, since pages may be nested as deeply as their makers like."""

    def __init__(self) -> None:
        self._words: list[str] = []
        self._mark = ""  # what the block being written begins with

    def of(self, root: LexborNode) -> Iterator[str]:
        node: LexborNode | None = root
        while node is not None:
            inner, block = self._enter(node)
            if block is not None:
                yield from self._flush()
                yield from filter(None, (block,))
            elif node.tag in _BLOCKS:
                yield from self._flush()
            if node.tag == "li":
                self._mark = "- "
            if inner and node.child is not None:
                node = node.child
                continue
            while node is not None:
                if node.tag in _BLOCKS:
                    yield from self._flush()
                if node.mem_id == root.mem_id:
                    node = None
                elif node.next is not None:
                    node = node.next
                    break
                else:
                    node = node.parent
        yield from self._flush()

    def _enter(self, node: LexborNode) -> tuple[bool, str | None]:
        """Whether to go on inside of it, and the block that it is, if it is a whole one."""
        tag = node.tag
        if tag == "-text":
            self._words.append(node.text_content or "")
        elif tag == "br":
            self._words.append("\n")
        elif tag in _HEADINGS:
            words = one_line(node.text())
            return False, f"{'#' * int(tag[1])} {words}" if words else ""
        elif tag == "pre":
            code = node.text().strip("\n")
            return False, f"```\n{code}\n```" if code.strip() else ""
        elif tag == "table" and not node.css("table table"):
            return False, "\n".join(_rows(node))
        elif tag == "img":
            self._words.append(node.attributes.get("alt") or "")
        return True, None

    def _flush(self) -> Iterator[str]:
        lines = [" ".join(line.split()) for line in _joined(self._words).split("\n")]
        self._words = []
        block = "\n".join(filter(None, lines))
        if block:
            yield self._mark + block
            self._mark = ""


def _joined(words: list[str]) -> str:
    """Line ends in the source are spaces; those that stand alone are `<br>`."""
    return "".join(word if word == "\n" else word.replace("\n", " ") for word in words)


def _rows(table: LexborNode) -> Iterator[str]:
    caption = table.css_first("caption")
    if caption:
        yield one_line(caption.text())
    for row in _cells(table):
        if len(row) == 1 and row[0]:  # a table that only arranges a page
            yield row[0]
        elif any(row):
            yield piped(row)


def _cells(table: LexborNode) -> Iterator[list[str]]:
    """The words of each row's cells. A cell that spans rows belongs to each of them, in its part of the table."""
    spanning: dict[int, _Cell] = {}  # by column
    part = None
    for row in table.css("tr"):
        parent = row.parent.mem_id if row.parent else None
        if parent != part:
            part, spanning = parent, {}
        placed: dict[int, _Cell] = {}
        column = 0
        for node in row.css("td, th"):
            while column in spanning:
                placed[column] = spanning.pop(column)
                column += placed[column].columns
            placed[column] = _Cell(one_line(node.text(separator=" ")), _span(node, "rowspan"), _span(node, "colspan"))
            column += placed[column].columns
        placed |= spanning
        yield [placed[column].words for column in sorted(placed)]
        spanning = {column: cell._replace(rows=cell.rows - 1) for column, cell in placed.items() if cell.rows > 1}


class _Cell(NamedTuple):
    words: str
    rows: int
    columns: int


def _span(node: LexborNode, name: str) -> int:
    value = node.attributes.get(name) or ""
    return max(1, min(int(value[:6]), _MAX_SPAN)) if value.isascii() and value.isdigit() else 1
