"""The native framings as pure functions of stored frames."""

import json

from hypothesis import given
from hypothesis import strategies as st

from millstream.events import TextDelta, encode
from millstream.wire.native import Ndjson, Sse, WebSocketFrames
from strategies import EVENTS

FRAMES = b'{"type":"text.delta","seq":7,"at":3,"text":"a"}\n{"type":"text.delta","seq":8,"at":4,"text":"b"}\n'


def test_ndjson_is_the_stored_bytes_themselves() -> None:
    assert Ndjson().wrap(7, FRAMES) is FRAMES


def test_sse_ids_are_the_seqs_of_the_events_and_lines_end_in_lf_only() -> None:
    assert Sse().wrap(7, FRAMES) == (
        b'id: 7\ndata: {"type":"text.delta","seq":7,"at":3,"text":"a"}\n\n'
        b'id: 8\ndata: {"type":"text.delta","seq":8,"at":4,"text":"b"}\n\n'
    )


def test_websocket_messages_carry_the_subscriptions_name_and_one_event_each() -> None:
    assert WebSocketFrames('q"1').wrap(FRAMES) == [
        '{"id":"q\\"1","event":{"type":"text.delta","seq":7,"at":3,"text":"a"}}',
        '{"id":"q\\"1","event":{"type":"text.delta","seq":8,"at":4,"text":"b"}}',
    ]


def test_heartbeats_have_the_forms_that_break_no_client() -> None:
    assert Ndjson().heartbeat == b"\n"
    assert Sse().heartbeat == b": ping\n"


def test_line_ends_of_unicode_never_stand_raw_in_a_frame() -> None:
    frame = encode(TextDelta(seq=2, at=0, text="a\u2028b\u2029c\u0085d\r\ne"))
    assert frame == b'{"type":"text.delta","seq":2,"at":0,"text":"a\\u2028b\\u2029c\\u0085d\\r\\ne"}\n'
    assert len(frame.decode().splitlines()) == 1


@given(st.lists(EVENTS, min_size=1, max_size=6), st.integers(1, 1000))
def test_every_framing_says_the_same(events: list[object], first: int) -> None:
    for seq, event in enumerate(events, first):
        event.seq, event.at = seq, 0  # type: ignore[attr-defined]
    frames = b"".join(encode(event) for event in events)  # type: ignore[arg-type]
    blocks = Sse().wrap(first, frames).split(b"\n\n")
    assert blocks.pop() == b""
    as_sse = []
    for block in blocks:
        name, data = block.split(b"\n")
        as_sse.append((int(name.removeprefix(b"id: ")), json.loads(data.removeprefix(b"data: "))))
    as_lines = [json.loads(line) for line in Ndjson().wrap(first, frames).decode().splitlines()]
    assert [event for _, event in as_sse] == as_lines
    assert [seq for seq, _ in as_sse] == [event["seq"] for event in as_lines]
    assert [json.loads(message) for message in WebSocketFrames("x").wrap(frames)] == [
        {"id": "x", "event": event} for event in as_lines
    ]
