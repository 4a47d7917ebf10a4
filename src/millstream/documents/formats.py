"""The formats that can be read, and which of them a file is: by its content, and by its name only among texts."""

import codecs
import io
import re
import zipfile
from collections.abc import Callable
from importlib import import_module
from pathlib import PurePath

import msgspec

from millstream.documents import Document, Reader, Source, UnreadableDocument, UnsupportedDocument
from millstream.documents.encoding import is_text

HEAD_BYTES = 4096  # a file's beginning, enough to tell its family

_BEFORE_HTML = re.compile(rb"\s+|<\?xml[^>]*>|<!--.*?-->", re.I | re.S)
_HTML = re.compile(rb"<(?:!doctype\s+html|html|head|body)\b", re.I)
_ZIP, _OLE, _RTF = b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"{\\rtf"
_MAX_ZIP_PARTS = 10_000
# The first part of an Office file that says what it is.
_OFFICE_PARTS = (("word/document.xml", "docx"), ("ppt/presentation.xml", "pptx"), ("xl/workbook.xml", "xlsx"))


class Format(msgspec.Struct, frozen=True):
    """`reader` is the function, or where it is ("package.module:function"), which is imported when it is needed.

    A file is of the first registered format that `recognises` its first HEAD_BYTES, else of the one with its suffix.
    `media_type` is what a browser is told of the original. `markdown`: the text that its reader gives is Markdown, and
    is shown to people as such.
    """

    name: str
    suffixes: tuple[str, ...]
    media_type: str
    reader: Reader | str
    recognises: Callable[[bytes], bool] | None = None
    markdown: bool = False

    def read(self, source: Source) -> Document:
        reader = self.reader
        if isinstance(reader, str):
            module, _, function = reader.partition(":")
            reader = getattr(import_module(module), function)
        return reader(source)


FORMATS: dict[str, Format] = {}
_own: list[Format] = []


def register(format: Format) -> None:
    """Teaches Millstream a format, before all others.

    Do it in a module that `MILLSTREAM_READERS` names: every reading process imports it.
    """
    _own.insert(0, format)
    FORMATS[format.name] = format


_READERS = "millstream.documents.readers"
for _format in (
    Format("pdf", (".pdf",), "application/pdf", f"{_READERS}.pdf:read_pdf"),
    Format(
        "docx",
        (".docx", ".docm"),
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        f"{_READERS}.word:read_docx",
        markdown=True,
    ),
    Format(
        "pptx",
        (".pptx", ".pptm", ".ppsx"),
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        f"{_READERS}.slides:read_pptx",
        markdown=True,
    ),
    Format(
        "xlsx",
        (".xlsx", ".xlsm"),
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        f"{_READERS}.workbook:read_xlsx",
        markdown=True,
    ),
    Format("html", (".html", ".htm", ".xhtml"), "text/html", f"{_READERS}.html:read_html", markdown=True),
    Format("markdown", (".md", ".markdown"), "text/markdown", f"{_READERS}.plain:read_markdown", markdown=True),
    Format("csv", (".csv", ".tsv"), "text/csv", f"{_READERS}.delimited:read_delimited", markdown=True),
    Format("json", (".json",), "application/json", f"{_READERS}.records:read_json"),
    Format("jsonl", (".jsonl", ".ndjson"), "application/x-ndjson", f"{_READERS}.records:read_json_lines"),
    Format("text", (".txt", ".text", ".log", ".rst"), "text/plain", f"{_READERS}.plain:read_text"),
):
    FORMATS[_format.name] = _format

_OLD_OFFICE = {".doc": "DOCX", ".dot": "DOCX", ".ppt": "PPTX", ".pps": "PPTX", ".xls": "XLSX"}


def suffixes() -> set[str]:
    """In small letters, with their dots."""
    return {suffix for format in FORMATS.values() for suffix in format.suffixes}


def is_markdown(name: str) -> bool:
    """Whether the text of a file of this name is Markdown, as far as the name tells."""
    suffix = PurePath(name).suffix.lower()
    return any(suffix in format.suffixes for format in FORMATS.values() if format.markdown)


def is_candidate(head: bytes, name: str) -> bool:
    """Whether a file found in a folder is worth a closer look, judged by its first bytes. An image or a program is not.

    A text without a suffix is (README); one with a suffix that says nothing to us (.py, .css) is not.
    """
    suffix = PurePath(name).suffix.lower()
    if suffix in suffixes() or suffix in _OLD_OFFICE:
        return True
    if any(format.recognises and format.recognises(head) for format in _own):
        return True
    if b"%PDF-" in head[:1024] or head.startswith((_ZIP, _OLE)) or _is_html(head):
        return True
    return not suffix and bool(head) and is_text(head)


