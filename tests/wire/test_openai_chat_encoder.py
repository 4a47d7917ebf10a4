"""Chat Completions as a pure function of events: whole recorded streams, and any script of events."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai._streaming import SSEDecoder
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

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
from millstream.wire.openai_chat import EXTRAS, OpenAIChatEncoder
from strategies import EVENTS, TERMINALS, TEXTS

RECORDED = Path(__file__).parent / "recorded"

STARTED = RunStarted(
    format=1, run_id="r1", conversation_id="c1", message_id="m1", model="gpt", created=1_700_000_000_999
)
HANDBOOK = Source(
    n=1, source_id="s1", document_id="d1", version="v1", title="Handbook", uri="hr/handbook.pdf",
    snippet="Staff get 20 days.", page_start=2, start=3, end=21,
)  # fmt: skip
LAW = Source(
    n=2, source_id="s2", document_id="d2", version="v1", title="Law", uri="https://law.example/a?b=1#c", snippet="…"
)

SCRIPTS: dict[str, list[AnyEvent]] = {
    "everything": [
        STARTED,
        StepStarted(step_id="s1", name="search", label="Searching 2 documents…"),
        StepFinished(step_id="s1", label="Found 2 passages", elapsed_ms=12, detail={"query": "leave", "top": None}),
        HANDBOOK,
        LAW,
        ReasoningDelta(text="The user\u2028asks "),
        ReasoningDelta(text="for leave."),
        ToolStarted(tool_id="t1", name="convert", arguments={}),
        ToolFinished(tool_id="t1", error="no such currency"),
        TextDelta(text="Staff get\u0085 "),
        TextDelta(text="20 days"),
        Citation(n=1, start=0, end=18),
        Citation(n=2, start=0, end=18),
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
    "quoted": [STARTED, HANDBOOK, TextDelta(text="Yes."), TextFinished(reason="length"), RunFinished()],
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
FORMS: dict[str, dict[str, Any]] = {
    "openai": {},
    "azure": {"dialect": "azure"},
    "all": {"dialect": "on_your_data", "include_usage": True, "extras": EXTRAS},
}
OPTIONS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "dialect": st.sampled_from(["openai", "azure", "on_your_data"]),
        "include_usage": st.booleans(),
        "extras": st.sets(st.sampled_from(EXTRAS)),
    }
)


def encoder_of(options: dict[str, Any], *, keep: bool = False) -> OpenAIChatEncoder:
    return OpenAIChatEncoder(base_url="http://docs.example/chat", keep=keep, **options)


def encoded(events: list[AnyEvent], options: dict[str, Any]) -> bytes:
    encoder = encoder_of(options)
    return b"".join(encoder.encode(event) for event in events)


def whole(events: list[AnyEvent], options: dict[str, Any]) -> dict[str, Any]:
    encoder = encoder_of(options, keep=True)
    for event in events:
        encoder.encode(event)
    return encoder.whole()


def frames(stream: bytes) -> list[Any]:
    """What every frame says, `[DONE]` as that string. Nothing but `data:` is in the stream, and no line is cut."""
    blocks = stream.decode().split("\n\n")
    assert blocks.pop() == ""
    assert all(block.startswith("data: ") and len(block.splitlines()) == 1 for block in blocks)
    return ["[DONE]" if block == "data: [DONE]" else json.loads(block[6:]) for block in blocks]


def deltas(chunks: list[Any]) -> list[dict[str, Any]]:
    return [choice["delta"] for chunk in chunks for choice in chunk["choices"]]


def joined(chunks: list[Any], name: str) -> str:
    return "".join(delta.get(name, "") for delta in deltas(chunks))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_streamed_run_is_these_bytes(name: str, form: str) -> None:
    assert encoded(SCRIPTS[name], FORMS[form]) == (RECORDED / f"openai_chat_{name}_{form}.sse").read_bytes()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", [name for name in SCRIPTS if name != "failed"])
def test_a_whole_answer_is_these_bytes(name: str, form: str) -> None:
    recorded = (RECORDED / f"openai_chat_{name}_{form}.json").read_bytes()
    assert encode_json(whole(SCRIPTS[name], FORMS[form])) + b"\n" == recorded


def test_indices_of_annotations_are_of_the_text_with_its_marks() -> None:
    message = whole(SCRIPTS["everything"], {})["choices"][0]["message"]
    content = message["content"]
    spans = [each["url_citation"] for each in message["annotations"]]
    stated = [content[each["start_index"] : each["end_index"]] for each in spans]
    assert content == "Staff get\u0085 20 days[1][2]. By law, 𝔘 too[2]."
    assert stated == ["Staff get\u0085 20 days", "Staff get\u0085 20 days", "By law, 𝔘 too", "By law, 𝔘 too"]


def test_a_stopped_answer_is_cut_where_its_reader_was() -> None:
    answer = whole(SCRIPTS["stopped"], {})
    assert answer["choices"][0]["message"]["content"] == "One.[1]"
    assert len(answer["choices"][0]["message"]["annotations"]) == 1
    assert answer["x_aborted"] is True


def test_a_source_with_an_address_of_its_own_keeps_it() -> None:
    annotations = whole(SCRIPTS["everything"], {})["choices"][0]["message"]["annotations"]
    urls = [each["url_citation"]["url"] for each in annotations]
    passage = "http://docs.example/chat/passage?document_id=d1&version=v1&start=3&end=21#passage"
    assert urls == [passage, LAW.uri, LAW.uri, passage]


@pytest.mark.parametrize("uri", ["javascript:alert(1)", "https:/nowhere", "file:///etc/passwd", "//host/x", "a b.pdf"])
def test_what_is_no_address_of_the_web_never_becomes_a_link(uri: str) -> None:
    source = Source(n=1, source_id="s", document_id="d&1", version="v", title="", uri=uri, snippet="")
    answer = whole([STARTED, source, TextDelta(text="x"), Citation(n=1, start=0, end=1), RunFinished()], {})
    cited = answer["choices"][0]["message"]["annotations"][0]["url_citation"]
    assert cited["url"] == f"http://docs.example/chat/passage?run_id={STARTED.run_id}&n=1#passage"


def test_sources_that_come_later_follow_in_a_context_of_their_own() -> None:
    events = [STARTED, HANDBOOK, TextDelta(text="A"), LAW, TextDelta(text="B"), RunFinished()]
    told = [each["context"] for each in deltas(frames(encoded(events, FORMS["azure"]))[:-1]) if "context" in each]
    assert [[each["filepath"] for each in context["citations"]] for context in told] == [[HANDBOOK.uri], [LAW.uri]]


def test_nothing_beyond_openais_own_is_sent_unasked() -> None:
    chunks = frames(encoded(SCRIPTS["everything"], {}))[:-1]
    assert {name for chunk in chunks for name in chunk} == {"id", "object", "created", "model", "choices"}


def test_a_whole_answer_names_its_followups_when_asked() -> None:
    assert whole(SCRIPTS["everything"], {"extras": ["followups"]})["x_followups"] == ["And interns?"]
    assert "x_followups" not in whole(SCRIPTS["everything"], {"extras": ["status"]})


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (
            RunFailed(code="model-rate-limited", message="Slow down.", retryable=True),
            {"type": "rate_limit_error", "code": "rate_limit_exceeded"},
        ),
        (
            RunFailed(code="model-rate-limited", message="No money.", retryable=False),
            {"type": "insufficient_quota", "code": "insufficient_quota"},
        ),
        (
            RunFailed(code="model-content-filter", message="No.", retryable=False),
            {"type": "invalid_request_error", "code": "content_filter"},
        ),
        (
            RunFailed(code="no-credit", message="No credit.", retryable=False, status=402),
            {"type": "invalid_request_error", "code": "no-credit"},
        ),
        (RunFailed(code="internal", message="Oh.", retryable=False), {"type": "server_error", "code": "internal"}),
    ],
)
def test_errors_have_openais_types_and_codes(failure: RunFailed, expected: dict[str, str]) -> None:
    *_, last = frames(encoded([STARTED, TextDelta(text="x"), failure], {}))
    assert last == {"error": {"message": failure.message, "param": None, **expected}}


# Any script of events.

TEXT = st.builds(TextDelta, text=TEXTS.filter(bool)) | st.builds(ReasoningDelta, text=TEXTS.filter(bool))


@st.composite
def scripts(draw: st.DrawFn) -> list[AnyEvent]:
    """A run with any events between its ends; about half of its citations end where the text then does."""
    events: list[AnyEvent] = [STARTED]
    length = 0
    for event in draw(st.lists(EVENTS | TEXT | TEXT, max_size=14)):
        if isinstance(event, Citation) and draw(st.booleans()):
            event = Citation(n=event.n, start=draw(st.integers(0, length)), end=length)
        if isinstance(event, TextDelta):
            length += len(event.text)
        events.append(event)
    return [*events, draw(TERMINALS)]


def marked(events: list[AnyEvent], mark: str) -> str:
    """The answer's text with its marks, told in the plainest way."""
    text, length, sources, complete = "", 0, set(), False
    for event in events:
        match event:
            case TextDelta():
                text, length = text + event.text, length + len(event.text)
            case Source():
                sources.add(event.n)
            case TextFinished():
                complete = True
            case Citation(n=n, end=end) if n in sources and end == length and not complete:
                text += mark % n
    return text


