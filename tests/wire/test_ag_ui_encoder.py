"""AG-UI as a pure function of events: whole recorded streams, and any script of events."""

import json
from pathlib import Path
from typing import Any

import pytest
from ag_ui.core import Event as AgUiEvent
from hypothesis import given
from hypothesis import strategies as st
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
    Unsupported,
    Usage,
)
from millstream.wire.ag_ui import AgUiEncoder, knows_1_0
from strategies import EVENTS, TERMINALS, TEXTS

RECORDED = Path(__file__).parent / "recorded"
AG_UI = TypeAdapter[Any](AgUiEvent)

STARTED = RunStarted(
    format=1, run_id="r1", conversation_id="c1", message_id="m1", model="gpt", created=1_700_000_000_000
)
SOURCES = [
    Source(
        n=n, source_id=f"s{n}", document_id="d1", version="v1", title="Tariff", uri="tariff.pdf", snippet="3 €",
        page_start=n, score=0.5,
    )
    for n in (1, 2)
]  # fmt: skip

SCRIPTS: dict[str, list[AnyEvent]] = {
    "everything": [
        STARTED,
        StepStarted(step_id="s1", name="search", label="Searching 2 documents…"),
        *SOURCES,
        StepFinished(step_id="s1", label="Found 2 passages", elapsed_ms=12, detail={"query": "price", "top": None}),
        ReasoningDelta(text="The user\u2028asks "),
        ReasoningDelta(text="for a price."),
        ToolStarted(tool_id="t1", name="convert", arguments={"from": "EUR"}),
        ToolFinished(tool_id="t1", output={"rate": 1.5}),
        ToolStarted(tool_id="t2", name="convert", arguments={}),
        ToolFinished(tool_id="t2", error="no such currency"),
        TextDelta(text="It costs\u0085 "),
        TextDelta(text="**3 €**."),
        Citation(n=1, start=0, end=18),
        Data(name="basket", data={"items": 1}, key="k"),
        Citation(n=2, start=0, end=18),
        TextFinished(reason="stop", unsupported=[Unsupported(0, 2)]),
        Followups(questions=["And two?"]),
        Usage(input_tokens=10, output_tokens=5, estimated=False, cached_tokens=4),
        RunFinished(),
    ],
    "stopped": [
        STARTED,
        StepStarted(step_id="s1", name="write", label="Writing…"),
        TextDelta(text="One. Two."),
        Citation(n=1, start=0, end=4),
        Citation(n=1, start=5, end=9),
        Usage(input_tokens=10, output_tokens=5, estimated=True),
        RunStopped(seen=4),
    ],
    "failed": [
        STARTED,
        StepStarted(step_id="s1", name="ask", label="Asking…"),
        ReasoningDelta(text="Hm"),
        TextDelta(text="It co"),
        Usage(input_tokens=10, output_tokens=1, estimated=True),
        RunFailed(code="model-interrupted", message="The model broke off.", retryable=True, retry_after=1.5),
    ],
    "filtered": [STARTED, TextFinished(reason="content_filter"), RunFinished()],
}


def timed(events: list[AnyEvent]) -> list[AnyEvent]:
    for seq, event in enumerate(events, 1):
        event.seq, event.at = seq, 10 * (seq - 1)
    return events


def encoded(events: list[AnyEvent], *, modern: bool = True) -> bytes:
    encoder = AgUiEncoder("thread", "run", modern=modern)
    return b"".join(encoder.encode(event) for event in timed(events))


def frames(stream: bytes) -> list[dict[str, Any]]:
    """The events of a stream, as the client cuts it: at "\\n\\n" alone."""
    *blocks, rest = stream.decode().split("\n\n")
    assert rest == ""
    assert all(block.startswith("data: {") and len(block.splitlines()) == 1 for block in blocks)
    return [json.loads(block[6:]) for block in blocks]


@pytest.mark.parametrize("name", [*SCRIPTS, "everything-old", "stopped-old"])
def test_a_run_is_these_bytes(name: str) -> None:
    stream = encoded(SCRIPTS[name.removesuffix("-old")], modern=not name.endswith("-old"))
    assert stream == (RECORDED / f"ag_ui_{name}.sse").read_bytes()


@pytest.mark.parametrize(
    ("declared", "knows"),
    [(None, False), ("0.9", False), ("0.0", False), ("1.0", True), ("1.7", True), ("10.0", True), ("2", True)],
)
def test_the_declared_version_says_what_a_client_takes(declared: str | None, knows: bool) -> None:
    assert knows_1_0(declared) is knows


