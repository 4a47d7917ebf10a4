"""Server-Sent Events, bytes in and data payloads out, without I/O.

Format: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
Only the `data` field is of interest here: event names, ids, retry and comments are passed over.
"""

import re

BOM = b"\xef\xbb\xbf"
_LF = ord("\n")
_NAMES = (b"data", b"event", b"id", b"retry")
_FIELD = re.compile(rb"(?:data|event|id|retry)?:|(?:data|event|id|retry)?$")


class SSESplitter:
    """Cuts a byte stream, however it is chunked, into the data of its events.

    Lines end in LF, CRLF or CR. Events without data are passed over, as the standard says, and so are lines that are
    no field of an event: `is_foreign` when there was one.
    """

    def __init__(self) -> None:
        # The start of an event whose blank line has not come yet, and its size in bytes.
        self._pending: list[bytes] = []
        self.pending_bytes = 0
        self.is_foreign = False
        self._at_start = True
        self._after_cr = False
        self._between_events = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """The data of every event that `chunk` completes, in order; lines of one event are joined by LF."""
        if (
            # `data: …` and a blank line: what nearly every read of a paced model is.
            self._between_events
            and chunk.startswith(b"data: ")
            and chunk.find(b"\n") == len(chunk) - 2 > 6
            and chunk[-1] == _LF
            and chunk.find(b"\r") < 0
        ):
            return [chunk[6:-2]]
        events = self._cut(chunk)
        self._between_events = not (self._at_start or self._pending or self._after_cr)
        return events

    def _cut(self, chunk: bytes) -> list[bytes]:
        if self._at_start:
            chunk = self._without_bom(chunk)
        if self._after_cr and chunk:
            # The CR that ended the last chunk was the first half of a CRLF.
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        if b"\r" in chunk:
            self._after_cr = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if self._pending:
            if b"\n" not in chunk:
                # Nothing can be complete yet: keeping the pieces apart makes a huge event cost linear time.
                self._keep(chunk)
                return []
            self._pending.append(chunk)
            chunk = b"".join(self._pending)
            self._pending.clear()
            self.pending_bytes = 0
        end = chunk.rfind(b"\n\n")
        self._keep(chunk[end + 2 :] if end >= 0 else chunk)
        if end < 0:
            return []
        events = chunk[6:end].split(b"\n\ndata: ")
        # Else every event is one line of data, as models send it, and nothing was looked at one by one.
        if not chunk.startswith(b"data: ") or b"".join(events).find(b"\n") >= 0:
            events = [self._data(block.split(b"\n")) for block in chunk[:end].split(b"\n\n")]
        return [data for data in events if data] if b"" in events else events

    def flush(self) -> list[bytes]:
        """The data of a last event whose blank line never came. The splitter is not fed afterwards."""
        lines = b"".join(self._pending).split(b"\n")
        self._pending.clear()
        # What was cut in the first bytes, or in the name of a field, was going to be none that is known otherwise.
        if self._at_start or any(name.startswith(lines[-1]) for name in _NAMES):
            lines.pop()
        data = self._data(lines)
        return [data] if data else []

    def _keep(self, piece: bytes) -> None:
        if piece:
            self._pending.append(piece)
            self.pending_bytes += len(piece)

    def _without_bom(self, chunk: bytes) -> bytes:
        chunk = b"".join((*self._pending, chunk))
        self._pending.clear()
        self.pending_bytes = 0
        if len(chunk) < len(BOM) and BOM.startswith(chunk):
            self._keep(chunk)
            return b""
        self._at_start = False
        return chunk.removeprefix(BOM)

    def _data(self, lines: list[bytes]) -> bytes:
        data = []
        for line in lines:
            if line.startswith(b"data:"):
                data.append(line[5:].removeprefix(b" "))
            elif line == b"data":
                data.append(b"")
            elif not _FIELD.match(line):
                self.is_foreign = True
        return b"\n".join(data)
