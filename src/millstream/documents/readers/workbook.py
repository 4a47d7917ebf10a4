"""XLSX: a page for each sheet, a line for each row with the names of its columns, numbers as the sheet shows them."""

import datetime
import io
import re
from collections.abc import Iterator
from typing import Protocol

import openpyxl  # type: ignore[import-untyped]
from openpyxl.styles.numbers import is_date_format  # type: ignore[import-untyped]

from millstream.documents import Document, Source, UnreadableDocument
from millstream.documents.formats import unpack_check
from millstream.documents.readers.pages import joined
from millstream.documents.readers.rows import records

_MAX_FORMAT = 255  # characters, Excel's own limit
_PERCENT = re.compile(r"0(?:\.(0+))?%")
_FIXED = re.compile(r"^(?:[^0#;]*?)(#,##)?0(?:\.(0+))?(?:[^0#;]*)(?:;|$)")
_QUOTED = re.compile(r'"[^"]*"|\[[^\]]*\]|\\.|_.')
_CURRENCY = re.compile(r'\[\$([^\]-]+)|"([$€£¥]|[A-Z]{3})"|([$€£¥])')


class _Cell(Protocol):
    """Of openpyxl, which has no types. An empty one has no number format."""

    value: object
    number_format: str


def read_xlsx(source: Source) -> Document:
    unpack_check(source.data, source.limits.unpacked_mb).close()
    book = openpyxl.load_workbook(io.BytesIO(source.data), read_only=True, data_only=True, keep_links=False)
    if len(book.worksheets) > source.limits.pages:
        raise UnreadableDocument(
            f"It has more than {source.limits.pages} sheets, which is the limit (MILLSTREAM_READ_PAGES)."
        )
    sheets = []
    for sheet in book.worksheets:
        sheet.reset_dimensions()  # what the file says of its size may be wrong
        lines = list(records(_rows(sheet.iter_rows())))
        sheets.append("\n\n".join([f"# {sheet.title}", *lines]) if lines else "")
    title = (book.properties.title or "").strip()
    book.close()
    return joined(title, sheets)


def _rows(rows: Iterator[tuple[_Cell, ...]]) -> Iterator[list[str]]:
    for row in rows:
        yield [shown(cell.value, cell.number_format) if cell.value is not None else "" for cell in row]


def shown(value: object, number_format: str) -> str:
    """A cell as the sheet shows it: 0.25 under `0%` is 25%, 1500 is 1500 and not 1500.0."""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, datetime.datetime):
        at_midnight = value.time() == datetime.time()
        return value.date().isoformat() if at_midnight else value.isoformat(" ", "minutes")
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, int | float):
        return _number(value, number_format if number_format and len(number_format) <= _MAX_FORMAT else "General")
    return str(value)


def _number(value: float, number_format: str) -> str:
    percent = _PERCENT.search(number_format)
    if percent:
        return f"{value * 100:.{len(percent[1] or '')}f}%"
    plain = f"{value:.15g}"
    if number_format == "General" or is_date_format(number_format):
        return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else plain
    fixed = _FIXED.match(_QUOTED.sub("", number_format))
    if not fixed:
        return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else plain
    number = f"{value:{',' if fixed[1] else ''}.{len(fixed[2] or '')}f}"
    currency = _CURRENCY.search(number_format)
    if not currency:
        return number
    symbol = next(filter(None, currency.groups()))
    return f"{symbol}{number}" if currency.start() < number_format.find("0") else f"{number} {symbol}"
