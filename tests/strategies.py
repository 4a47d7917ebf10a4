"""Random events of every type, with the characters that break careless code."""

from typing import Any

from hypothesis import strategies as st

from millstream.events import (
    Citation,
    Data,
    Followups,
    RunFailed,
    RunFinished,
    RunStopped,
    Source,
    StepFinished,
    StepStarted,
    TextFinished,
    ToolFinished,
    ToolStarted,
    Usage,
)

# Line ends of Unicode, a zero, combining marks, joiners, a flag, right-to-left, what JSON escapes, U+FFFF.
AWKWARD = st.sampled_from(
    [
        "\u0085",
        "\u2028",
        "\u2029",
        "\x00",
        "\x0b",
        "\r\n",
        "\n",
        "e\u0301",
        "\u0301",
        "👩‍👩‍👧",
        "🇩🇪",
        "\u202e",
        '"',
        "\\",
        "\uffff",
        "𝔘",
    ]
)
TEXTS = st.lists(AWKWARD | st.text(max_size=12), max_size=6).map("".join)
SHORT = st.text(min_size=1, max_size=6)
COUNT = st.integers(0, 5000)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SHORT, inner, max_size=3),
    max_leaves=6,
)
OBJECT = st.dictionaries(SHORT, JSON, max_size=3)
STEP_ID = st.sampled_from(["s1", "s2", "s3"])
TOOL_ID = st.sampled_from(["t1", "t2"])

EVENTS = st.one_of(
    st.builds(StepStarted, step_id=STEP_ID, name=SHORT, label=TEXTS, retry_after=st.none() | st.just(1.5)),
    st.builds(StepFinished, step_id=STEP_ID, label=TEXTS, elapsed_ms=COUNT, detail=st.none() | OBJECT),
    st.builds(
        Source,
        n=st.integers(1, 9), source_id=SHORT, document_id=SHORT, version=SHORT, title=TEXTS, uri=TEXTS, snippet=TEXTS,
        page_start=st.none() | COUNT, page_end=st.none() | COUNT, start=st.none() | COUNT, end=st.none() | COUNT,
        score=st.none() | st.floats(0, 1),
    ),
    st.builds(Citation, n=st.integers(1, 9), start=COUNT, end=COUNT, page=st.none() | st.integers(1, 99)),
    st.builds(ToolStarted, tool_id=TOOL_ID, name=SHORT, arguments=OBJECT),
    st.builds(ToolFinished, tool_id=TOOL_ID, output=JSON, error=st.none() | TEXTS),
    st.builds(Data, name=SHORT, data=JSON, key=st.none() | SHORT),
    st.builds(TextFinished, reason=st.sampled_from(["stop", "length", "content_filter"])),
    st.builds(Followups, questions=st.lists(TEXTS, max_size=3)),
    st.builds(
        Usage,
        input_tokens=COUNT, output_tokens=COUNT, estimated=st.booleans(),
        reasoning_tokens=st.none() | COUNT, cached_tokens=st.none() | COUNT,
    ),
)  # fmt: skip
TERMINALS = st.one_of(
    st.builds(RunFinished),
    st.builds(RunStopped, seen=COUNT),
    st.builds(RunFailed, code=SHORT, message=TEXTS, retryable=st.booleans(), retry_after=st.none() | st.floats(0, 99)),
)
