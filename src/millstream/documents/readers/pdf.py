"""The text of a PDF, page by page, with its paragraphs put back together.

PDFium gives lines as they stand on the page. Wrapped lines of one paragraph are joined by "\\n",
paragraphs, headings and list items are set apart by a blank line: sentences can then be told from headings.
Running heads, feet and page numbers are left out.
"""

import ctypes
import re
import threading
from collections.abc import Iterator, Sequence
from itertools import islice

import pypdfium2  # type: ignore[import-untyped]
import pypdfium2.raw as pdfium  # type: ignore[import-untyped]

from millstream.documents import Document, Source, UnreadableDocument
from millstream.documents.readers.furniture import Page, without_furniture
from millstream.documents.readers.ruled import Table, find_tables

# PDFium is not thread-safe: https://pypdfium2.readthedocs.io/en/stable/python_api.html
_PDFIUM = threading.Lock()

_HYPHEN_AT_LINE_END = re.compile("\\b(\\w+)[\ufffe\x02](\\w*)")  # as PDFium gives it, the line end itself is gone
_WORD = re.compile(r"\w+")
_BULLET = re.compile(r"(?:[•◦▪●■□‣∙·*–—-]|o(?= )|\d{1,3}[.)](?= )|[a-zA-Z][.)](?= )|\(\w{1,3}\))\s*\S")
_TERMINATOR = re.compile(r"[.!?:;…。！？][\"'”’»)\]]*\Z")
_APPLICATION_TITLE = re.compile(
    r"(?:microsoft (?:word|powerpoint|excel)\b|untitled\b|.*\.(?:docx?|pptx?|xlsx?|indd|pdf)\Z)", re.IGNORECASE
)
_ROW = "| "  # of a table
_MARGIN = 20  # points; what is narrower holds no text
_PICTURE_LINES = 4  # a page with more of them is no picture, whatever is drawn behind
_PICTURE_SHARE = 0.5  # of the page
_MAX_IMAGES = 1_000


def read_pdf(source: Source) -> Document:
    """Title (from the file's metadata, may be empty), text and pages.

    A page that PDFium refuses is empty. Raises UnreadableDocument when the file is damaged, needs a password, or has no
    text (scanned pages).
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
            pages = [_page(pdf, number) for number in range(len(pdf))]
        finally:
            pdf.close()
    if not any(pages):
        raise UnreadableDocument("This PDF is damaged: none of its pages can be read.")
    written = without_furniture([page or Page([]) for page in pages])
    if not any(written):
        raise UnreadableDocument(
            "There is no text in this PDF, only pictures of pages: run it through text recognition (OCR) first."
        )
    text, starts = _assemble(written)
    return Document("" if _APPLICATION_TITLE.match(title) else title, text, starts, _remark(pages, written))


def _remark(pages: Sequence[Page | None], written: Sequence[list[str]]) -> str:
    damaged = pages.count(None)
    drawn = sum(page is not None and page.is_picture and not lines for page, lines in zip(pages, written, strict=True))
    remarks = (
        (damaged, "is damaged and could not be read", "are damaged and could not be read"),
        (drawn, "has no text, only pictures", "have no text, only pictures"),
    )
    return " ".join(
        f"{count} of its {len(pages)} pages {one if count == 1 else many}." for count, one, many in remarks if count
    )


def _why(error: pypdfium2.PdfiumError) -> str:
    if getattr(error, "err_code", None) == pdfium.FPDF_ERR_PASSWORD or "password" in str(error).lower():
        return "This PDF is encrypted: save a copy of it without a password."
    return "This is not a PDF, or it is damaged."


def _page(pdf: pypdfium2.PdfDocument, number: int) -> Page | None:
    """None when PDFium refuses it."""
    try:
        page = pdf[number]
        text_page = page.get_textpage()
    except pypdfium2.PdfiumError:
        return None
    try:
        tables = find_tables(page, text_page)
        if tables:
            return Page(list(_lines_around(tables, page, text_page)))
        lines = _lines(text_page.get_text_bounded())
        return Page(lines, len(lines) <= _PICTURE_LINES and _is_picture(page, bool(lines)))
    finally:
        text_page.close()
        page.close()


def _is_picture(page: pypdfium2.PdfPage, has_text: bool) -> bool:
    if not has_text:
        return bool(pdfium.FPDFPage_CountObjects(page) > 0)
    left, bottom, right, top = page.get_bbox()
    bounds = [ctypes.c_float() for _ in range(4)]
    covered = 0.0
    for image in islice(page.get_objects(filter=(pdfium.FPDF_PAGEOBJ_IMAGE,)), _MAX_IMAGES):
        if pdfium.FPDFPageObj_GetBounds(image.raw, *bounds):
            x0, y0, x1, y1 = (bound.value for bound in bounds)
            covered += (x1 - x0) * (y1 - y0)
    return covered > _PICTURE_SHARE * float((right - left) * (top - bottom))


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
