"""The AI SDK's stream as a pure function of events: whole recorded streams, and any script of events."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from millstream.wire.ai_sdk import AiSdkEncoder
from strategies import EVENTS, TERMINALS, TEXTS

RECORDED = Path(__file__).parent / "recorded"
BASE = "https://docs.example"

STARTED = RunStarted(
    format=1, run_id="r1", conversation_id="c1", message_id="m1", model="gpt", created=1_700_000_000_000
)
SOURCES = [
    Source(
        n=1, source_id="d1:0", document_id="d1", version="v1", title="Tariff", uri="prices/tariff.pdf", snippet="3 €",
        page_start=2, page_end=2, start=10, end=20, score=0.5,
    ),
    Source(
        n=2, source_id="d2:0", document_id="d2", version="v1", title="News", snippet="4 €",
        uri="https://news.example/3",
    ),
]  # fmt: skip

SCRIPTS: dict[str, list[AnyEvent]] = {
    "everything": [
        STARTED,
        StepStarted(step_id="s1", name="search", label="Searching 2 documents…"),
        *SOURCES,
        StepFinished(step_id="s1", label="Found 2 passages", elapsed_ms=12, detail={"query": "price", "top": None}),
        ReasoningDelta(text="The user\u2028asks "),
        ReasoningDelta(text="for a price."),
        TextDelta(text="Let me see. "),
        ToolStarted(tool_id="t1", name="convert", arguments={"from": "EUR"}),
        ToolFinished(tool_id="t1", output={"rate": 1.5}),
        ToolStarted(tool_id="t2", name="convert", arguments={}),
        ToolFinished(tool_id="t2", error="no such currency"),
        TextDelta(text="🍎 costs\u0085 "),
        TextDelta(text="**3 €**."),
        Citation(n=1, start=12, end=29),
        Citation(n=2, start=12, end=29),
        Data(name="basket", data={"items": 1}, key="k"),
        Data(name="step", data=[None]),
        TextDelta(text=" 🍐 costs 4 €."),
        Citation(n=2, start=30, end=42),
        Citation(n=1, start=0, end=11),
        TextFinished(reason="stop", unsupported=[Unsupported(30, 42, ("4",))]),
        Followups(questions=["And two?"]),
        Usage(input_tokens=10, output_tokens=5, estimated=False, cached_tokens=4),
        RunFinished(),
    ],
    "stopped": [
        STARTED,
        ToolStarted(tool_id="t1", name="convert", arguments={}),
        TextDelta(text="🍎 One. Two."),
        Usage(input_tokens=10, output_tokens=5, estimated=True),
        RunStopped(seen=6),
    ],
    "failed": [
        STARTED,
        StepStarted(step_id="s1", name="write", label="Writing…"),
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


def encoded(events: list[AnyEvent], version: int = 5) -> bytes:
    encoder = AiSdkEncoder(BASE, version)
    return b"".join(encoder.encode(event) for event in timed(events))


def parts(stream: bytes) -> list[dict[str, Any]]:
    """The parts of a stream, each on one line whatever a reader takes for a line's end."""
    *blocks, done, rest = stream.decode().split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    assert all(block.startswith("data: {") and len(block.splitlines()) == 1 for block in blocks)
    return [json.loads(block[6:]) for block in blocks]


@pytest.mark.parametrize("version", [5, 7])
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_run_is_these_bytes(name: str, version: int) -> None:
    assert encoded(SCRIPTS[name], version) == (RECORDED / f"ai_sdk_{name}_{version}.sse").read_bytes()


def utf16(text: str, start: int, end: int) -> str:
    """JavaScript's `text.slice(start, end)`."""
    return text.encode("utf-16-le")[2 * start : 2 * end].decode("utf-16-le")


def texts_of(stream: list[dict[str, Any]]) -> list[str]:
    texts: dict[str, str] = {}
    for part in stream:
        if part["type"] == "text-delta":
            texts[part["id"]] = texts.get(part["id"], "") + part["delta"]
    return list(texts.values())