@given(scripts(), OPTIONS)
def test_any_run_is_a_valid_stream(events: list[AnyEvent], options: dict[str, Any]) -> None:
    found = frames(encoded(events, options))
    failed = isinstance(events[-1], RunFailed)
    *chunks, last = found
    assert found.count("[DONE]") == (not failed)
    assert ("error" in last) if failed else last == "[DONE]"
    assert len({(chunk["id"], chunk["object"], chunk["created"], chunk["model"]) for chunk in chunks}) <= 1
    assert all("error" not in chunk for chunk in chunks)
    reasons = [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"]]
    assert [reason is not None for reason in reasons] == [False] * (len(reasons) - (not failed)) + [True] * (not failed)
    said = deltas(chunks)
    assert [("role" in delta) for delta in said] == [number == 0 for number in range(len(said))]
    assert sum("annotations" in delta for delta in said) <= 1
    empty = [chunk for chunk in chunks if not chunk["choices"]]
    counted = [chunk for chunk in chunks if chunk.get("usage") is not None]
    assert all(("usage" in chunk) == options["include_usage"] for chunk in chunks)
    assert counted == (chunks[-1:] if options["include_usage"] and not failed else [])
    assert empty == [chunk for chunk in chunks if chunk in counted or "prompt_filter_results" in chunk]
    assert all(value is not None for delta in said for value in delta.values())


@given(scripts(), OPTIONS)
def test_text_in_is_text_out_apart_from_the_marks(events: list[AnyEvent], options: dict[str, Any]) -> None:
    chunks = [frame for frame in frames(encoded(events, options)) if "choices" in frame]
    mark = "[%d]" if options["dialect"] == "openai" else "[doc%d]"
    assert joined(chunks, "content") == marked(events, mark)
    thought = "".join(event.text for event in events if isinstance(event, ReasoningDelta))
    assert joined(chunks, "reasoning_content") == thought


@given(scripts(), OPTIONS)
def test_a_whole_answer_says_what_its_stream_does(events: list[AnyEvent], options: dict[str, Any]) -> None:
    if isinstance(events[-1], RunFailed):
        events[-1] = RunFinished()
    chunks = [frame for frame in frames(encoded(events, options)) if "choices" in frame]
    answer = whole(events, options)
    [choice] = answer["choices"]
    message = choice["message"]
    streamed = joined(chunks, "content")
    if isinstance(events[-1], RunStopped):
        assert streamed.startswith(message["content"])
        plain = "".join(event.text for event in events if isinstance(event, TextDelta))
        assert len(message["content"]) >= len(plain[: events[-1].seen])
    else:
        assert message["content"] == streamed
        told = [each for delta in deltas(chunks) for each in delta.get("context", {}).get("citations", [])]
        assert message.get("context", {}).get("citations", []) == told
    assert message.get("reasoning_content", "") == joined(chunks, "reasoning_content")
    listed = [each for delta in deltas(chunks) for each in delta.get("annotations", [])]
    assert message["annotations"] == listed or isinstance(events[-1], RunStopped)
    last = [chunk for chunk in chunks if chunk["choices"]][-1]
    assert choice["finish_reason"] == last["choices"][0]["finish_reason"]
    assert (answer["id"], f"{answer['object']}.chunk") == (last["id"], last["object"])
    assert answer.get("x_aborted") == last.get("x_aborted") == (True if isinstance(events[-1], RunStopped) else None)


@settings(deadline=None)  # the SDK is slow
@given(scripts(), OPTIONS, st.lists(st.integers(1, 400), max_size=20))
def test_the_python_sdk_makes_of_any_stream_in_any_pieces_what_the_whole_answer_says(
    events: list[AnyEvent], options: dict[str, Any], sizes: list[int]
) -> None:
    """Its own decoder, and the state behind its `stream()` helper."""
    events[-1] = RunFinished()
    stream = encoded(events, options)
    pieces = []
    for size in [*sizes, len(stream)]:
        pieces.append(stream[:size])
        stream = stream[size:]
    state = ChatCompletionStreamState()
    for event in SSEDecoder().iter_bytes(iter(pieces)):
        if not event.data.startswith("[DONE]"):
            state.handle_chunk(ChatCompletionChunk.construct(**event.json()))
    snapshot = state.current_completion_snapshot.to_dict()
    message: dict[str, Any] = snapshot["choices"][0]["message"]  # type: ignore[index,assignment]
    expected = whole(events, options)["choices"][0]["message"]
    given = {name: value for name, value in message.items() if value not in (None, [], "")}
    assert given == {name: value for name, value in expected.items() if value not in (None, [], "")}
