import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream import events
from millstream.events import (
    AnyEvent,
    Citation,
    Event,
    RunFailed,
    RunFinished,
    RunStarted,
    Source,
    TextDelta,
    decode,
    decode_all,
    encode,
    encode_json,
)
from strategies import EVENTS, TERMINALS, TEXTS

TABLE = {
    "run.started", "step.started", "step.finished", "source", "reasoning.delta", "text.delta", "citation",
    "tool.started", "tool.finished", "data", "text.finished", "followups", "usage", "run.finished", "run.stopped",
    "run.failed",
}  # fmt: skip


def test_the_vocabulary_is_the_table_of_the_design() -> None:
    assert {kind.__struct_config__.tag for kind in AnyEvent.__args__} == TABLE
    assert events._KNOWN == TABLE


@given(event=EVENTS | TERMINALS, seq=st.integers(1, 2**40), at=st.integers(0, 2**40))
def test_what_is_encoded_is_decoded_to_the_same_event(event: Event, seq: int, at: int) -> None:
    numbered = msgspec.structs.replace(event, seq=seq, at=at)
    assert decode(encode(numbered)) == numbered


@given(text=TEXTS)
def test_a_frame_is_one_line_for_every_reader(text: str) -> None:
    frame = encode(TextDelta(seq=1, at=0, text=text))
    assert len(frame.decode().splitlines()) == 1, "also for a reader that splits at Unicode line ends"
    assert frame.endswith(b"}\n")
    assert json.loads(frame)["text"] == text


def test_unicode_line_ends_are_escaped_and_nothing_else_is() -> None:
    text = "a\u0085b\u2028c\u2029dé😀"
    assert encode_json(text) == '"a\\u0085b\\u2028c\\u2029dé😀"'.encode()


@given(event=EVENTS | TERMINALS)
def test_a_field_without_a_value_is_left_out_never_null(event: Event) -> None:
    values = msgspec.structs.asdict(event)
    sent = json.loads(encode(msgspec.structs.replace(event, seq=1, at=0)))
    assert sent["type"] == event.__struct_config__.tag
    application_data = {"data"}
    for name, value in values.items():
        if name not in {"seq", "at"} | application_data:
            assert (name in sent) == (value is not None)


def test_zero_is_a_value() -> None:
    assert json.loads(encode(Citation(seq=1, at=0, n=1, start=0, end=0))) == {
        "type": "citation", "seq": 1, "at": 0, "n": 1, "start": 0, "end": 0,
    }  # fmt: skip


def test_a_reader_passes_over_types_that_it_does_not_know() -> None:
    assert decode(b'{"type":"hologram","seq":7,"at":1,"beam":[1,2]}') is None
    assert decode('{"type":"hologram"}') is None


UNKNOWN = b'{"type":"hologram","seq":7,"at":1,"beam":[1,2]}\n'


@given(frames=st.lists((EVENTS | TERMINALS).map(encode) | st.just(UNKNOWN), max_size=8))
def test_many_frames_at_once_are_decoded_as_each_alone(frames: list[bytes]) -> None:
    assert decode_all(b"".join(frames)) == [decode(frame) for frame in frames]


def test_one_that_is_not_an_event_is_an_error_among_many_too() -> None:
    for others in (b"", UNKNOWN):
        with pytest.raises(ValueError):  # noqa: PT011
            decode_all(others + b'{"type":"text.delta","seq":1,"at":0}\n')


def test_a_reader_passes_over_fields_that_it_does_not_know() -> None:
    frame = b'{"type":"text.delta","seq":2,"at":1,"text":"a","colour":{"r":1}}'
    assert decode(frame) == TextDelta(seq=2, at=1, text="a")


@pytest.mark.parametrize(
    "frame",
    [b"", b"not json", b'{"type":"text.delta","seq":1,"at":0}', b'{"seq":1}', b'{"type":"citation","n":"one"}', b"[]"],
)
def test_what_is_not_an_event_is_an_error(frame: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        decode(frame)


def test_events_as_they_are_stored() -> None:
    started = RunStarted(seq=1, at=0, format=1, run_id="r", conversation_id="c", message_id="m", model="x", created=5)
    assert encode(started) == (
        b'{"type":"run.started","seq":1,"at":0,"format":1,"run_id":"r","conversation_id":"c","message_id":"m",'
        b'"model":"x","created":5}\n'
    )
    assert encode(RunFinished(seq=9, at=77)) == b'{"type":"run.finished","seq":9,"at":77}\n'
    assert encode(RunFailed(seq=9, at=77, code="c", message="m", retryable=False, durable_seq=8)) == (
        b'{"type":"run.failed","seq":9,"at":77,"code":"c","message":"m","retryable":false,"durable_seq":8}\n'
    )
    source = Source(
        seq=2, at=1, n=1, source_id="s", document_id="d", version="v", title="T", uri="a.md", snippet="…", page_start=3
    )
    assert json.loads(encode(source)).keys() == {
        "type", "seq", "at", "n", "source_id", "document_id", "version", "title", "uri", "snippet", "page_start",
    }  # fmt: skip