def test_a_citation_says_what_rests_on_its_source_and_where_its_mark_stands() -> None:
    stream = parts(encoded(SCRIPTS["everything"]))
    texts = texts_of(stream)
    found = []
    for part in stream:
        if part["type"] == "data-citation":
            place = part["data"]
            text = texts[place["part"]]
            mark = utf16(text, place["mark"], place["mark"] + 3) if "mark" in place else None
            found.append((place["sourceId"], utf16(text, place["start"], place["end"]), mark))
    assert found == [
        ("d1:0", "🍎 costs\x85 **3 €**.", "[1]"),
        ("d2:0", "🍎 costs\x85 **3 €**.", "[2]"),
        ("d2:0", "🍐 costs 4 €.", "[2]"),
        ("d1:0", "Let me see.", None),  # found when the answer was checked, too late for a mark
    ]
    [flag] = [part["data"] for part in stream if part["type"] == "data-unsupported"]
    assert utf16(texts[flag["part"]], flag["start"], flag["end"]) == "🍐 costs 4 €."


def test_version_7_cites_in_the_text_part_itself() -> None:
    stream = parts(encoded(SCRIPTS["everything"], 7))
    [_, end] = [part for part in stream if part["type"] == "text-end"]
    text = texts_of(stream)[1]
    cited = [
        (each["source"]["id"], each["citedText"], utf16(text, each["startIndex"], each["endIndex"]))
        for each in end["citations"]
    ]
    assert cited == [
        ("d1:0", "3 €", "🍎 costs\x85 **3 €**."),
        ("d2:0", "4 €", "🍎 costs\x85 **3 €**."),
        ("d2:0", "4 €", "🍐 costs 4 €."),
    ]


@pytest.mark.parametrize(
    ("data", "sent"),
    [
        ({"__proto__": {"a": 1}, "kept": [{"__proto__": 1, "a": 2}]}, {"kept": [{"a": 2}]}),
        ({"constructor": {"prototype": 1}, "kept": {"constructor": "c"}}, {"kept": {"constructor": "c"}}),
    ],
)
def test_keys_for_which_the_sdk_gives_up_are_left_out(data: Any, sent: Any) -> None:
    stream = parts(encoded([STARTED, Data(name="basket", data=data), RunFinished()]))
    assert stream[2]["data"] == sent


# What the first releases take: each key of each type, those in front of "|" must be there. From `ai@5.0.0`.
STRICT = {
    "start": "|messageId messageMetadata",
    "start-step": "|",
    "text-start": "id|providerMetadata",
    "text-delta": "id delta|providerMetadata",
    "text-end": "id|providerMetadata",
    "reasoning-start": "id|providerMetadata",
    "reasoning-delta": "id delta|providerMetadata",
    "reasoning-end": "id|providerMetadata",
    "tool-input-available": "toolCallId toolName input|providerExecuted providerMetadata dynamic",
    "tool-output-available": "toolCallId output|providerExecuted dynamic",
    "tool-output-error": "toolCallId errorText|providerExecuted dynamic",
    "source-url": "sourceId url|title providerMetadata",
    "data-": "data|id transient",
    "message-metadata": "messageMetadata|",
    "finish-step": "|",
    "finish": "|messageMetadata",
    "abort": "|",
    "error": "errorText|",
}


def check_strictly(part: dict[str, Any]) -> None:
    kind = "data-" if part["type"].startswith("data-") else part["type"]
    needed, _, optional = STRICT[kind].partition("|")
    assert set(needed.split()) <= part.keys() - {"type"} <= {*needed.split(), *optional.split()}
    assert all(value is not None for key, value in part.items() if key not in ("data", "input", "output"))


