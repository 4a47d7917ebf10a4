"""Documents: read them, split them into passages, keep the index in step with their folder."""

from collections.abc import Callable

import msgspec

from millstream.documents.limits import Limits


class Document(msgspec.Struct, frozen=True):
    """A file's text as it is indexed, cited and shown.

    `pages[i]` is the offset in `text`, in Unicode code points, at which page i + 1 (slide, sheet) begins; empty for a
    format without pages. Paragraphs are set apart by a blank line, headings begin with "#", rows of a table with "|".
    An empty `title` becomes the file's name. `remark` is a sentence for a person about what was left out.
    """

    title: str
    text: str
    pages: tuple[int, ...] = ()
    remark: str = ""


class Source(msgspec.Struct, frozen=True):
    """What a reader is given: the file's bytes, its name without folders, and how much of it may be read."""

    data: bytes
    name: str
    limits: Limits = Limits()


class UnreadableDocument(Exception):
    """This file cannot be read; the message says why and what would help. It names no path."""


class UnsupportedDocument(UnreadableDocument):
    """This file is of a kind that nobody reads; in a folder it is passed over."""


Reader = Callable[[Source], Document]
"""Raises UnreadableDocument. Any other error of it is reported as a damaged file."""
