"""Which reader reads which file; plain text and Markdown."""

import codecs
import re
from pathlib import PurePath

from millstream.documents import Document, Reader, UnreadableDocument
from millstream.documents.pdf import read_pdf

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_FRONT_MATTER = re.compile(r"---\n.*?\n(?:---|\.\.\.)\n", re.DOTALL)
_FENCE = re.compile(r"^ {0,3}(```|~~~).*?(?:^ {0,3}\1|\Z)", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]+(.+?)[ \t]*#*[ \t]*$", re.MULTILINE)
_INLINE_MARKUP = re.compile(r"!?\[([^\]\n]*)\]\([^)\n]*\)|[*_`]{1,3}(?=\S)|(?<=\S)[*_`]{1,3}")


def read_document(data: bytes, name: str) -> Document:
    """The document in `data`, read as the suffix of `name` says.

    Raises UnreadableDocument when it is damaged, encrypted, without text, or of a format that is not
    supported.
    """
    reader = READERS.get(PurePath(name).suffix.lower())
    if reader is None:
        raise UnreadableDocument(f"This format is not supported; supported are {', '.join(sorted(READERS))}.")
    document = reader(data, name)
    if not document.text.strip():
        raise UnreadableDocument("There is no text in it.")
    return document


def read_text(data: bytes, name: str) -> Document:
    return Document(title_from_name(name), decode_text(data))


def read_markdown(data: bytes, name: str) -> Document:
    """The source text as it is; its title is the first heading."""
    text = decode_text(data)
    front_matter = _FRONT_MATTER.match(text)
    heading = _HEADING.search(_FENCE.sub("", text[front_matter.end() :] if front_matter else text))
    title = _INLINE_MARKUP.sub(r"\1", heading[1]).strip() if heading else ""
    return Document(title or title_from_name(name), text)


def decode_text(data: bytes) -> str:
    """Text with "\\n" line ends: by its byte order mark, else UTF-8, else Windows-1252.

    Raises UnreadableDocument for bytes that are no text.
    """
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            text = data.decode(encoding, "replace")
            break
    else:
        if b"\0" in data:
            raise UnreadableDocument("It is not text: there are zero bytes in it.")
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            text = data.decode("cp1252", "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd")


def title_from_name(name: str) -> str:
    """`Benefit_Options.pdf` → `Benefit Options`."""
    return PurePath(name).stem.replace("_", " ").strip() or name


def _read_pdf(data: bytes, name: str) -> Document:
    document = read_pdf(data)
    return Document(document.title or title_from_name(name), document.text, document.pages)


READERS: dict[str, Reader] = {
    ".md": read_markdown,
    ".markdown": read_markdown,
    ".txt": read_text,
    ".text": read_text,
    ".pdf": _read_pdf,
}
"""Suffix in small letters → reader. Add to it to teach `sync` another format."""
