import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from millstream.models.sse import SSESplitter


def split(*chunks: bytes) -> list[bytes]:
    splitter = SSESplitter()
    return [data for chunk in chunks for data in splitter.feed(chunk)] + splitter.flush()


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    ends = sorted(place % (len(stream) + 1) for place in places)
    return [stream[start:end] for start, end in zip([0, *ends], [*ends, len(stream)], strict=True)]


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b'data: {"a":1}\n\ndata: [DONE]\n\n', [b'{"a":1}', b"[DONE]"]),
        (b"data:tight\n\n", [b"tight"]),
        (b"data:  two spaces\n\n", [b" two spaces"]),
        (b"data: one\ndata: two\n\n", [b"one\ntwo"]),
        (b"data: one\ndata\ndata: three\n\n", [b"one\n\nthree"]),
        (b": comment\n\n: another\ndata: x\n\n", [b"x"]),
        (b"event: ping\nid: 7\nretry: 10\n\n", []),
        (b"event: delta\nid: 7\ndata: x\n\n", [b"x"]),
        (b"data:\n\ndata: \n\n", []),
        (b"database: no\n\n", []),
        (b"\n\n\ndata: x\n\n\n\n", [b"x"]),
        (b"\xef\xbb\xbfdata: after a BOM\n\n", [b"after a BOM"]),
        (b"data: no blank line", [b"no blank line"]),
        (b"data: CRLF\r\n\r\ndata: again\r\n\r\n", [b"CRLF", b"again"]),
        (b"data: CR\r\rdata: again\r\r", [b"CR", b"again"]),
        (b"data: mixed\r\n\ndata: ends\n\r\ndata: here\r\r\n", [b"mixed", b"ends", b"here"]),
        ("data: “ü” 🦊\n\n".encode(), ["“ü” 🦊".encode()]),
        (b"", []),
    ],
)
def test_events_are_their_data(stream: bytes, events: list[bytes]) -> None:
    assert split(stream) == events
    assert split(*(stream[i : i + 1] for i in range(len(stream)))) == events


def test_an_event_comes_as_soon_as_its_blank_line_does() -> None:
    splitter = SSESplitter()
    assert splitter.feed(b"data: x\r\n") == []
    assert splitter.feed(b"\r") == [b"x"]
    assert splitter.feed(b"\ndata: y\r\n\r\n") == [b"y"]


def test_what_waits_for_its_end_is_counted() -> None:
    splitter = SSESplitter()
    for _ in range(10):
        splitter.feed(b"data: " + b"x" * 94)
    assert splitter.pending_bytes == 1000
    splitter.feed(b"\n\n")
    assert splitter.pending_bytes == 0


lines = st.sampled_from(
    [
        b"data: {}",
        b"data:x",
        b"data",
        b"data: ",
        b": c",
        b"event: e",
        b"",
        b"",
        b"data: \xf0\x9f\xa6\x8a",
        b"\xef\xbb\xbf",
    ]
)
endings = st.sampled_from([b"\n", b"\r\n", b"\r"])
streams = st.lists(st.tuples(lines, endings), max_size=30).map(lambda parts: b"".join(a + b for a, b in parts))


@given(stream=streams | st.binary(max_size=60), places=st.lists(st.integers(0, 10_000), max_size=12))
@example(stream=b"data: a\n\n\r\n", places=[9])
@example(stream=b"data: x\n\ndata: a\r\rdata: b\n\n", places=[9])
def test_any_chunking_gives_the_same_events(stream: bytes, places: list[int]) -> None:
    assert split(*cut(stream, places)) == split(stream)
