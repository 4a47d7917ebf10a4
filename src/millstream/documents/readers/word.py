"""DOCX: headings, paragraphs, list items and tables in the order of the document, then notes."""

import io
from collections.abc import Iterator, Mapping

import docx
from docx.document import Document as WordDocument
from docx.oxml import parse_xml
from docx.oxml.ns import qn
from docx.table import Table
from docx.text.paragraph import Paragraph

from millstream.documents import Document, Source
from millstream.documents.formats import unpack_check
from millstream.documents.readers.rows import piped

_MAX_HEADING = 6
_WORDS = tuple(map(qn, ("w:t", "w:tab", "w:br", "w:cr", "w:noBreakHyphen")))
_MOVED_AWAY = qn("w:moveFrom")
_PARAGRAPH = qn("w:p")


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
    for part in word.iter_inner_content():
        if isinstance(part, Table):
            yield from filter(None, ("\n".join(_rows(part)),))
        else:
            yield from filter(None, (_paragraph(part, styles),))
    for relation in word.part.rels.values():
        if relation.reltype.endswith(("/footnotes", "/endnotes")) and not relation.is_external:
            yield from _notes(relation.target_part.blob)


def _paragraph(paragraph: Paragraph, styles: Mapping[str, str]) -> str:
    words = _words(paragraph)
    if not words:
        return ""
    style = styles.get(paragraph._p.style or "", "")
    level = "1" if style == "Title" else style.removeprefix("Heading ") if style.startswith("Heading ") else ""
    if level.isdigit() and int(level) <= _MAX_HEADING:
        return f"{'#' * int(level)} {' '.join(words.split())}"
    properties = paragraph._p.pPr
    is_item = style.startswith("List") or (properties is not None and properties.numPr is not None)
    return f"- {words}" if is_item else words


def _words(paragraph: Paragraph) -> str:
    """All its runs, also those in links and in accepted changes; text boxes inside come after."""
    pieces: list[str] = []
    for node in paragraph._p.iter(*_WORDS):
        if next(node.iterancestors(_MOVED_AWAY), None) is not None:
            continue
        kind = node.tag.rpartition("}")[2]
        pieces.append({"t": node.text or "", "tab": " ", "noBreakHyphen": "-"}.get(kind, "\n"))
    return "\n".join(filter(None, (" ".join(line.split()) for line in "".join(pieces).split("\n"))))


def _rows(table: Table) -> Iterator[str]:
    """A cell that is merged over rows belongs to each of them; a table inside of a cell is part of the cell."""
    for row in table.rows:
        cells: list[str] = []
        last = None
        for cell in row.cells:
            if cell._tc is not last:
                paragraphs = (_words(Paragraph(p, cell)) for p in cell._tc.iter(_PARAGRAPH))
                cells.append(" ".join(filter(None, paragraphs)))
            last = cell._tc
        if any(cells):
            yield piped(cells) if len(cells) > 1 else cells[0]


def _notes(part: bytes) -> Iterator[str]:
    for note in parse_xml(part):
        words = " ".join("".join(text.text or "" for text in note.iter(qn("w:t"))).split())
        if words:
            yield words
