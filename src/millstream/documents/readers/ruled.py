"""Tables on a PDF page that are drawn with lines: their cells are found by the lines, and what stands in them by place.

A thin filled rectangle is a line too: word processors draw their borders so. Coordinates are points, y grows upwards.
"""

import ctypes
from bisect import bisect_left
from collections.abc import Iterator, Sequence

import msgspec
import pypdfium2  # type: ignore[import-untyped]
import pypdfium2.raw as pdfium  # type: ignore[import-untyped]

from millstream.documents.readers.rows import one_line, piped

_THIN = 2.5  # a rectangle that is thinner is a line
_SNAP = 3.0  # lines nearer to each other than this are one
_SHORTEST = 4.0
_INSET = 1.2  # of a cell: letters of the neighbour may touch the line
_MAX_OBJECTS = 20_000
_MAX_LINES = 3_000
_MIN_FILLED = 0.4  # a chart's grid is empty


class Box(msgspec.Struct, frozen=True, gc=False):
    left: float
    bottom: float
    right: float
    top: float

    @property
    def is_horizontal(self) -> bool:
        return self.top - self.bottom <= _THIN < _SHORTEST <= self.right - self.left

    @property
    def is_vertical(self) -> bool:
        return self.right - self.left <= _THIN < _SHORTEST <= self.top - self.bottom

    def touches(self, other: "Box") -> bool:
        return (
            self.left - _SNAP <= other.right
            and other.left - _SNAP <= self.right
            and self.bottom - _SNAP <= other.top
            and other.bottom - _SNAP <= self.top
        )


class Table(msgspec.Struct, frozen=True):
    box: Box
    rows: list[str]


def find_tables(page: pypdfium2.PdfPage, text_page: pypdfium2.PdfTextPage) -> list[Table]:
    """The ruled tables of a page from top to bottom, of two rows and two columns at least."""
    lines = list(_lines(page))
    if len(lines) < 6 or len(lines) > _MAX_LINES:
        return []
    tables = (_table(group, text_page) for group in _connected(lines))
    return sorted(filter(None, tables), key=lambda table: -table.box.top)


def _lines(page: pypdfium2.PdfPage) -> Iterator[Box]:
    bounds = [ctypes.c_float() for _ in range(4)]
    raw, object_at, type_of = page.raw, pdfium.FPDFPage_GetObject, pdfium.FPDFPageObj_GetType  # thousands of calls
    for i in range(min(pdfium.FPDFPage_CountObjects(page), _MAX_OBJECTS)):
        drawn = object_at(raw, i)
        if type_of(drawn) != pdfium.FPDF_PAGEOBJ_PATH:
            continue
        if not pdfium.FPDFPageObj_GetBounds(drawn, *bounds):
            continue
        box = Box(*(bound.value for bound in bounds))
        if box.is_horizontal or box.is_vertical:
            yield box
        elif _is_stroked(drawn):
            yield from _segments(drawn)


def _is_stroked(drawn: object) -> bool:
    fill, stroke = ctypes.c_int(), pdfium.FPDF_BOOL()
    return bool(pdfium.FPDFPath_GetDrawMode(drawn, fill, stroke)) and bool(stroke.value)


def _segments(drawn: object) -> Iterator[Box]:
    """The upright and level lines of a path: a whole grid may be drawn as one."""
    matrix = pdfium.FS_MATRIX()
    if not pdfium.FPDFPageObj_GetMatrix(drawn, matrix):
        return
    first = last = (0.0, 0.0)
    x, y = ctypes.c_float(), ctypes.c_float()
    for i in range(min(pdfium.FPDFPath_CountSegments(drawn), _MAX_LINES)):
        segment = pdfium.FPDFPath_GetPathSegment(drawn, i)
        pdfium.FPDFPathSegment_GetPoint(segment, x, y)
        point = (
            matrix.a * x.value + matrix.c * y.value + matrix.e,
            matrix.b * x.value + matrix.d * y.value + matrix.f,
        )
        kind = pdfium.FPDFPathSegment_GetType(segment)
        if kind == pdfium.FPDF_SEGMENT_MOVETO:
            first = point
        elif kind == pdfium.FPDF_SEGMENT_LINETO:
            yield from _level_or_upright(last, point)
        if pdfium.FPDFPathSegment_GetClose(segment):
            yield from _level_or_upright(point, first)
        last = point