def check_order(stream: list[dict[str, Any]]) -> None:
    """A valid stream: every delta in an open block; every block, step and tool ended; exactly one end."""
    kinds = [part["type"] for part in stream]
    assert kinds[:2] == ["start", "start-step"]
    assert kinds[-1] in ("finish", "abort", "error")
    assert sum(kind in ("finish", "abort", "error") for kind in kinds) == 1
    assert kinds.count("start") == kinds.count("start-step") == kinds.count("finish-step") == 1
    open_blocks: set[str] = set()
    used: set[str] = set()
    tools: set[str] = set()
    steps: set[str] = set()
    for part in stream:
        kind = part["type"]
        if kind in ("text-start", "reasoning-start"):
            assert part["id"] not in used
            used.add(part["id"])
            open_blocks.add(part["id"])
        elif kind in ("text-delta", "reasoning-delta"):
            assert part["id"] in open_blocks
        elif kind in ("text-end", "reasoning-end"):
            open_blocks.remove(part["id"])
        elif kind == "tool-input-available":
            tools.add(part["toolCallId"])
        elif kind in ("tool-output-available", "tool-output-error"):
            tools.remove(part["toolCallId"])
        elif kind == "data-step":
            (steps.add if part["data"]["state"] == "active" else steps.remove)(part["id"])
        elif kind in ("finish-step", "finish", "abort", "error"):
            assert not open_blocks
            assert not steps
            assert not tools


WORDS = st.one_of(st.builds(TextDelta, text=TEXTS), st.builds(ReasoningDelta, text=TEXTS))
SCRIPT = st.builds(
    lambda middle, end: [STARTED, *middle, end], st.lists(st.one_of(WORDS, EVENTS), max_size=25), TERMINALS
)


@given(SCRIPT)
def test_any_script_is_a_stream_that_the_strictest_client_takes(events: list[AnyEvent]) -> None:
    stream = parts(encoded(events))
    check_order(stream)
    for part in stream:
        check_strictly(part)


@given(SCRIPT)
def test_version_7_differs_in_what_only_7_knows(events: list[AnyEvent]) -> None:
    plain, full = parts(encoded(events)), parts(encoded(events, 7))
    check_order(full)
    for part in full:
        part.pop("citations", None)
        part.pop("finishReason", None)
        part.pop("reason", None)
    assert full == plain


@given(SCRIPT)
def test_text_in_is_text_out_apart_from_the_marks(events: list[AnyEvent]) -> None:
    stream = parts(encoded(events))
    texts = texts_of(stream)
    places = [part["data"] for part in stream if part["type"] == "data-citation"]
    for place in sorted((p for p in places if "mark" in p), key=lambda p: (p["part"], p["mark"]), reverse=True):
        text, mark = texts[place["part"]], f"[{place['n']}]"
        units = text.encode("utf-16-le")
        begin, end = 2 * place["mark"], 2 * (place["mark"] + len(mark))
        assert units[begin:end].decode("utf-16-le") == mark
        texts[place["part"]] = (units[:begin] + units[end:]).decode("utf-16-le")
    assert "".join(texts) == "".join(event.text for event in events if isinstance(event, TextDelta))
    reasoning = [part["delta"] for part in stream if part["type"] == "reasoning-delta"]
    assert "".join(reasoning) == "".join(event.text for event in events if isinstance(event, ReasoningDelta))


@given(SCRIPT)
def test_every_place_lies_in_its_text_part(events: list[AnyEvent]) -> None:
    stream = parts(encoded(events))
    lengths = [len(text.encode("utf-16-le")) // 2 for text in texts_of(stream)] or [0]
    for part in stream:
        if part["type"] in ("data-citation", "data-unsupported"):
            place = part["data"]
            assert 0 <= place["start"] <= place["end"] <= lengths[place["part"]]


@given(SCRIPT)
def test_the_same_events_are_the_same_bytes(events: list[AnyEvent]) -> None:
    assert encoded(events) == encoded(events)


def test_a_citation_names_its_page_where_its_source_covers_two() -> None:
    script = [
        msgspec.structs.replace(event, page=3) if isinstance(event, Citation) else event
        for event in SCRIPTS["everything"]
    ]
    assert {part["data"]["page"] for part in parts(encoded(script)) if part["type"] == "data-citation"} == {3}
