"""The AI Chat Protocol as a pure function of events: whole recorded streams, and any script of events."""

import json
from pathlib import Path
from typing import Any

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
    encode_json,
)
from millstream.wire.ai_chat import THOUGHTS_BYTES, AIChatEncoder
from strategies import EVENTS, JSON, TERMINALS, TEXTS

RECORDED = Path(__file__).parent / "recorded"

STARTED = RunStarted(
    format=1, run_id="r1", conversation_id="c1", message_id="m1", model="gpt", created=1_700_000_000_000
)


def source(n: int, uri: str = "price list.pdf", page: int | None = 2) -> Source:
    return Source(
        n=n, source_id=f"s{n}", document_id="d1", version="v1", title="Prices", uri=uri, snippet=f"It costs {n} €.",
        page_start=page, start=5, end=30,
    )  # fmt: skip


SCRIPTS: dict[str, list[AnyEvent]] = {
    "everything": [
        STARTED,
        StepStarted(step_id="s1", name="search", label="Searching 2 documents…"),
        StepFinished(step_id="s1", label="Found 3 passages", elapsed_ms=12, detail={"query": "price", "top": None}),
        source(1),
        source(2),
        source(3, "a[1].html", None),
        ReasoningDelta(text="They ask\u2028"),
        ReasoningDelta(text="the price."),
        ToolStarted(tool_id="t1", name="convert", arguments={"from": "EUR"}),
        ToolFinished(tool_id="t1", output={"rate": 1.5}),
        ToolStarted(tool_id="t2", name="convert", arguments={}),
        ToolFinished(tool_id="t2", error="no such currency"),
        TextDelta(text="It costs\u0085 "),
        TextDelta(text="**3 €**"),
        Citation(n=1, start=0, end=17),
        Citation(n=2, start=0, end=17),
        Citation(n=3, start=0, end=17),
        TextDelta(text=", or less."),
        Data(name="basket", data={"items": 1}, key="k"),
        Data(name="basket", data={"items": 2}, key="k"),
        Citation(n=3, start=18, end=20),
        TextFinished(reason="stop", unsupported=[Unsupported(19, 27, ("3",))]),
        Followups(questions=["And two?"]),
        Usage(input_tokens=10, output_tokens=5, estimated=False, cached_tokens=4),
        RunFinished(),
    ],
    "stopped": [
        STARTED,
        source(1),
        TextDelta(text="One."),
        Citation(n=1, start=0, end=4),
        TextDelta(text=" Two."),
        Citation(n=1, start=5, end=9),
        Usage(input_tokens=10, output_tokens=5, estimated=True),
        RunStopped(seen=4),
    ],
    "failed": [
        STARTED,
        StepStarted(step_id="s1", name="ask", label="Asking…"),
        TextDelta(text="It co"),
        RunFailed(code="model-interrupted", message="The model broke off.", retryable=True, retry_after=1.5),
    ],
    "filtered": [STARTED, TextDelta(text="It"), TextFinished(reason="content_filter"), RunFinished()],
}


def encoder_of(**options: Any) -> AIChatEncoder:
    return AIChatEncoder(**{"base": "http://here", "session_state": {"id": 7}, **options})


def encoded(events: list[AnyEvent], **options: Any) -> bytes:
    encoder = encoder_of(**options)
    return b"".join(encoder.encode(event) for event in events)


def whole(events: list[AnyEvent], **options: Any) -> dict[str, Any]:
    encoder = encoder_of(**options)
    for event in events:
        encoder.encode(event)
    found: dict[str, Any] = json.loads(encode_json(encoder.whole()))
    return found


def lines(stream: bytes) -> list[dict[str, Any]]:
    """The lines, as the clients cut them: at "\\n" alone."""
    *found, rest = stream.decode().split("\n")
    assert rest == ""
    assert all(len(line.splitlines()) == 1 for line in found)
    return [json.loads(line) for line in found]


def merged(sent: list[dict[str, Any]]) -> dict[str, Any]:
    """What the demo's front end makes of the lines (Chat.tsx, handleAsyncRequest)."""
    answer: dict[str, Any] = {}
    words = ""
    for line in sent:
        if line.get("context", {}).get("data_points"):
            answer = {**line, "message": line["delta"]}
        elif line.get("delta", {}).get("content"):
            words += line["delta"]["content"]
        elif line.get("context"):
            answer["context"] = {**answer["context"], **line["context"]}
    return {**answer, "message": {"content": words, "role": answer["message"]["role"]}}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_run_is_these_bytes(name: str) -> None:
    assert encoded(SCRIPTS[name]) == (RECORDED / f"ai_chat_{name}.jsonl").read_bytes()


@pytest.mark.parametrize("name", ["everything", "stopped", "filtered"])
def test_a_whole_run_is_these_bytes(name: str) -> None:
    expected = (RECORDED / f"ai_chat_{name}.json").read_bytes()
    assert encode_json(whole(SCRIPTS[name])) + b"\n" == expected


def test_the_demo_is_told_of_an_error_in_words() -> None:
    assert lines(encoded(SCRIPTS["failed"], errors_as_text=True))[-1] == {"error": "The model broke off."}


def test_followups_that_are_not_wanted_are_left_out() -> None:
    assert b"followup" not in encoded(SCRIPTS["everything"], followups=False)
    assert "followup_questions" not in whole(SCRIPTS["everything"], followups=False)["context"]


