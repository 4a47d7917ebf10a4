"""The text of a PDF, page by page, with its paragraphs put back together.

PDFium gives lines as they stand on the page. Wrapped lines of one paragraph are joined by "\\n",
paragraphs, headings and list items are set apart by a blank line: sentences can then be told from headings.
Running heads, feet and page numbers are left out.
"""

import re
import threading
from collections import Counter
from collections.abc import Iterator, Sequence

import pypdfium2  # type: ignore[import-untyped]
import pypdfium2.raw  # type: ignore[import-untyped]

from millstream.documents import Document, Source, UnreadableDocument
from millstream.documents.readers.ruled import Table, find_tables

# PDFium is not thread-safe: https://pypdfium2.readthedocs.io/en/stable/python_api.html
_PDFIUM = threading.Lock()

_HYPHEN_AT_LINE_END = re.compile("\\b(\\w+)[\ufffe\x02](\\w*)")  # as PDFium gives it, the line end itself is gone
_WORD = re.compile(r"\w+")
_DIGITS = re.compile(r"\d+")
_PAGE_NUMBER = re.compile(r"(?:page\s*)?#(?:\s*(?:/|of)\s*#)?", re.IGNORECASE)
_BULLET = re.compile(r"(?:[•◦▪●■□‣∙·*–—-]|o(?= )|\d{1,3}[.)](?= )|[a-zA-Z][.)](?= )|\(\w{1,3}\))\s*\S")
_TERMINATOR = re.compile(r"[.!?:;…。！？][\"'”’»)\]]*\Z")
_APPLICATION_TITLE = re.compile(
    r"(?:microsoft (?:word|powerpoint|excel)\b|untitled\b|.*\.(?:docx?|pptx?|xlsx?|indd|pdf)\Z)", re.IGNORECASE
)
_ROW = "| "  # of a table
_MARGIN = 20  # points; what is narrower holds no text
_FURNITURE_LINES = 2  # at most so many lines at either end of a page are taken for a running head or foot
_FURNITURE_SHARE = 0.6  # of the pages


def read_pdf(source: Source) -> Document:
    """Title (from the file's metadata, may be empty), text and pages.

    Raises UnreadableDocument when it is damaged, needs a password, or has no text (scanned pages).
    """
    with _PDFIUM:
        try:
            pdf = pypdfium2.PdfDocument(source.data)
        except pypdfium2.PdfiumError as error:
            raise UnreadableDocument(_why(error)) from None
        try:
            if len(pdf) > source.limits.pages:
                raise UnreadableDocument(
                    f"It has {len(pdf)} pages; {source.limits.pages} is the limit (MILLSTREAM_READ_PAGES)."
                )
            title = pdf.get_metadata_value("Title").strip()
            pages = [_page_lines(pdf, number) for number in range(len(pdf))]
        except pypdfium2.PdfiumError:
            raise UnreadableDocument("This PDF is damaged: a page of it cannot be read.") from None
        finally:
            pdf.close()
    if not any(pages):
        raise UnreadableDocument(
            "There is no text in this PDF, only pictures of pages: run it through text recognition (OCR) first."
        )
    text, starts = _assemble(_without_furniture(pages))
    return Document("" if _APPLICATION_TITLE.match(title) else title, text, starts)


def _why(error: pypdfium2.PdfiumError) -> str:
    if getattr(error, "err_code", None) == pypdfium2.raw.FPDF_ERR_PASSWORD or "password" in str(error).lower():
        return "This PDF is encrypted: save a copy of it without a password."
    return "This is not a PDF, or it is damaged."


def _page_lines(pdf: pypdfium2.PdfDocument, number: int) -> list[str]:
    page = pdf[number]
    text_page = page.get_textpage()
    try:
        tables = find_tables(page, text_page)
        return list(_lines_around(tables, page, text_page)) if tables else _lines(text_page.get_text_bounded())
    finally:
        text_page.close()
        page.close()


def _lines(text: str) -> list[str]:
    lines = (" ".join(line.split()) for line in text.replace("\0", "").splitlines())
    return [line for line in lines if line]


