"""How much of the machine one file may take while it is read."""

import msgspec

MEGABYTE = 1_000_000


class Limits(msgspec.Struct, frozen=True):
    """Beyond any of these a file is reported and not read.

    `seconds` are of CPU time; a file may take CLOCK_FACTOR times as many of the clock. `memory` is the address space of
    the reading process, with its libraries. `unpacked` is what all parts of an Office file may hold once decompressed.
    """

    file_mb: float = 100
    seconds: float = 60
    memory_mb: int = 1024
    pages: int = 10_000
    unpacked_mb: float = 500
    characters: int = 20_000_000


CLOCK_FACTOR = 5
