"""Responses as a pure function of events: whole recorded streams, and any script of events."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai import omit
from openai._streaming import SSEDecoder
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from millstream.events import (
    AnyEvent,
    Citation,
    Data,
    Followups,
    ReasoningDelta,
    RunFailed,
    RunFinished,
    RunStarted,
    RunStopped,
    Source,
    StepFinished,
    StepStarted,
    TextDelta,
    TextFinished,
    ToolFinished,
    ToolStarted,
    Usage,
    encode_json,
)
from millstream.snapshot import Fold, events_of
from millstream.wire.openai_responses import OpenAIResponsesEncoder
from strategies import EVENTS, TERMINALS, TEXTS

RECORDED = Path(__file__).parent / "recorded"
EVENT_TYPE: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
ENDS = {"response.completed", "response.incomplete", "response.failed"}

STARTED = RunStarted(
    format=1, run_id="r1", conversation_id="c1", message_id="m1", model="gpt", created=1_700_000_000_999, parent_id="q1"
)
HANDBOOK = Source(
    n=1, source_id="s1", document_id="d1", version="v1", title="Handbook", uri="hr/handbook.pdf",
    snippet="Staff get 20 days.", page_start=2, start=3, end=21, score=0.5,
)  # fmt: skip
LAW = Source(
    n=2, source_id="s2", document_id="d2", version="v1", title="Law", uri="https://law.example/a?b=1#c", snippet="…"
)

SCRIPTS: dict[str, list[AnyEvent]] = {
    "everything": [
        RunStarted(
            format=1,
            run_id="r1",
            conversation_id="c1",
            message_id="m1",
            model="gpt",
            created=1_700_000_000_999,
            parent_id="q1",
            follows="r0",
            metadata={"order": "7"},
        ),
        StepStarted(step_id="s1", name="rewrite", label="Reading the question…"),
        StepFinished(step_id="s1", label="Searching for “leave”", elapsed_ms=3),
        StepStarted(step_id="s2", name="search", label="Searching 2 documents…"),
        StepFinished(step_id="s2", label="Found 2 passages", elapsed_ms=12, detail={"query": "leave", "top": None}),
        HANDBOOK,
        LAW,
        ReasoningDelta(text="The user\u2028asks "),
        ReasoningDelta(text="for leave."),
        ToolStarted(tool_id="t1", name="convert", arguments={}),
        ToolFinished(tool_id="t1", error="no such currency"),
        TextDelta(text="Staff get\u0085 "),
        TextDelta(text="20 days"),
        Citation(n=1, start=0, end=18),
        TextDelta(text=". By law, 𝔘 too"),
        Citation(n=2, start=20, end=33),
        TextDelta(text="."),
        Data(name="basket", data={"items": 1}, key="k"),
        Citation(n=1, start=20, end=33),
        TextFinished(reason="stop"),
        Followups(questions=["And interns?"]),
        Usage(input_tokens=10, output_tokens=5, estimated=False, cached_tokens=4, reasoning_tokens=2),
        RunFinished(),
    ],
    "interleaved": [
        STARTED,
        TextDelta(text="Let me look. "),
        StepStarted(step_id="s1", name="search", label="Searching…"),
        StepStarted(step_id="s2", name="search", label="Searching elsewhere…"),
        StepFinished(step_id="s1", label="Found nothing", elapsed_ms=1),
        ReasoningDelta(text="Hm."),
        TextDelta(text="Yes"),
        HANDBOOK,
        TextDelta(text="."),
        TextFinished(reason="length"),
        RunFinished(),
    ],
    "stopped": [
        STARTED,
        HANDBOOK,
        TextDelta(text="One."),
        Citation(n=1, start=0, end=4),
        TextDelta(text=" Two."),
        Citation(n=1, start=5, end=9),
        Usage(input_tokens=10, output_tokens=5, estimated=True),
        RunStopped(seen=4),
    ],
    "failed": [
        STARTED,
        TextDelta(text="It co"),
        Usage(input_tokens=10, output_tokens=1, estimated=True),
        RunFailed(code="model-interrupted", message="The model broke off.", retryable=True, retry_after=1.5),
    ],
    "filtered": [STARTED, TextDelta(text="It co"), TextFinished(reason="content_filter"), RunFinished()],
}
PIECES = st.builds(TextDelta, text=TEXTS) | st.builds(ReasoningDelta, text=TEXTS)
SEARCHES = st.builds(StepStarted, step_id=st.sampled_from(["s1", "s2"]), name=st.just("search"), label=TEXTS)
ANY_SCRIPT = st.builds(
    lambda events, end: [STARTED, *events, end], st.lists(EVENTS | PIECES | SEARCHES, max_size=20), TERMINALS
)


def pieces(events: list[AnyEvent], **options: Any) -> list[bytes]:
    encoder = OpenAIResponsesEncoder(**options)
    return [encoder.encode(event) for event in events]


def encoded(events: list[AnyEvent], **options: Any) -> bytes:
    return b"".join(pieces(events, **options))


def whole(events: list[AnyEvent]) -> dict[str, Any]:
    encoder = OpenAIResponsesEncoder()
    for event in events:
        encoder.encode(event)
    found: dict[str, Any] = json.loads(encode_json(encoder.whole()))
    return found


def frames(stream: bytes) -> list[Any]:
    """What every frame says. It has its type and one line of data, nothing else, and no line is cut."""
    blocks = stream.decode().split("\n\n")
    assert blocks.pop() == ""
    told = []
    for block in blocks:
        kind, data = block.splitlines()
        assert data.startswith("data: ")
        told.append(json.loads(data[6:]))
        assert kind == f"event: {told[-1]['type']}"
    return told


def joined(told: list[Any], kind: str) -> str:
    return "".join(frame["delta"] for frame in told if frame["type"] == kind)


def text_of(events: list[AnyEvent]) -> str:
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    return text[: events[-1].seen] if isinstance(events[-1], RunStopped) else text


def output_text(response: dict[str, Any]) -> str:
    return str(Response.model_validate(response).output_text)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_stream_is_byte_for_byte_as_recorded(name: str) -> None:
    assert encoded(SCRIPTS[name]) == (RECORDED / f"openai_responses_{name}.sse").read_bytes()


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_whole_response_is_byte_for_byte_as_recorded(name: str) -> None:
    recorded = (RECORDED / f"openai_responses_{name}.json").read_bytes()
    assert json.dumps(whole(SCRIPTS[name]), indent=1, ensure_ascii=True).encode() == recorded.rstrip(b"\n")


def test_the_search_is_told_while_it_goes_on() -> None:
    told = [[frame["type"] for frame in frames(piece)] for piece in pieces(SCRIPTS["everything"])]
    assert told[3:5] == [
        [
            "response.output_item.added",
            "response.file_search_call.in_progress",
            "response.file_search_call.searching",
        ],
        ["response.file_search_call.completed"],
    ]
    assert told[5:7] == [[], []], "the results come with the item's end"
    assert told[7][0] == "response.output_item.done"


def test_a_source_is_cited_by_its_address_on_the_web_and_as_a_file_elsewhere() -> None:
    annotations = whole(SCRIPTS["everything"])["output"][-1]["content"][0]["annotations"]
    assert annotations == [
        {"type": "file_citation", "file_id": "d1", "filename": "handbook.pdf", "index": 18},
        {"type": "url_citation", "url": LAW.uri, "title": "Law", "start_index": 20, "end_index": 33},
        {"type": "file_citation", "file_id": "d1", "filename": "handbook.pdf", "index": 33},
    ]


@pytest.mark.parametrize(
    ("code", "theirs"),
    [
        ("model-rate-limited", "rate_limit_exceeded"),
        ("model-content-filter", "invalid_prompt"),
        ("interrupted", "server_error"),
    ],
)
def test_a_failure_has_a_code_of_openais_and_ours_as_its_type(code: str, theirs: str) -> None:
    error = whole([STARTED, RunFailed(code=code, message="No.", retryable=False)])["error"]
    assert error == {"code": theirs, "message": "No.", "type": code}


@pytest.mark.parametrize(
    ("end", "reason", "status"),
    [
        (RunFinished(), "stop", "completed"),
        (RunFinished(), "length", "incomplete"),
        (RunFinished(), "content_filter", "incomplete"),
        (RunStopped(seen=3), "stop", "cancelled"),
        (RunFailed(code="failed", message="No.", retryable=False), "stop", "failed"),
    ],
)
def test_every_end_is_another(end: AnyEvent, reason: Any, status: str) -> None:
    response = whole([STARTED, TextDelta(text="Yes"), TextFinished(reason=reason), end])
    assert response["status"] == status
    assert ("error" in response) == (status == "failed")
    assert ("incomplete_details" in response) == (status == "incomplete")
    assert response["output"][0]["status"] == ("completed" if status == "completed" else "incomplete")


def test_a_response_in_the_making_is_told_as_it_stands() -> None:
    response = whole(SCRIPTS["everything"][:13])
    assert response["status"] == "in_progress"
    assert [item["status"] for item in response["output"]] == ["completed", "completed", "in_progress"]
    assert output_text(response) == "Staff get\u0085 20 days"


@given(events=ANY_SCRIPT)
def test_any_script_is_a_valid_stream(events: list[AnyEvent]) -> None:
    told = frames(encoded(events))
    assert [frame["sequence_number"] for frame in told] == list(range(len(told)))
    assert [frame["type"] for frame in told[:2]] == ["response.created", "response.in_progress"]
    assert [frame["type"] for frame in told if frame["type"] in ENDS] == [told[-1]["type"]]
    opened: dict[int, Any] = {}
    closed: dict[int, Any] = {}
    parts: set[tuple[int, str]] = set()
    for frame in told:
        index, kind = frame.get("output_index"), frame["type"].removeprefix("response.")
        if kind == "output_item.added":
            assert index == len(opened) + len(closed)
            opened[index] = frame["item"]
        elif kind == "output_item.done":
            assert frame["item"]["id"] == opened.pop(index)["id"]
            closed[index] = frame["item"]
            assert index not in {open_index for open_index, _ in parts}
        elif index is not None:
            assert frame["item_id"] == opened[index]["id"]
            if kind.endswith("_part.added"):
                parts.add((index, kind))
            elif kind.endswith("_part.done"):
                parts.remove((index, kind.replace("done", "added")))
    assert (opened, parts) == ({}, set())
    assert told[-1]["response"]["output"] == [closed[index] for index in sorted(closed)]


@settings(deadline=None)
@given(events=ANY_SCRIPT)
def test_every_frame_is_one_of_openais_own_types_and_holds_no_null(events: list[AnyEvent]) -> None:
    for frame in frames(encoded(events)):
        assert EVENT_TYPE.validate_python(frame).type == frame["type"]
        assert b":null" not in encode_json(frame).replace(b" ", b"")


@given(events=ANY_SCRIPT)
def test_the_text_comes_out_as_it_went_in(events: list[AnyEvent]) -> None:
    told = frames(encoded(events))
    said = "".join(event.text for event in events if isinstance(event, TextDelta))
    thought = "".join(event.text for event in events if isinstance(event, ReasoningDelta))
    assert joined(told, "response.output_text.delta") == said
    assert joined(told, "response.reasoning_summary_text.delta") == thought
    assert output_text(told[-1]["response"]) == text_of(events)
    done = [frame["text"] for frame in told if frame["type"] == "response.output_text.done"]
    assert "".join(done) == text_of(events)


@given(events=ANY_SCRIPT)
def test_the_whole_response_is_that_of_the_last_frame(events: list[AnyEvent]) -> None:
    assert whole(events) == frames(encoded(events))[-1]["response"]


@given(events=ANY_SCRIPT, data=st.data())
def test_what_comes_after_a_number_is_the_rest_of_the_same_bytes(events: list[AnyEvent], data: st.DataObject) -> None:
    stream = encoded(events)
    blocks = stream.split(b"\n\n")[:-1]
    last = data.draw(st.integers(-1, len(blocks) + 3))
    assert encoded(events, starting_after=last) == b"".join(block + b"\n\n" for block in blocks[last + 1 :])


@given(events=ANY_SCRIPT, size=st.integers(1, 400))
def test_openais_client_reads_the_same_in_any_pieces(events: list[AnyEvent], size: int) -> None:
    stream = encoded(events)
    cut = (stream[at : at + size] for at in range(0, len(stream), size))
    assert [json.loads(sse.data) for sse in SSEDecoder().iter_bytes(cut)] == frames(stream)


@settings(deadline=None)
@given(events=ANY_SCRIPT)
def test_openais_helper_builds_the_same_response(events: list[AnyEvent]) -> None:
    state: ResponseStreamState[Any] = ResponseStreamState(input_tools=omit, text_format=omit)
    told = frames(encoded(events))
    for frame in told:
        state.handle_event(EVENT_TYPE.validate_python(frame))
    if told[-1]["type"] == "response.completed":
        assert state._completed_response is not None
        assert state._completed_response.output_text == text_of(events)


@given(events=ANY_SCRIPT)
def test_a_snapshot_gives_a_valid_response_of_the_same_words(events: list[AnyEvent]) -> None:
    fold = Fold()
    for seq, event in enumerate(events, 1):
        event.seq = seq
        fold.add(event)
    from_log, from_snapshot = whole(events), whole(list(events_of(fold.snapshot())))
    assert output_text(from_snapshot) == output_text(from_log)
    same = ("id", "status", "created_at", "model", "error", "usage", "metadata", "incomplete_details")
    assert {name: from_snapshot.get(name) for name in same} == {name: from_log.get(name) for name in same}


@pytest.mark.parametrize("name", ["everything", "stopped", "failed", "filtered"])
def test_the_snapshot_of_a_usual_answer_gives_the_very_same_response(name: str) -> None:
    fold = Fold()
    for seq, event in enumerate(SCRIPTS[name], 1):
        event.seq = seq
        fold.add(event)
    assert whole(list(events_of(fold.snapshot()))) == whole(SCRIPTS[name])
