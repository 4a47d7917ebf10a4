import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_contract import merged

from millstream.errors import ModelError
from millstream.models import Finish, ModelOutput, Reasoning, Text, TokenUsage
from millstream.models.chunks import MAX_CHUNK_BYTES, MAX_WHOLE_BYTES, ChunkTranslator, WholeTranslator

# Nested deeper than any decoder goes.
DEEP = b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"


def frame(chunk: object) -> bytes:
    return b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n"


def delta(finish_reason: str | None = None, **fields: Any) -> bytes:
    return frame({"id": "c", "choices": [{"index": 0, "delta": fields, "finish_reason": finish_reason}]})


DONE = b"data: [DONE]\n\n"
USAGE = frame({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}})


def translate(*reads: bytes) -> tuple[list[ModelOutput], ModelError | None]:
    translator = ChunkTranslator("host")
    outputs: list[ModelOutput] = []
    for read in reads:
        outputs += translator.feed(read)
        if translator.failure is not None or translator.done:
            break
    if translator.failure is None:
        outputs += translator.end()
    return outputs, translator.failure


def test_pieces_of_one_read_are_one_text() -> None:
    translator = ChunkTranslator("host")
    assert translator.feed(delta(content="a") + delta(content="b") + delta(content="c")) == [Text("abc")]
    assert translator.feed(delta(content="d")) == [Text("d")]


def test_reasoning_and_text_of_one_read_stay_in_order() -> None:
    read = delta(reasoning="a") + delta(reasoning="b") + delta(content="c") + delta(reasoning="d") + delta(content="e")
    assert ChunkTranslator("host").feed(read) == [Reasoning("ab"), Text("c"), Reasoning("d"), Text("e")]


def test_azures_odd_chunks_are_ordinary() -> None:
    outputs, failure = translate(
        frame(
            {
                "id": "",
                "object": "",
                "created": 0,
                "model": "",
                "choices": [],
                "prompt_filter_results": [{"prompt_index": 0}],
            }
        ),
        delta(role="assistant", content=""),
        delta(content="Yes"),
        frame(
            {"id": "c", "choices": [{"index": 0, "finish_reason": None, "content_filter_offsets": {"check_offset": 1}}]}
        ),
        delta("stop"),
        frame({"id": "", "choices": [{"index": 0, "finish_reason": None, "content_filter_results": {}}]}),
        USAGE,
        DONE,
    )
    assert failure is None
    assert outputs == [Text("Yes"), TokenUsage(5, 2), Finish("stop")]


def test_the_filters_late_verdict_overrules_stop() -> None:
    late = frame({"id": "", "choices": [{"index": 0, "finish_reason": "content_filter"}]})
    assert translate(delta(content="x"), delta("stop"), late, delta("stop"), DONE)[0][-1] == Finish("content_filter")


@pytest.mark.parametrize("reason", ["tool_calls", "function_call", "end_turn", "eos"])
def test_a_reason_that_is_not_ours_is_stop(reason: str) -> None:
    assert translate(delta(content="x"), delta(reason), DONE)[0][-1] == Finish("stop")


def test_an_empty_reason_is_none() -> None:
    assert translate(delta("", content="x"), delta("length"), DONE)[0][-1] == Finish("length")


@pytest.mark.parametrize("order", [(USAGE, delta("stop")), (delta("stop"), USAGE)])
def test_usage_may_come_before_or_after_the_finish_reason(order: tuple[bytes, bytes]) -> None:
    assert translate(delta(content="x"), *order, DONE)[0][1:] == [TokenUsage(5, 2), Finish("stop")]


def test_the_last_of_running_totals_counts() -> None:
    running = frame({"choices": [{"delta": {"content": "x"}}], "usage": {"prompt_tokens": 5, "completion_tokens": 1}})
    assert translate(running, USAGE, delta("stop"), DONE)[0][1:] == [TokenUsage(5, 2), Finish("stop")]


def test_nulls_are_absences() -> None:
    chunk = {
        "choices": [
            {"delta": {"content": None, "reasoning_content": None, "role": "assistant"}, "finish_reason": None}
        ],
        "usage": None,
        "error": None,
    }
    assert translate(frame(chunk), frame({"choices": None}), delta("stop", content="x"), DONE)[0] == [
        Text("x"),
        Finish("stop"),
    ]


