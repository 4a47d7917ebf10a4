"""Plain text and Markdown, as they are, but for pictures that are written out."""

import re

from millstream.documents import Document, Source
from millstream.documents.encoding import decode_text

_FRONT_MATTER = re.compile(r"---\n.*?\n(?:---|\.\.\.)\n", re.DOTALL)
_FENCE = re.compile(r"^ {0,3}(```|~~~).*?(?:^ {0,3}\1|\Z)", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]+(\S[^\n]{0,999})", re.MULTILINE)
_INLINE_MARKUP = re.compile(r"!?\[([^\]\n]*)\]\([^)\n]*\)|[*_`]{1,3}(?=\S)|(?<=\S)[*_`]{1,3}")


# https://www.rfc-editor.org/rfc/rfc2397; a short one may be an example.
_DATA_URI = re.compile(r"data:[\w/.+-]{0,100}(?:;[\w=.+-]{1,100}){0,5};base64,[A-Za-z0-9+/=%_-]{200,}")


def read_text(source: Source) -> Document:
    return Document("", decode_text(source.data))


def read_markdown(source: Source) -> Document:
    """The source text; its title is the first heading."""
    text = _DATA_URI.sub("data:,", decode_text(source.data))
    front_matter = _FRONT_MATTER.match(text)
    heading = _HEADING.search(_FENCE.sub("", text[front_matter.end() :] if front_matter else text))
    words = heading[1].rstrip().rstrip("#") if heading else ""
    return Document(_INLINE_MARKUP.sub(r"\1", words).strip(), text)