def detect(data: bytes, name: str) -> Format:
    """Raises UnsupportedDocument for a kind that nobody reads, UnreadableDocument for what is no file of any kind."""
    head = data[:HEAD_BYTES]
    for format in _own:
        if format.recognises and format.recognises(head):
            return format
    if b"%PDF-" in head[:1024]:
        return FORMATS["pdf"]
    if head.startswith(_ZIP):
        return _office_format(data)
    if head.startswith(_OLE):
        raise _ole_refusal(data, name)
    if head.startswith(_RTF):
        raise UnreadableDocument("This is an RTF file: save it as DOCX.")
    if _is_html(head):
        return FORMATS["html"]
    return _text_format(head, name)


def read_document(source: Source) -> tuple[Document, Format]:
    """The document and what it was. Raises UnreadableDocument, also when there is no text in it."""
    if not source.data:
        raise UnreadableDocument("The file is empty.")
    format = detect(source.data, source.name)
    try:
        document = format.read(source)
    except UnreadableDocument:
        raise
    except MemoryError:
        raise UnreadableDocument(
            f"Reading it takes more than {source.limits.memory_mb} MB of memory, which is the limit "
            "(MILLSTREAM_READ_MEMORY_MB)."
        ) from None
    except RecursionError:
        raise UnreadableDocument("It is nested too deeply to be read.") from None
    except Exception as error:  # a library that meets a damaged file raises whatever it stumbles over
        raise UnreadableDocument(
            f"This {format.name.upper()} file is damaged: it cannot be read ({type(error).__name__})."
        ) from error
    if not document.text.strip():
        raise UnreadableDocument("There is no text in it.")
    if len(document.text) > source.limits.characters:
        raise UnreadableDocument(
            f"Its text is longer than {source.limits.characters:,} characters, which is the limit "
            "(MILLSTREAM_READ_CHARACTERS)."
        )
    if not document.title:
        document = msgspec.structs.replace(document, title=title_from_name(source.name))
    return document, format


def title_from_name(name: str) -> str:
    """`Benefit_Options.pdf` → `Benefit Options`."""
    return " ".join(PurePath(name).stem.replace("_", " ").split()) or name


def unpack_check(data: bytes, unpacked_mb: float) -> zipfile.ZipFile:
    """The archive in `data`, whose parts hold no more than that by its own directory, which zipfile holds them to.

    Raises UnreadableDocument.
    """
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        parts = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        raise UnreadableDocument("This file is damaged or cut off: it cannot be unpacked.") from None
    if len(parts) > _MAX_ZIP_PARTS or sum(part.file_size for part in parts) > unpacked_mb * 1e6:
        raise UnreadableDocument(
            f"Unpacked it is larger than {unpacked_mb:g} MB, which is the limit (MILLSTREAM_READ_UNPACKED_MB)."
        )
    if any(part.flag_bits & 1 for part in parts):
        raise UnreadableDocument("This file is encrypted: save a copy of it without a password.")
    return archive


def _is_html(head: bytes) -> bool:
    """Told in one pass: what may stand before a page is passed over piece by piece, and no piece is tried twice."""
    at = len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0
    while before := _BEFORE_HTML.match(head, at):
        at = before.end()
    return _HTML.match(head, at) is not None


def _office_format(data: bytes) -> Format:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = set(archive.namelist())
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        raise UnreadableDocument("This file is damaged or cut off: it cannot be unpacked.") from None
    for part, name in _OFFICE_PARTS:
        if part in names:
            return FORMATS[name]
    raise UnsupportedDocument("This is an archive, not a document: unpack it first.")


def _ole_refusal(data: bytes, name: str) -> UnreadableDocument:
    """An OLE file is of Office 97, or holds an encrypted newer file (stream `EncryptedPackage`), or it is neither."""
    suffix = PurePath(name).suffix.lower()
    if "EncryptedPackage".encode("utf-16-le") in data:
        return UnreadableDocument("This file is encrypted: save a copy of it without a password.")
    if suffix in _OLD_OFFICE:
        return UnreadableDocument(f"This is a file of an Office before 2007: save it as {_OLD_OFFICE[suffix]}.")
    return UnsupportedDocument("This format is not supported.")


def _text_format(head: bytes, name: str) -> Format:
    suffix = PurePath(name).suffix.lower()
    named = next((format for format in (*_own, *FORMATS.values()) if suffix in format.suffixes), None)
    if named in _own and named is not None:
        return named
    if not is_text(head):
        if named is None:
            raise UnsupportedDocument(f"This format is not supported; supported are {', '.join(sorted(suffixes()))}.")
        raise UnreadableDocument(f"This is not a {named.name.upper()} file, or it is damaged: it is not text.")
    if named is None or named.media_type.startswith("application/vnd") or named.name in ("pdf", "html"):
        return FORMATS["html"] if named is FORMATS["html"] and b"<" in head else FORMATS["text"]
    return named
