"""Pages put together to one text."""

from collections.abc import Sequence

from millstream.documents import Document


def joined(title: str, pages: Sequence[str]) -> Document:
    """The pages' texts with a blank line between; of an empty page only its number remains."""
    starts: list[int] = []
    pieces: list[str] = []
    length = 0
    for page in pages:
        if page and length:
            pieces.append("\n\n")
            length += 2
        starts.append(length)
        pieces.append(page)
        length += len(page)
    return Document(title, "".join(pieces), tuple(starts))
