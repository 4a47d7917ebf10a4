"""New ids: 128 random bits in hexadecimal."""

import os

# Drawn for many ids at once: each draw releases the interpreter lock, and a busy server then waits to get it back.
_IDS_PER_DRAW = 64
_drawn: list[str] = []


def new_id() -> str:
    """An id that nobody can guess: 32 hexadecimal digits."""
    if not _drawn:
        digits = os.urandom(16 * _IDS_PER_DRAW).hex()
        _drawn.extend(digits[start : start + 32] for start in range(0, len(digits), 32))
    return _drawn.pop()
