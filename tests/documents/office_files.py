"""Office files made on the spot, so that tests know every word of them."""

import io
import zipfile
from collections.abc import Mapping, Sequence

import docx
import openpyxl
import pptx
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls
from pptx.util import Inches


def make_docx(paragraphs: Sequence[tuple[str, str]], table: Sequence[Sequence[str]] = ()) -> bytes:
    """Paragraphs as (style, words), then a table."""
    word = docx.Document()
    word.core_properties.title = ""
    for style, words in paragraphs:
        word.add_paragraph(words, style=style)
    if table:
        drawn = word.add_table(len(table), len(table[0]))
        for row, cells in enumerate(table):
            for column, cell in enumerate(cells):
                drawn.cell(row, column).text = cell
    return saved(word)


def make_docx_of(body: str) -> bytes:
    """With this XML as its body."""
    word = docx.Document()
    word.core_properties.title = ""
    for part in parse_xml(f"<w:body {nsdecls('w')}>{body}</w:body>"):
        word.element.body.insert(len(word.element.body) - 1, part)
    return saved(word)


def make_pptx(slides: Sequence[tuple[str, str, str]], table: Sequence[Sequence[str]] = ()) -> bytes:
    """Slides as (title, text, notes); the table is on the last one."""
    deck = pptx.Presentation()
    deck.core_properties.title = ""
    for title, text, notes in slides:
        slide = deck.slides.add_slide(deck.slide_layouts[1])
        slide.shapes.title.text = title
        slide.placeholders[1].text = text
        if notes:
            slide.notes_slide.notes_text_frame.text = notes
    if table:
        frame = slide.shapes.add_table(len(table), len(table[0]), Inches(1), Inches(5), Inches(6), Inches(1))
        for row, cells in enumerate(table):
            for column, cell in enumerate(cells):
                frame.table.cell(row, column).text = cell
    return saved(deck)


def make_xlsx(sheets: Mapping[str, Sequence[Sequence[object]]], formats: Mapping[str, str] | None = None) -> bytes:
    """Sheets with their rows; `formats` are number formats by cell of the first sheet."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(list(row))
    for cell, number_format in (formats or {}).items():
        book.worksheets[0][cell].number_format = number_format
    return saved(book)


def make_bomb(part: str = "word/document.xml", megabytes: int = 1000) -> bytes:
    """An archive of one megabyte that holds a thousand."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        with archive.open(part, "w", force_zip64=True) as stream:
            for _ in range(megabytes):
                stream.write(bytes(1_000_000))
    return target.getvalue()


def saved(document: object) -> bytes:
    target = io.BytesIO()
    document.save(target)  # type: ignore[attr-defined]
    return target.getvalue()