def test_without_a_session_state_there_is_none() -> None:
    assert b"ession" not in encoded(SCRIPTS["everything"], session_state=None)


def test_each_citation_of_the_text_is_among_those_of_the_sources() -> None:
    made = whole(SCRIPTS["everything"])
    assert made["message"]["content"].count("[") == 2  # two passages of one page are one mark, a late citation is none
    for mark in ("price list.pdf#page=2", "a%5B1%5D.html"):
        assert f"[{mark}]" in made["message"]["content"]
        assert mark in made["context"]["data_points"]["citations"]
        assert any(text.startswith(f"{mark}: ") for text in made["context"]["data_points"]["text"])


def test_citations_say_where_in_the_marked_text_their_statement_is() -> None:
    made = whole(SCRIPTS["everything"])
    said = [made["message"]["content"][one["start"] : one["end"]] for one in made["context"]["citations"]]
    assert said == ["It costs\u0085 **3 €**"] * 3 + [" o"]
    flag = made["context"]["unsupported"][0]
    assert made["message"]["content"][flag["start"] : flag["end"]] == "or less."


def test_a_source_sent_again_replaces_the_first() -> None:
    made = whole([STARTED, source(1), source(1, "b.md", None), RunFinished()])
    assert made["context"]["data_points"]["citations"] == ["b.md"]


def test_sources_that_come_late_lose_nothing() -> None:
    """The front end puts the line with them in the place of all that it had, but for the words."""
    script = SCRIPTS["everything"]
    sent = lines(encoded([*script[:-1], source(4, "c.md", None), script[-1]]))
    made = merged(sent)
    assert made["context"]["data_points"]["citations"][-1] == "c.md"
    assert made["context"]["followup_questions"] == ["And two?"]
    assert len(made["context"]["thoughts"]) == 3
    assert made["session_state"] == {"id": 7}
    assert made["message"] == whole(script)["message"]


def test_many_long_thoughts_are_sent_once() -> None:
    steps: list[AnyEvent] = []
    for number in range(200):
        steps.append(StepStarted(step_id=f"s{number}", name="look", label="Looking…"))
        steps.append(StepFinished(step_id=f"s{number}", label="Looked", elapsed_ms=1, detail={"found": "x" * 1000}))
    stream = encoded([STARTED, *steps, RunFinished()])
    assert len(stream) < 200 * 1100 + 2 * 40 * THOUGHTS_BYTES
    assert len(merged(lines(stream))["context"]["thoughts"]) == 200


WORDS = st.one_of(st.builds(TextDelta, text=TEXTS), st.builds(ReasoningDelta, text=TEXTS))
SCRIPT = st.lists(EVENTS | WORDS, max_size=25)


@given(SCRIPT, TERMINALS, JSON, st.booleans())
def test_any_run_is_a_valid_stream_with_one_end(events: list[Any], terminal: Any, state: Any, as_text: bool) -> None:
    sent = lines(encoded([STARTED, *events, terminal], session_state=state, errors_as_text=as_text))
    first, *_, last = sent
    assert first["delta"] == {"role": "assistant"}
    assert first["context"]["data_points"] == {"text": [], "images": [], "citations": []}
    assert first.get("sessionState") == first.get("session_state") == state
    ends = [line for line in sent if "error" in line or "finish_reason" in line.get("context", {})]
    assert ends == [last]
    if isinstance(terminal, RunFailed):
        error = terminal.message if as_text else {"code": terminal.code, "message": terminal.message}
        assert last == {"error": error}
    else:
        assert last["context"].get("aborted", False) is isinstance(terminal, RunStopped)
        assert last.get("sessionState") == state
    for line in sent:
        assert set(line) <= {"delta", "context", "sessionState", "session_state", "error"}
        assert all(value is not None for value in line.get("context", {}).values())


@given(SCRIPT, TERMINALS)
def test_text_in_is_text_out(events: list[Any], terminal: Any) -> None:
    words = [event for event in events if not isinstance(event, Citation)]
    sent = lines(encoded([STARTED, *words, terminal]))
    for kind, said in (
        (TextDelta, [line.get("delta", {}).get("content", "") for line in sent]),
        (ReasoningDelta, [line.get("delta", {}).get("context", {}).get("reasoning", "") for line in sent]),
    ):
        assert "".join(said) == "".join(event.text for event in events if isinstance(event, kind))


@given(SCRIPT)
def test_the_demo_makes_of_the_stream_what_the_whole_form_is(events: list[Any]) -> None:
    script = [STARTED, *events, RunFinished()]
    made = merged(lines(encoded(script)))
    expected = whole(script)
    assert made["message"] == expected["message"]
    assert made["context"] == expected["context"]


@given(SCRIPT, st.integers(0, 400))
def test_what_is_shown_of_a_stopped_run_ends_where_its_reader_was(events: list[Any], seen: int) -> None:
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    seen = min(seen, len(text))
    script = [STARTED, *events]
    made = whole([*script, RunStopped(seen=seen)])
    full = whole([*script, RunFinished()])["message"]["content"]
    assert full.startswith(made["message"]["content"])
    unmarked = whole([*(each for each in script if not isinstance(each, Citation)), RunStopped(seen=seen)])
    assert unmarked["message"]["content"] == text[:seen]
    assert all(cited["end"] <= len(made["message"]["content"]) for cited in made["context"].get("citations", []))
