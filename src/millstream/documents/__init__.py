"""Documents: read them, split them into passages, keep the index in step with their folder."""

from collections.abc import Callable

import msgspec


class Document(msgspec.Struct, frozen=True):
    """A file's text as it is indexed, cited and shown.

    `pages[i]` is the offset in `text`, in Unicode code points, at which page i + 1 begins; empty for a format
    without pages.
    """

    title: str
    text: str
    pages: tuple[int, ...] = ()


class UnreadableDocument(Exception):
    """This file cannot be read; the message says why and what would help. It names no path."""


Reader = Callable[[bytes, str], Document]
"""(the file's bytes, its name without folders) → Document. Raises UnreadableDocument."""
