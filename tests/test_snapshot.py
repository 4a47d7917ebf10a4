import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.events import (
    AnyEvent,
    Citation,
    Data,
    Event,
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
    encode,
    encode_json,
)
from millstream.snapshot import Fold, Snapshot, events_of, fold
from strategies import EVENTS, TERMINALS, TEXTS

STARTED = RunStarted(format=1, run_id="r", conversation_id="c", message_id="m", model="x", created=7, parent_id="q")
PIECES = st.builds(TextDelta, text=TEXTS) | st.builds(ReasoningDelta, text=TEXTS)


def numbered(*events: Event) -> list[Event]:
    return [msgspec.structs.replace(event, seq=seq, at=seq) for seq, event in enumerate([STARTED, *events], 1)]


def folded(*events: Event) -> Snapshot:
    return fold(numbered(*events))  # type: ignore[arg-type]


def test_a_whole_answer() -> None:
    snapshot = folded(
        StepStarted(step_id="s1", name="search", label="Searching…"),
        StepFinished(step_id="s1", label="Found 1", elapsed_ms=5, detail={"hits": 1}),
        Source(n=1, source_id="s", document_id="d", version="v", title="T", uri="a.md", snippet="…", page_start=3),
        ReasoningDelta(text="Hm"), ReasoningDelta(text="m."), TextDelta(text="Be"), TextDelta(text="cause."),
        Citation(n=1, start=0, end=7), ToolStarted(tool_id="t1", name="sum", arguments={"a": 1}),
        ToolFinished(tool_id="t1", output=2), Data(name="w", key="k", data=1), Data(name="w", key="k", data=2),
        Data(name="w", data=3), TextFinished(reason="stop"), Followups(questions=["And?"]),
        Usage(input_tokens=1, output_tokens=2, estimated=True), RunFinished(),
    )  # fmt: skip
    assert json.loads(encode_json(snapshot)) == {
        "run_id": "r",
        "conversation_id": "c",
        "message_id": "m",
        "parent_id": "q",
        "model": "x",
        "created": 7,
        "state": "finished",
        "seq": 18,
        "message": {
            "content": "Because.",
            "reasoning": "Hmm.",
            "steps": [
                {
                    "step_id": "s1",
                    "name": "search",
                    "label": "Found 1",
                    "state": "done",
                    "elapsed_ms": 5,
                    "detail": {"hits": 1},
                }
            ],
            "sources": [
                {
                    "n": 1,
                    "source_id": "s",
                    "document_id": "d",
                    "version": "v",
                    "title": "T",
                    "uri": "a.md",
                    "snippet": "…",
                    "page_start": 3,
                }
            ],
            "citations": [{"n": 1, "start": 0, "end": 7}],
            "followups": ["And?"],
            "tools": [{"tool_id": "t1", "name": "sum", "arguments": {"a": 1}, "output": 2}],
            "data": [{"name": "w", "key": "k", "data": 2}, {"name": "w", "data": 3}],
            "usage": {"input_tokens": 1, "output_tokens": 2, "estimated": True},
            "reason": "stop",
        },
    }


def test_a_run_that_has_just_begun() -> None:
    assert json.loads(encode_json(folded().message)) == {
        "content": "", "steps": [], "sources": [], "citations": [], "followups": [],
    }  # fmt: skip
    assert folded().state == "running"


def test_a_stopped_answer_is_cut_at_what_was_seen_in_code_points_and_citations_beyond_are_dropped() -> None:
    text = "Ja 🎉e\u0301. Nein."
    events = [
        TextDelta(text=text),
        Citation(n=1, start=0, end=4),
        Citation(n=1, start=0, end=5),
        Citation(n=2, start=2, end=6),
    ]
    snapshot = folded(*events, RunStopped(seen=5))
    assert snapshot.message.content == "Ja 🎉e"
    assert [(citation.start, citation.end) for citation in snapshot.message.citations] == [(0, 4), (0, 5)]
    assert folded(*events).message.content == text, "before the Stop it was whole"
    assert folded(*events, RunStopped(seen=0)).message.citations == []


def test_a_failed_answer_keeps_its_words_and_is_not_complete() -> None:
    snapshot = folded(
        TextDelta(text="Half"), RunFailed(code="model-interrupted", message="Broke off.", retryable=True, retry_after=2)
    )
    assert (snapshot.state, snapshot.message.content, snapshot.message.reason) == ("failed", "Half", None)
    assert snapshot.message.error is not None
    assert msgspec.to_builtins(snapshot.message.error) == {
        "code": "model-interrupted", "message": "Broke off.", "retryable": True, "retry_after": 2,
    }  # fmt: skip


def test_what_refers_to_nothing_is_passed_over() -> None:
    snapshot = folded(StepFinished(step_id="s9", label="?", elapsed_ms=1), ToolFinished(tool_id="t9", output=1))
    assert (snapshot.seq, snapshot.message.steps, snapshot.message.tools) == (3, [], None)


def test_a_fold_begins_with_run_started() -> None:
    with pytest.raises(ValueError, match=r"run\.started"):
        Fold().snapshot()


def test_an_unknown_event_is_passed_over_and_the_cursor_stands_behind_it() -> None:
    folding = Fold()
    folding.add_frames(encode(numbered()[0]) + b'{"type":"hologram","seq":2,"at":2}\n')
    assert folding.snapshot().seq == 2
    folding.add_frames(encode(TextDelta(seq=3, at=3, text="word")))
    assert (folding.snapshot().seq, folding.snapshot().message.content) == (3, "word")


@given(events=st.lists(EVENTS | st.builds(TextDelta, text=st.text()), max_size=15), end=TERMINALS, data=st.data())
def test_events_at_or_below_the_cursor_are_passed_over_and_a_snapshot_is_never_changed_later(
    events: list[Event], end: Event, data: st.DataObject
) -> None:
    all_events = numbered(*events, end)
    folding, taken = Fold(), []
    for seq in range(1, len(all_events) + 1):
        again = data.draw(st.integers(0, seq))
        folding.add_frames(b"".join(map(encode, all_events[again:seq])) if again < seq else b"")
        if folding.seq:
            taken.append((folding.snapshot(), encode_json(folding.snapshot())))
        if folding.seq < seq:
            folding.add_frames(b"".join(map(encode, all_events[folding.seq : seq])))
    assert folding.snapshot() == fold(all_events)  # type: ignore[arg-type]
    for snapshot, frozen in taken:
        assert encode_json(snapshot) == frozen


@given(events=st.lists(EVENTS | PIECES, max_size=20), end=TERMINALS | st.none())
def test_the_events_of_a_snapshot_fold_to_it(events: list[AnyEvent], end: AnyEvent | None) -> None:
    written = sum(len(event.text) for event in events if isinstance(event, TextDelta))
    within = [event for event in events if not isinstance(event, Citation) or event.end <= written]
    snapshot = folded(*within, *([] if end is None else [end]))
    again = list(events_of(snapshot))
    assert fold(again) == msgspec.structs.replace(snapshot, seq=again[-1].seq)
    assert [event.seq for event in again[:-1]] == list(range(1, len(again)))
    assert again[-1].seq == (len(again) if end is None else snapshot.seq)
