"""From bytes to text: by the byte order mark, by what the bytes can only be, else by what they are most like."""

import codecs
import re

from millstream.documents import UnreadableDocument

# The longer mark first: UTF-32's begins with UTF-16's.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# What people's files are in besides UTF-8. Fewer candidates make fewer wrong guesses.
_CANDIDATES = [
    "cp1252", "cp1250", "cp1251", "koi8_r", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257",
    "shift_jis", "euc_jp", "gb18030", "big5", "euc_kr",
]  # fmt: skip
_SAMPLE = 64_000
_FEW = 5  # bytes beyond ASCII from which no language can be told
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_MAX_CONTROL_SHARE = 0.005


def decode_text(data: bytes, declared: str | None = None) -> str:
    """Text with "\\n" line ends. `declared` is the encoding that the file itself names.

    Raises UnreadableDocument for bytes that are no text.
    """
    text = _decode(data, declared)
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd")


def is_text(head: bytes) -> bool:
    """Whether these first bytes of a file may be text, in any encoding that `decode_text` knows."""
    return _marked(head) is not None or _wide_encoding(head) is not None or not _is_binary(head)


def _decode(data: bytes, declared: str | None) -> str:
    encoding = _marked(data) or _wide_encoding(data[:_SAMPLE])
    if encoding:
        return data.decode(encoding, "replace")
    if _is_binary(data[:_SAMPLE]):
        raise UnreadableDocument("It is not text: there are bytes in it that no text has.")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
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
    return b"\0" in head or len(_CONTROL.findall(head)) > _MAX_CONTROL_SHARE * len(head)


def _known(encoding: str | None) -> str | None:
    """The encoding under the name that browsers give it: what calls itself Latin-1 is Windows-1252."""
    try:
        name = codecs.lookup(encoding).name if encoding else None
    except LookupError:
        return None
    return None if name in ("utf-8", "utf-16") else "cp1252" if name in ("iso8859-1", "ascii") else name


def _likeliest(data: bytes) -> str:
    from charset_normalizer import from_bytes

    # From the first byte that tells something: the head may be all ASCII.
    first = next(i for i, byte in enumerate(data) if byte > 127)
    sample = data[max(0, first - 200) :][:_SAMPLE]
    telling = sum(byte > 127 for byte in sample)
    if telling < _FEW and telling < 0.3 * len(sample):
        return "cp1252"
    best = from_bytes(sample, cp_isolation=_CANDIDATES, threshold=0.3, preemptive_behaviour=False).best()
    # A few odd letters among plain ones are Western until proven otherwise; a text of odd letters is not.
    is_certain = best is not None and (best.coherence > 0 or telling > 0.3 * len(sample))
    return best.encoding if best is not None and is_certain else "cp1252"