def test_a_refusal_is_read_out() -> None:
    assert translate(delta(refusal="I can't."), delta("stop"), DONE)[0][0] == Text("I can't.")


def test_a_last_event_without_its_blank_line_counts_when_it_is_whole() -> None:
    outputs, failure = translate(delta(content="a"), delta("stop", content="b").rstrip())
    assert (outputs, failure) == ([Text("a"), Text("b"), Finish("stop")], None)


def test_a_last_event_that_was_cut_is_an_interruption_not_nonsense() -> None:
    outputs, failure = translate(delta(content="a"), delta(content="b")[:-9])
    assert outputs == [Text("a")]
    assert failure is not None
    assert failure.code == "model-interrupted"


def test_an_unclosed_think_is_reasoning() -> None:
    assert translate(delta(content="<think>h"), delta("length", content="m</thi"), DONE)[0] == [
        Reasoning("h"),
        Reasoning("m"),
        Reasoning("</thi"),
        Finish("length"),
    ]


@pytest.mark.parametrize(
    ("error", "code", "retryable"),
    [
        ({"message": "slow down", "code": "rate_limit_exceeded"}, "model-rate-limited", True),
        ({"message": "slow down", "code": 429}, "model-rate-limited", True),
        ({"message": "slow down", "type": "rate_limit_error"}, "model-rate-limited", True),
        ({"message": "pay", "code": "insufficient_quota"}, "model-rate-limited", False),
        ({"message": "filtered", "code": "content_filter"}, "model-content-filter", False),
        ({"message": "broken", "type": "server_error"}, "model-interrupted", True),
        ("broken", "model-interrupted", True),
        ({}, "model-interrupted", True),
    ],
)
def test_an_error_frame_is_a_failure_with_its_code(error: object, code: str, retryable: bool) -> None:
    outputs, failure = translate(delta(content="Half") + frame({"error": error}) + delta(content="ignored"))
    assert outputs == [Text("Half")]
    assert failure is not None
    assert (failure.code, failure.retryable) == (code, retryable)


@pytest.mark.parametrize(
    "nonsense",
    [b"{", b"[]", b"nope", b'{"choices":5}', b'{"choices":[{"delta":{"content":7}}]}', b'"\xff"', DEEP],
    ids=lambda nonsense: nonsense[:40],
)
def test_what_is_not_a_chunk_is_malformed_and_what_came_before_counts(nonsense: bytes) -> None:
    outputs, failure = translate(delta(content="Fine") + b"data: " + nonsense + b"\n\n" + delta(content="late"))
    assert outputs == [Text("Fine")]
    assert failure is not None
    assert failure.code == "model-malformed"


@pytest.mark.parametrize(
    "error",
    [
        {"object": "error", "message": "too long", "type": "BadRequestError", "code": 400.0},
        {"type": "error", "message": "too long"},
        {"detail": "too long"},
    ],
)
def test_an_error_in_another_servers_shape_is_a_failure(error: object) -> None:
    outputs, failure = translate(delta(content="Half") + frame(error) + DONE)
    assert outputs == [Text("Half")]
    assert failure is not None
    assert "too long" in failure.message
    outputs, failure = whole(json.dumps(error).encode())
    assert outputs == []
    assert failure is not None
    assert "too long" in failure.message


@pytest.mark.parametrize(
    "body",
    [
        b"Service ok",
        b"upstream error\n\n",
        b"id7\r\n\r\nnothing here",
        b": ping\n\nService ok",
        b"Service is down\n\ndata: [DONE]\n\n",
    ],
)
def test_text_that_is_no_stream_of_events_is_malformed(body: bytes) -> None:
    outputs, failure = translate(body)
    assert outputs == []
    assert failure is not None
    assert (failure.code, failure.retryable) == ("model-malformed", False)
    assert "no stream of events" in failure.message