def _lines_around(tables: Sequence[Table], page: pypdfium2.PdfPage, text_page: pypdfium2.PdfTextPage) -> Iterator[str]:
    """The page from top to bottom: what stands above a table, its rows, what stands beside it, and so on."""
    left, bottom, right, top = page.get_bbox()
    for table in tables:
        box = table.box
        yield from _lines(text_page.get_text_bounded(left, box.top, right, max(top, box.top)))
        yield from table.rows
        for side in ((left, box.left), (box.right, right)):
            if side[1] - side[0] > _MARGIN:
                yield from _lines(text_page.get_text_bounded(side[0], box.bottom, side[1], box.top))
        top = box.bottom
    yield from _lines(text_page.get_text_bounded(left, min(bottom, top), right, top))


def _without_furniture(pages: Sequence[list[str]]) -> list[list[str]]:
    """The pages without lines that recur, but for their numbers, at the top or the bottom of most pages."""
    if len(pages) < 4:
        return list(pages)
    recurring: Counter[str] = Counter()
    for lines in pages:
        recurring.update({_shape(line) for line in (*lines[:_FURNITURE_LINES], *lines[-_FURNITURE_LINES:])})
    furniture = {shape for shape, count in recurring.items() if count >= _FURNITURE_SHARE * len(pages)}
    return [_trim(lines, furniture) for lines in pages]


def _trim(lines: list[str], furniture: set[str]) -> list[str]:
    def is_furniture(line: str) -> bool:
        return _shape(line) in furniture or _PAGE_NUMBER.fullmatch(_shape(line)) is not None

    start, end = 0, len(lines)
    while start < min(_FURNITURE_LINES, end) and is_furniture(lines[start]):
        start += 1
    while end > max(start, len(lines) - _FURNITURE_LINES) and is_furniture(lines[end - 1]):
        end -= 1
    return lines[start:end]


def _shape(line: str) -> str:
    return _DIGITS.sub("#", line)


def _assemble(pages: Sequence[list[str]]) -> tuple[str, tuple[int, ...]]:
    words = {word.lower() for lines in pages for line in lines for word in _WORD.findall(line)}
    numbered = [(page, _mend_hyphens(line, words)) for page, lines in enumerate(pages) for line in lines]
    lines = [line for _, line in numbered]
    width = sorted(map(len, lines))[int(len(lines) * 0.9)]
    pieces: list[str] = []
    starts: list[int] = []
    length = 0
    for i, (page, line) in enumerate(numbered):
        if i:
            pieces.append("\n\n" if _ends_block(lines, i - 1, width) else "\n")
            length += len(pieces[-1])
        while len(starts) <= page:
            starts.append(length)
        pieces.append(line)
        length += len(line)
    starts += [length] * (len(pages) - len(starts))
    return "".join(pieces), tuple(starts)


def _ends_block(lines: Sequence[str], i: int, width: int) -> bool:
    """Whether a paragraph, heading or list item ends with line i, judged by its length and the line ends around."""
    line, following = lines[i], lines[i + 1]
    if line.startswith(_ROW) or following.startswith(_ROW):
        return not (line.startswith(_ROW) and following.startswith(_ROW))
    if _BULLET.match(following) or (_is_capitalised(line) and not following[0].islower()):
        return True
    short = len(line) < 0.75 * width
    if _TERMINATOR.search(line):
        return short or _is_heading(lines, i + 1, width)
    return short and not line.endswith((",", "-")) and not following[0].islower()


def _is_heading(lines: Sequence[str], i: int, width: int) -> bool:
    """A short line in the middle of nowhere: no full stop at its end, and the next one begins anew."""
    line = lines[i]
    if _is_capitalised(line):
        return True
    if len(line) >= 0.75 * width or _TERMINATOR.search(line) or line.endswith((",", "-")) or line[0].islower():
        return False
    return i + 1 == len(lines) or not lines[i + 1][0].islower()


def _is_capitalised(line: str) -> bool:
    """Written Like a Title, or IN CAPITALS, and without a full stop."""
    words = [word for word in _WORD.findall(line) if len(word) > 3]
    capitals = sum(word[0].isupper() for word in words)
    return len(words) >= 3 and capitals >= 0.9 * len(words) and not _TERMINATOR.search(line)


def _mend_hyphens(line: str, words: set[str]) -> str:
    """A hyphen at a line end was part of the word ("long-term"), or only there for the break ("infor-mation")."""

    def mend(match: re.Match[str]) -> str:
        before, after = match[1], match[2]
        is_compound = {before.lower(), after.lower()} <= words and (before + after).lower() not in words
        return f"{before}-{after}" if is_compound else before + after

    line = _HYPHEN_AT_LINE_END.sub(mend, line)
    return line.replace("\ufffe", "").replace("\x02", "")
