"""New ids: UUIDs of version 7 (RFC 9562, section 5.7) as 32 hexadecimal digits, without hyphens.

They begin with the time, so that what is stored together lies together: with ids that are random throughout, every row
of every run in progress is on a page of its own, and is written with all of that page. 74 bits are random: nobody can
guess one.
"""

import os
import re
import time

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")

# Drawn for many ids at once: each draw releases the interpreter lock, and a busy server then waits to get it back.
_IDS_PER_DRAW = 64
_drawn: list[int] = []

_RANDOM_A = 0xFFF << 64
_RANDOM_B = (1 << 62) - 1
_VERSION_AND_VARIANT = 7 << 76 | 2 << 62


def is_id(text: str) -> bool:
    """Whether it can be an id: clients may choose their own, as path segments need them."""
    return _ID.match(text) is not None


def new_id() -> str:
    """An id that nobody can guess, and that sorts behind those made in earlier milliseconds."""
    if not _drawn:
        random = os.urandom(10 * _IDS_PER_DRAW)
        _drawn.extend(int.from_bytes(random[start : start + 10]) for start in range(0, len(random), 10))
    random_bits = _drawn.pop()
    milliseconds = time.time_ns() // 1_000_000
    return f"{milliseconds << 80 | random_bits & (_RANDOM_A | _RANDOM_B) | _VERSION_AND_VARIANT:032x}"