@pytest.mark.parametrize(
    "body", [b"", b": ping\n\n", b"event: start\nid: 4\n\nretry: 5\n\n", b"data", delta(content="A") + b"dat"]
)
def test_a_stream_that_ends_early_broke_off(body: bytes) -> None:
    _, failure = translate(body)
    assert failure is not None
    assert failure.code in ("model-unavailable", "model-interrupted")


def test_a_good_stream_that_is_cut_anywhere_is_no_foreign_text() -> None:
    stream = b"\xef\xbb\xbfevent: start\nid: 4\n: ping\nretry: 5\n\n" + delta(role="assistant") + delta(content="Yes")
    for cut in range(len(stream) + 1):
        for reads in ([stream[:cut]], [stream[n : n + 1] for n in range(cut)]):
            _, failure = translate(*reads)
            assert failure is not None
            assert failure.code in ("model-unavailable", "model-interrupted"), stream[:cut]


@pytest.mark.parametrize(
    "error",
    [
        {"choices": [], "object": "error", "message": "overloaded", "code": 503},
        {"choices": [], "type": "error", "message": "overloaded"},
        {"choices": [], "detail": "overloaded"},
        {"choices": [], "error": {"message": "overloaded"}},
    ],
)
@pytest.mark.parametrize("rest", [b"", DONE])
def test_an_error_beside_no_choices_is_an_error(error: dict[str, object], rest: bytes) -> None:
    outputs, failure = translate(frame(error) + rest)
    assert outputs == []
    assert failure is not None
    assert "overloaded" in failure.message


def test_what_is_said_beside_the_answer_is_no_error() -> None:
    beside: list[object] = [
        {"object": "chat.completion.chunk", "choices": [], "detail": "queued"},
        {"object": "status", "detail": "loading the model"},
        {"choices": [], "message": "hello"},
    ]
    outputs, failure = translate(b"".join(map(frame, beside)) + delta("stop", content="Fine") + DONE)
    assert failure is None
    assert outputs == [Text("Fine"), Finish("stop")]


def test_counts_that_count_something_are_kept() -> None:
    outputs, _ = translate(delta("stop", content="Fine") + USAGE + frame({"choices": [], "usage": {}}) + DONE)
    assert outputs[1] == TokenUsage(5, 2)


@pytest.mark.parametrize("usage", [{}, {"prompt_tokens": 0, "completion_tokens": 0}, {"prompt_tokens": -3}])
def test_counts_that_count_nothing_are_none(usage: object) -> None:
    outputs, failure = translate(delta("stop", content="Fine") + frame({"choices": [], "usage": usage}) + DONE)
    assert failure is None
    assert outputs == [Text("Fine"), Finish("stop")]


def test_an_event_without_end_is_given_up() -> None:
    translator = ChunkTranslator("host")
    for _ in range(MAX_CHUNK_BYTES // 2**20 + 1):
        translator.feed(b"x" * 2**20)
    assert translator.failure is not None
    assert translator.failure.code == "model-malformed"


def whole(*body: bytes) -> tuple[list[ModelOutput], ModelError | None]:
    translator = WholeTranslator("host")
    for part in body:
        assert translator.feed(part) == []
    return translator.end(), translator.failure


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"{}",
        b'{"choices":[]}',
        b'{"choices":[{"text":"old"}]}',
        b'{"choices":[{"message":{"content":5}}]}',
        b"[]",
        DEEP,
    ],
    ids=lambda body: body[:40],
)
def test_a_whole_answer_without_a_message_is_malformed(body: bytes) -> None:
    outputs, failure = whole(body)
    assert outputs == []
    assert failure is not None
    assert failure.code == "model-malformed"


def test_a_whole_answer_that_is_an_error_fails() -> None:
    outputs, failure = whole(b'{"error":{"message":', b'"model crashed"}}')
    assert outputs == []
    assert failure is not None
    assert "model crashed" in failure.message


def test_a_whole_answer_that_is_too_long_is_malformed() -> None:
    translator = WholeTranslator("host")
    translator.feed(b" " * MAX_WHOLE_BYTES)
    assert translator.failure is None
    translator.feed(b" ")
    assert translator.failure is not None
    assert translator.failure.code == "model-malformed"


