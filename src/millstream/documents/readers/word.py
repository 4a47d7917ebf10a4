"""DOCX: headings, paragraphs, list items and tables in the order of the document, then notes."""

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import docx
from docx.document import Document as WordDocument
from docx.oxml import parse_xml
from docx.oxml.ns import qn

from millstream.documents import Document, Source
from millstream.documents.formats import unpack_check
from millstream.documents.readers.rows import piped

_MAX_HEADING = 6
_WORDS = tuple(map(qn, ("w:t", "w:tab", "w:br", "w:cr", "w:noBreakHyphen")))
_MOVED_AWAY = qn("w:moveFrom")
_PARAGRAPH, _TABLE, _ROW, _CELL = map(qn, ("w:p", "w:tbl", "w:tr", "w:tc"))
_WRAPPERS = tuple(map(qn, ("w:sdt", "w:sdtContent", "w:customXml")))
_GALLERY = f"{qn('w:sdtPr')}/{qn('w:docPartObj')}/{qn('w:docPartGallery')}"
_VALUE, _CONTENTS = qn("w:val"), "Table of Contents"


def read_docx(source: Source) -> Document:
    unpack_check(source.data, source.limits.unpacked_mb).close()
    word = docx.Document(io.BytesIO(source.data))
    title = word.core_properties.title.strip()
    blocks = list(_blocks(word))
    if not title or title.lower() in ("word document", "document"):
        title = next((block.lstrip("# ") for block in blocks if block.startswith("# ")), "")
    return Document(title, "\n\n".join(blocks))


def _blocks(word: WordDocument) -> Iterator[str]:
    # By id: looking a paragraph's style up through the library goes over all styles each time.
    styles = {style.style_id: style.name or "" for style in word.styles}
    for part in _inside(word.element.body, (_PARAGRAPH, _TABLE)):
        yield from filter(None, (_paragraph(part, styles) if part.tag == _PARAGRAPH else "\n".join(_rows(part)),))
    for relation in word.part.rels.values():
        if relation.reltype.endswith(("/footnotes", "/endnotes")) and not relation.is_external:
            yield from _notes(relation.target_part.blob)


def _inside(parent: Any, kinds: Sequence[str]) -> Iterator[Any]:
    """The paragraphs, tables, rows or cells right inside of `parent`, those in content controls at their place.

    A table of contents says nothing that the headings do not.
    """
    for child in parent:
        if child.tag in kinds:
            yield child
        elif child.tag in _WRAPPERS and not any(
            gallery.get(_VALUE) == _CONTENTS for gallery in child.iterfind(_GALLERY)
        ):
            yield from _inside(child, kinds)


def _paragraph(paragraph: Any, styles: Mapping[str, str]) -> str:
    words = _words(paragraph)
    if not words:
        return ""
    style = styles.get(paragraph.style or "", "")
    level = "1" if style == "Title" else style.removeprefix("Heading ") if style.startswith("Heading ") else ""
    if level.isdigit() and int(level) <= _MAX_HEADING:
        return f"{'#' * int(level)} {' '.join(words.split())}"
    properties = paragraph.pPr
    is_item = style.startswith("List") or (properties is not None and properties.numPr is not None)
    return f"- {words}" if is_item else words


def _words(paragraph: Any) -> str:
    """All its runs, also those in links and in accepted changes; text boxes inside come after."""
    pieces: list[str] = []
    for node in paragraph.iter(*_WORDS):
        if next(node.iterancestors(_MOVED_AWAY), None) is not None:
            continue
        kind = node.tag.rpartition("}")[2]
        pieces.append({"t": node.text or "", "tab": " ", "noBreakHyphen": "-"}.get(kind, "\n"))
    return "\n".join(filter(None, (" ".join(line.split()) for line in "".join(pieces).split("\n"))))


def _rows(table: Any) -> Iterator[str]:
    """A cell that is merged over rows belongs to each of them; a table inside of a cell is part of the cell."""
    above: dict[int, str] = {}  # what stands in each column
    for row in _inside(table, (_ROW,)):
        cells: list[str] = []
        column = row.grid_before
        for cell in _inside(row, (_CELL,)):
            if cell.vMerge != "continue":
                above[column] = " ".join(filter(None, map(_words, cell.iter(_PARAGRAPH))))
            cells.append(above.get(column, ""))
            column += cell.grid_span
        if any(cells):
            yield piped(cells) if len(cells) > 1 else cells[0]


def _notes(part: bytes) -> Iterator[str]:
    for note in parse_xml(part):
        words = " ".join("".join(text.text or "" for text in note.iter(qn("w:t"))).split())
        if words:
            yield words
