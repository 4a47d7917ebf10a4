"""Rows of tables as lines of text: a row stays together and says what its cells are."""

import re
from collections.abc import Iterable, Iterator, Sequence

_AMOUNT = r"[-+−(]?\s?[$€£¥]?\s?\d[\d.,'\u2019 ]*(?:[eE][-+]?\d+)?\s?[%‰$€£¥]?\)?"
_DATE_OR_TIME = r"\d+(?:[-/.:]\d+){2,}(?:[T ]\d[\d:.]*)?(?:Z|[-+][\d:]+)?|\d+:\d+"
_NUMBER = re.compile(f"{_AMOUNT}|{_DATE_OR_TIME}")


def piped(cells: Iterable[str]) -> str:
    """`| Plan | Cost |`, for a table that is short enough to keep its head in sight."""
    return f"| {' | '.join(one_line(cell).replace('|', '/') for cell in cells)} |"


def with_headers(header: Sequence[str], row: Sequence[str]) -> str:
    """`Plan: Basic; Cost: 12.50`: each cell with its column's name, empty ones left out."""
    named = (
        f"{header[i]}: {cell}" if i < len(header) and header[i] else cell
        for i, cell in enumerate(map(one_line, row))
        if cell
    )
    return "; ".join(named)


def records(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A line for each row that holds anything, named by the first row when that is a header."""
    remaining = iter(rows)
    leading: list[Sequence[str]] = []
    for row in remaining:  # a title above the table, in a cell of its own
        if sum(bool(cell.strip()) for cell in row) > 1 or len(leading) > 4:
            leading.append(row)
            break
        if any(cell.strip() for cell in row):
            leading.append(row)
    if not leading:
        return
    *titles, first = leading
    yield from (" ".join(one_line(cell) for cell in title if cell.strip()) for title in titles)
    header = [one_line(cell) for cell in first] if _is_header(first) else []
    if not header:
        yield with_headers((), first)
    count = 0
    for row in remaining:
        line = with_headers(header, row)
        count += bool(line)
        if line:
            yield line
    if header and not count:
        yield with_headers((), header)


def one_line(cell: str) -> str:
    return " ".join(cell.split())


def _is_header(row: Sequence[str]) -> bool:
    """Names of columns: several, not all the same, and none a number."""
    cells = [one_line(cell) for cell in row if cell.strip()]
    return len(set(cells)) > 1 and not any(_is_number(cell) for cell in cells)


def _is_number(cell: str) -> bool:
    """An amount, a date or a time; `2024` and `2023/24` are years, which name columns, as `Q1` and `18-24` do."""
    return _NUMBER.fullmatch(cell) is not None and not (len(cell) == 4 and cell.isdigit())
