"""The native wire: events as they are stored. NDJSON is the log's own bytes; SSE and WebSocket only wrap them.

Heartbeats have the forms that break no client: an empty line of NDJSON; a comment line of SSE, no blank line after it.
"""

from typing import ClassVar, Protocol

from millstream.events import encode_json


class Framing(Protocol):
    """How frames become the bytes of one stream. An instance belongs to one stream."""

    media_type: ClassVar[str]
    heartbeat: ClassVar[bytes]

    def wrap(self, first_seq: int, frames: bytes) -> bytes:
        """The bytes for consecutive native frames, the first of which is event `first_seq`."""
        ...


class Ndjson:
    """One event a line."""

    media_type: ClassVar[str] = "application/x-ndjson"
    heartbeat: ClassVar[bytes] = b"\n"

    def wrap(self, first_seq: int, frames: bytes) -> bytes:
        return frames


class Sse:
    """WHATWG server-sent events: `id` is the event's seq, so that `Last-Event-ID` is the cursor."""

    media_type: ClassVar[str] = "text/event-stream"
    heartbeat: ClassVar[bytes] = b": ping\n"

    def wrap(self, first_seq: int, frames: bytes) -> bytes:
        return b"".join(
            b"id: %d\ndata: %b\n\n" % (seq, frame) for seq, frame in enumerate(frames[:-1].split(b"\n"), first_seq)
        )


class WebSocketFrames:
    """One text message an event, `{id, event}`; `id` is the client's name for the subscription."""

    def __init__(self, name: str) -> None:
        self._begin = b'{"id":' + encode_json(name) + b',"event":'

    def wrap(self, frames: bytes) -> list[str]:
        return [(self._begin + frame + b"}").decode() for frame in frames[:-1].split(b"\n")]