def test_steps_of_one_name_that_run_at_the_same_time_are_told_apart() -> None:
    events: list[AnyEvent] = [STARTED]
    events += [StepStarted(step_id=f"s{i}", name="search", label="…") for i in (1, 2, 3)]
    events += [StepFinished(step_id=f"s{i}", label=f"{i}", elapsed_ms=0) for i in (1, 2, 3)]
    sent = [event for event in frames(encoded([*events, RunFinished()])) if event["type"].startswith("STEP")]
    names = [event["stepName"] for event in sent]
    assert len(set(names)) == 3
    assert names[:3] == names[3:]


def test_a_source_sent_again_replaces_the_first() -> None:
    events = [STARTED, *SOURCES, *SOURCES, RunFinished()]
    sent = [event for event in frames(encoded(events)) if event["type"] == "ACTIVITY_DELTA"]
    assert [(event["patch"][0]["op"], event["patch"][0]["path"]) for event in sent] == [
        ("add", "/sources/-"),
        ("replace", "/sources/0"),
        ("replace", "/sources/1"),
    ]


def test_a_tool_call_has_one_result_and_only_if_it_was_made() -> None:
    results = [ToolFinished(tool_id=tool_id, output=1) for tool_id in ("t1", "t1", "t2")]
    events: list[AnyEvent] = [STARTED, ToolStarted(tool_id="t1", name="f", arguments={}), *results, RunFinished()]
    sent = [event["toolCallId"] for event in frames(encoded(events)) if event["type"] == "TOOL_CALL_RESULT"]
    assert sent == ["m1-t1"]


WORDS = st.one_of(st.builds(TextDelta, text=TEXTS), st.builds(ReasoningDelta, text=TEXTS))


@given(st.lists(EVENTS | WORDS, max_size=25), TERMINALS, st.booleans())
def test_any_run_is_a_valid_stream_with_the_same_words(events: list[Any], terminal: Any, modern: bool) -> None:
    stream = encoded([STARTED, *events, terminal], modern=modern)
    sent = frames(stream)
    verify(sent)
    assert no_nulls(sent)
    for event in sent:
        AG_UI.validate_python(event)
    assert said(sent, "TEXT_MESSAGE_CONTENT") == "".join(e.text for e in events if isinstance(e, TextDelta))
    thought = "".join(e.text for e in events if isinstance(e, ReasoningDelta))
    assert said(sent, "REASONING_MESSAGE_CONTENT") == (thought if modern else "")
    assert encoded([STARTED, *events, terminal], modern=modern) == stream


def said(sent: list[dict[str, Any]], kind: str) -> str:
    return "".join(event["delta"] for event in sent if event["type"] == kind)


def no_nulls(sent: list[dict[str, Any]]) -> bool:
    """No null stands where a field could be left out: an application's own values may be null."""
    return all(value is not None for event in sent for name, value in event.items() if name != "value")


def verify(sent: list[dict[str, Any]]) -> None:
    """The rules that AG-UI's client enforces on the order of events."""
    types = [event["type"] for event in sent]
    assert types[0] == "RUN_STARTED"
    assert [kind in ("RUN_FINISHED", "RUN_ERROR") for kind in types] == [False] * (len(types) - 1) + [True]
    assert types.count("RUN_STARTED") == 1
    open_blocks: set[tuple[str, str]] = set()
    unanswered: list[str] = []
    for event in sent:
        block = _block_of(event)
        if event["type"] == "TOOL_CALL_START":
            unanswered.append(event["toolCallId"])
        elif event["type"] == "TOOL_CALL_RESULT":
            unanswered.remove(event["toolCallId"])
        if event["type"].endswith(("_START", "STEP_STARTED")):
            assert block not in open_blocks
            open_blocks.add(block)
        elif event["type"].endswith(("_CONTENT", "_ARGS")):
            assert block in open_blocks
        elif event["type"].endswith(("_END", "STEP_FINISHED")):
            open_blocks.remove(block)
    assert not open_blocks


def _block_of(event: dict[str, Any]) -> tuple[str, str]:
    for name in ("stepName", "toolCallId", "messageId"):
        if name in event:
            return event["type"].rpartition("_")[0], event[name]
    return "", ""
