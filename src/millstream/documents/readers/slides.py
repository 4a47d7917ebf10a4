"""PPTX: a page for each slide, its title as a heading, its text, tables and notes."""

import io
from collections.abc import Iterable, Iterator
from typing import Any

import pptx
from pptx.util import Length

from millstream.documents import Document, Source, UnreadableDocument
from millstream.documents.formats import unpack_check
from millstream.documents.readers.pages import joined
from millstream.documents.readers.rows import one_line, piped


def read_pptx(source: Source) -> Document:
    unpack_check(source.data, source.limits.unpacked_mb).close()
    deck = pptx.Presentation(io.BytesIO(source.data))
    if len(deck.slides) > source.limits.pages:
        raise UnreadableDocument(
            f"It has more than {source.limits.pages} slides, which is the limit (MILLSTREAM_READ_PAGES)."
        )
    slides = ["\n\n".join(_blocks(slide)) for slide in deck.slides]
    title = (deck.core_properties.title or "").strip()
    if not title or title == "PowerPoint Presentation":
        title = next((slide.split("\n", 1)[0].removeprefix("# ") for slide in slides if slide.startswith("# ")), "")
    return joined(title, slides)


def _blocks(slide: Any) -> Iterator[str]:
    heading = slide.shapes.title
    words = one_line(heading.text_frame.text) if heading is not None else ""
    if words:
        yield f"# {words}"
    for shape in _in_reading_order(_flat(slide.shapes)):
        if heading is None or shape.shape_id != heading.shape_id:
            yield from _shape(shape)
    if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
        notes = slide.notes_slide.notes_text_frame.text.strip()
        if notes:
            yield "Notes: " + "\n".join(filter(None, map(one_line, notes.split("\n"))))


def _flat(shapes: Iterable[Any]) -> Iterator[Any]:
    for shape in shapes:
        if hasattr(shape, "shapes"):
            yield from _flat(shape.shapes)
        else:
            yield shape


def _in_reading_order(shapes: Iterable[Any]) -> list[Any]:
    """From top to bottom, then from left to right; shapes without a place of their own keep theirs."""
    return sorted(shapes, key=lambda shape: (shape.top or Length(0), shape.left or Length(0)))


def _shape(shape: Any) -> Iterator[str]:
    if getattr(shape, "has_table", False):
        rows = ([cell.text for cell in row.cells if not cell.is_spanned] for row in shape.table.rows)
        yield "\n".join(piped(row) for row in rows if any(row))
    elif getattr(shape, "has_chart", False):
        yield from _chart(shape.chart)
    elif shape.has_text_frame:
        lines = [
            ("- " if paragraph.level or len(shape.text_frame.paragraphs) > 1 else "") + one_line(paragraph.text)
            for paragraph in shape.text_frame.paragraphs
            if paragraph.text.strip()
        ]
        if lines:
            yield "\n".join(lines)


def _chart(chart: Any) -> Iterator[str]:
    if chart.has_title and chart.chart_title.has_text_frame:
        yield one_line(chart.chart_title.text_frame.text)
    for plot in chart.plots:
        categories = [str(category) for category in plot.categories]
        rows = [["", *categories]] if any(categories) else []
        rows += [[series.name, *(f"{v:g}" if v is not None else "" for v in series.values)] for series in plot.series]
        if rows:
            yield "\n".join(map(piped, rows))