def _level_or_upright(start: tuple[float, float], end: tuple[float, float]) -> Iterator[Box]:
    box = Box(min(start[0], end[0]), min(start[1], end[1]), max(start[0], end[0]), max(start[1], end[1]))
    if box.is_horizontal or box.is_vertical:
        yield box


def _connected(lines: Sequence[Box]) -> list[list[Box]]:
    """Lines that touch each other, directly or through others."""
    groups: list[tuple[Box, list[Box]]] = []
    for line in sorted(lines, key=lambda line: -line.top):
        near = [group for group in groups if group[0].touches(line)]
        members = [line, *(member for _, others in near for member in others)]
        groups = [group for group in groups if group not in near]
        groups.append((_around(members), members))
    return [members for _, members in groups if len(members) >= 6]


def _around(boxes: Sequence[Box]) -> Box:
    return Box(
        min(box.left for box in boxes),
        min(box.bottom for box in boxes),
        max(box.right for box in boxes),
        max(box.top for box in boxes),
    )


def _table(lines: Sequence[Box], text_page: pypdfium2.PdfTextPage) -> Table | None:
    level = [line for line in lines if line.is_horizontal]
    upright = [line for line in lines if line.is_vertical]
    xs = _snapped([(line.left + line.right) / 2 for line in upright])
    ys = _snapped([(line.bottom + line.top) / 2 for line in level])[::-1]
    if len(xs) < 3 or len(ys) < 3:
        return None
    grid = _Grid(xs, ys, level, upright)
    rows: list[list[str]] = []
    for row in range(len(ys) - 1):
        texts = [one_line(text_page.get_text_bounded(*msgspec.structs.astuple(cell))) for cell in grid.cells(row)]
        rows.append([text.replace("\ufffe", "").replace("\x02", "") for text in texts])
    filled = sum(bool(text) for row in rows for text in row)
    told = [sum(map(bool, row)) for row in rows if any(row)]
    if filled < _MIN_FILLED * sum(map(len, rows)) or len(told) < 2 or max(told) < 2:
        return None
    return Table(Box(xs[0], ys[-1], xs[-1], ys[0]), [piped(row) for row in rows if any(row)])


def _snapped(values: Sequence[float]) -> list[float]:
    """Ascending, those that are nearly the same once."""
    found: list[float] = []
    for value in sorted(values):
        if not found or value - found[-1] > _SNAP:
            found.append(value)
    return found


class _Grid:
    """Where no line parts two fields of the grid, they are one cell; it belongs to every row that it reaches into."""

    def __init__(self, xs: list[float], ys: list[float], level: Sequence[Box], upright: Sequence[Box]) -> None:
        self._xs, self._ys = xs, ys
        self._parted_left = self._crossings([(line.left, line.bottom, line.top) for line in upright], xs, ys[::-1])
        self._parted_above = self._crossings([(line.top, line.left, line.right) for line in level], ys[::-1], xs)

    def cells(self, row: int) -> Iterator[Box]:
        column = 0
        columns, rows = len(self._xs) - 1, len(self._ys) - 1
        while column < columns:
            last = column
            while last + 1 < columns and not self._has_left(row, last + 1):
                last += 1
            above, below = row, row
            while above > 0 and not self._has_above(above, column):
                above -= 1
            while below + 1 < rows and not self._has_above(below + 1, column):
                below += 1
            yield Box(
                self._xs[column] + _INSET,
                self._ys[below + 1] + _INSET,
                self._xs[last + 1] - _INSET,
                self._ys[above] - _INSET,
            )
            column = last + 1

    def _has_left(self, row: int, column: int) -> bool:
        return (column, len(self._ys) - 2 - row) in self._parted_left

    def _has_above(self, row: int, column: int) -> bool:
        return (len(self._ys) - 1 - row, column) in self._parted_above

    @staticmethod
    def _crossings(
        lines: Sequence[tuple[float, float, float]], places: Sequence[float], steps: Sequence[float]
    ) -> set[tuple[int, int]]:
        """(i, j): at places[i] there is a line that spans the middle between steps[j] and steps[j + 1]."""
        found = set()
        for place, start, end in lines:
            i = min(range(max(0, bisect_left(places, place) - 1), len(places)), key=lambda i: abs(places[i] - place))
            for j in range(len(steps) - 1):
                if start <= (steps[j] + steps[j + 1]) / 2 <= end:
                    found.add((i, j))
        return found
