"""From bytes to text: by the byte order mark, by what the bytes can only be, else by what they are most like."""

import codecs
import re

from millstream.documents import UnreadableDocument
from millstream.documents.languages import likeliest_encoding

# The longer mark first: UTF-32's begins with UTF-16's.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_EAST_ASIAN = ["shift_jis", "euc_jp", "gb18030", "big5", "euc_kr"]
_UNLIKELY = -4.3  # what is not likelier than this in an encoding of one byte is in one of two
SAMPLE = 64_000
_BEYOND_ASCII = re.compile("[^\x00-\x7f]+")
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_MAX_CONTROL_SHARE = 0.03  # a bell here and there, or the remains of a terminal


def decode_text(data: bytes, declared: str | None = None) -> str:
    """Text with "\\n" line ends. `declared` is the encoding that the file itself names.

    Raises UnreadableDocument for bytes that are no text.
    """
    text = _decode(data, declared)
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd")


def is_text(head: bytes) -> bool:
    """Whether these first bytes of a file may be text, in any encoding that `decode_text` knows."""
    return _marked(head) is not None or _wide_encoding(head) is not None or not _is_binary(head)


def is_utf8(head: bytes) -> bool:
    """Whether the text that begins so, with SAMPLE bytes if it has so many, is UTF-8; a few may be broken."""
    encoding = _marked(head) or _wide_encoding(head)
    if encoding:
        return encoding == "utf-8-sig"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head, final=len(head) < SAMPLE)
    except UnicodeDecodeError:
        return _is_mostly_utf8(head)
    return True


def _decode(data: bytes, declared: str | None) -> str:
    encoding = _marked(data) or _wide_encoding(data[:SAMPLE])
    if encoding:
        return data.decode(encoding, "replace")
    if _is_binary(data[:SAMPLE]):
        raise UnreadableDocument("It is not text: there are bytes in it that no text has.")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        if _is_mostly_utf8(data):
            return data.decode("utf-8", "replace")
        return data.decode(_known(declared) or _likeliest(data), "replace")


def _marked(data: bytes) -> str | None:
    return next((encoding for mark, encoding in _BYTE_ORDER_MARKS if data.startswith(mark)), None)


def _wide_encoding(head: bytes) -> str | None:
    """UTF-16 without a mark: in text of most languages, every other byte is mostly zero."""
    head = head[:4096]
    even, odd = head[::2], head[1::2]
    if len(head) < 4 or not odd:
        return None
    for encoding, high, low in (("utf-16-le", odd, even), ("utf-16-be", even, odd)):
        if high.count(0) > 0.4 * len(high) and low.count(0) < 0.1 * len(low) and not _is_binary(low):
            return encoding
    return None


def _is_binary(head: bytes) -> bool:
    return b"\0" in head or len(_CONTROL.findall(head)) > max(1, _MAX_CONTROL_SHARE * len(head))


def _known(encoding: str | None) -> str | None:
    """The encoding under the name that browsers give it: what calls itself Latin-1 is Windows-1252."""
    try:
        name = codecs.lookup(encoding).name if encoding else None
    except LookupError:
        return None
    return None if name in ("utf-8", "utf-16") else "cp1252" if name in ("iso8859-1", "ascii") else name


def _is_mostly_utf8(data: bytes) -> bool:
    """More characters beyond ASCII are whole than broken: no other text looks like that."""
    text = data.decode("utf-8", "replace")
    broken = text.count("\ufffd") - data.count("\ufffd".encode())
    return sum(map(len, _BEYOND_ASCII.findall(text))) - broken > broken


def _likeliest(data: bytes) -> str:
    # From the first byte that tells something: the head may be all ASCII.
    first = next(i for i, byte in enumerate(data) if byte > 127)
    sample = data[max(0, first - 200) :][:SAMPLE]
    encoding, likelihood = likeliest_encoding(sample)
    return encoding if likelihood > _UNLIKELY else _east_asian(sample) or encoding


def _east_asian(sample: bytes) -> str | None:
    from charset_normalizer import from_bytes

    best = from_bytes(sample, cp_isolation=_EAST_ASIAN, threshold=0.3, preemptive_behaviour=False).best()
    is_certain = best is not None and (best.coherence > 0 or sum(byte > 127 for byte in sample) > 0.3 * len(sample))
    return best.encoding if best is not None and is_certain else None
