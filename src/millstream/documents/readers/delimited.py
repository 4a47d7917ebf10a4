"""CSV and its relatives: each row with the names of its columns, values as they are written."""

import csv
import io
import sys

from millstream.documents import Document, Source
from millstream.documents.encoding import decode_text
from millstream.documents.readers.rows import records

_SAMPLE = 20_000  # characters that the delimiter is told by
_DELIMITERS = ",;\t|"


def read_delimited(source: Source) -> Document:
    text = decode_text(source.data)
    csv.field_size_limit(sys.maxsize)
    rows = csv.reader(io.StringIO(text), delimiter=_delimiter(text[:_SAMPLE]), strict=False)
    return Document("", "\n\n".join(records(rows)))


def _delimiter(sample: str) -> str:
    """The one that cuts most lines into the same number of cells, more than one."""

    def agreement(delimiter: str) -> tuple[float, int]:
        lengths = [len(row) for row in csv.reader(sample.splitlines()[:50], delimiter=delimiter) if row]
        if not lengths:
            return 0, 0
        commonest = max(set(lengths), key=lengths.count)
        return (lengths.count(commonest) / len(lengths) if commonest > 1 else 0), commonest

    return max(_DELIMITERS, key=agreement)