pieces = st.sampled_from(["a", " b", "🦊", "\n", "<think>", "</think>", "é\u2028", '"\\'])
chunks = st.one_of(
    st.builds(lambda text: delta(content=text), pieces),
    st.builds(lambda text: delta(reasoning_content=text), pieces),
    st.builds(lambda text: delta(reasoning=text, content=text), pieces),
    st.sampled_from([USAGE, delta("stop"), delta("length"), delta("content_filter"), b": ping\n\n", b"data: {\n\n"]),
    st.just(frame({"error": {"message": "x"}})),
)


@given(
    stream=st.lists(chunks, max_size=12).map(b"".join),
    done=st.booleans(),
    places=st.lists(st.integers(0, 10_000), max_size=12),
)
def test_any_chunking_gives_the_same_answer(stream: bytes, done: bool, places: list[int]) -> None:
    stream += DONE if done else b""
    ends = sorted(place % (len(stream) + 1) for place in places)
    reads = [stream[start:end] for start, end in zip([0, *ends], [*ends, len(stream)], strict=True)]
    cut_outputs, cut_failure = translate(*reads)
    outputs, failure = translate(stream)
    assert merged(cut_outputs) == merged(outputs)
    assert (cut_failure and cut_failure.message) == (failure and failure.message)


TEXT = [Text("Yes"), Finish("stop")]


@pytest.mark.parametrize(
    "odd",
    [
        {"choices": [{"index": None, "delta": {"content": "Yes"}}]},
        {"choices": [{"delta": {"content": [{"type": "text", "text": "Y"}, {"type": "text", "text": "es"}]}}]},
        {"choices": [{"delta": {"content": "Yes", "reasoning": {"a": 1}}}, 5], "usage": 7, "error": 0},
        {"choices": [{"delta": {"content": "Yes"}}], "usage": {"prompt_tokens": "many"}},
    ],
)
def test_a_field_of_another_type_costs_no_word(odd: object) -> None:
    outputs, failure = translate(frame(odd), delta("stop"), DONE)
    assert failure is None
    assert [output for output in outputs if not isinstance(output, TokenUsage)] == TEXT


@pytest.mark.parametrize("count", [None, 5.0, "5"])
def test_counts_that_are_no_whole_numbers_are_counted_as_they_can_be(count: object) -> None:
    usage = frame({"choices": [], "usage": {"prompt_tokens": count, "completion_tokens": 2}})
    outputs, failure = translate(delta("stop", content="Yes"), usage, DONE)
    assert failure is None
    assert outputs[1] == TokenUsage(5 if count == 5.0 else 0, 2)


def test_half_an_emoji_is_text() -> None:
    outputs, failure = translate(b'data: {"choices":[{"delta":{"content":"a\\ud83d"}}]}\n\n', delta("stop"), DONE)
    assert (outputs[0], failure) == (Text("a\ud83d"), None)


@pytest.mark.parametrize(
    "behind",
    [
        frame({"error": {"message": "overloaded", "code": 500}}),
        b"data: {not JSON\n\n",
        b"data: [DONE] \n\n",
        frame(5),
        b"data: " + b"x" * (MAX_CHUNK_BYTES + 1),
    ],
)
def test_what_goes_wrong_behind_the_finish_reason_takes_nothing_away(behind: bytes) -> None:
    assert translate(delta(content="Yes"), delta("stop"), behind) == (TEXT, None)


def test_a_filter_that_speaks_in_an_error_behind_the_finish_reason_is_heard() -> None:
    late = frame({"error": {"message": "filtered", "code": "content_filter"}})
    assert translate(delta(content="Yes"), delta("stop"), late, DONE)[0] == [Text("Yes"), Finish("content_filter")]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"message": "overloaded", "code": 503}, "model-unavailable"),
        ({"message": "oh", "type": "server_error"}, "model-unavailable"),
        ({"message": "too long", "code": 400}, "model-interrupted"),
    ],
)
def test_a_fault_of_the_provider_before_the_first_word_can_be_tried_again(error: object, code: str) -> None:
    _, failure = translate(frame({"error": error}))
    assert failure is not None
    assert failure.code == code
