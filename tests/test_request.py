from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.errors import InputError
from millstream.request import (
    MAX_MESSAGES,
    MAX_QUESTION_CHARACTERS,
    MAX_SOURCES,
    RunRequest,
    parse_request,
    request_from,
)


def body(**fields: object) -> bytes:
    return msgspec.json.encode(fields)


USER = {"role": "user", "content": "Why?"}


@pytest.mark.parametrize(
    "fields",
    [
        {"question": "Why?"},
        {"question": [{"type": "text", "text": "Why?"}, {"type": "file", "document_id": "d", "name": "a.pdf"}]},
        {"messages": [{"role": "system", "content": "Be brief."}, USER]},
        {"question": "Why?", "conversation_id": "c1"},
        {"question": "Why?", "conversation_id": "c1", "parent_id": None},
        {"conversation_id": "c1", "parent_id": "m1"},
        {"continues": "r1"},
        {"question": "Why?", "run_id": "a" * 64, "answer": "chat", "stream": False},
        {"question": "Why?", "options": {"temperature": 0, "max_output_tokens": 1, "sources": MAX_SOURCES}},
        {"question": "x" * MAX_QUESTION_CHARACTERS},
        {"messages": [USER] * MAX_MESSAGES},
    ],
)
def test_what_can_be_asked(fields: dict[str, object]) -> None:
    assert parse_request(body(**fields)) == request_from(fields)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "Give `question`"),
        ({"question": ""}, "`question` is empty"),
        ({"question": " \n"}, "`question` is empty"),
        ({"question": [{"type": "file", "document_id": "d", "name": "a.pdf"}]}, "`question` is empty"),
        ({"question": "x" * (MAX_QUESTION_CHARACTERS + 1)}, "longer than"),
        ({"question": "Why?", "messages": [USER]}, "not both"),
        ({"messages": []}, "must end with"),
        ({"messages": [{"role": "assistant", "content": "Hm."}]}, "must end with"),
        ({"messages": [{"role": "user", "content": " "}]}, "last message is empty"),
        ({"messages": [USER] * (MAX_MESSAGES + 1)}, "more than"),
        ({"messages": [{"role": "user", "content": "x" * (MAX_QUESTION_CHARACTERS + 1)}] * 10}, "more than"),
        ({"messages": [USER], "conversation_id": "c1"}, "bring their own history"),
        ({"messages": [USER], "parent_id": None}, "bring their own history"),
        ({"messages": [USER], "continues": "r1"}, "`continues`"),
        ({"question": "Why?", "continues": "r1"}, "`continues`"),
        ({"conversation_id": "c1"}, "Give `question`"),
        ({"conversation_id": "c1", "parent_id": None}, "Give `question`"),
        ({"parent_id": "m1"}, "Give `question`"),
        ({"question": "Why?", "run_id": "a" * 65}, "`run_id`"),
        ({"question": "Why?", "run_id": ""}, "`run_id`"),
        ({"question": "Why?", "run_id": "../x"}, "`run_id`"),
        ({"question": "Why?", "run_id": "a\n"}, "`run_id`"),
        ({"question": "Why?", "conversation_id": "c 1"}, "`conversation_id`"),
        ({"question": "Why?", "conversation_id": "c1", "parent_id": "m/1"}, "`parent_id`"),
        ({"continues": "é"}, "`continues`"),
        ({"question": "Why?", "options": {"sources": 0}}, "sources"),
        ({"question": "Why?", "options": {"sources": MAX_SOURCES + 1}}, "sources"),
        ({"question": "Why?", "options": {"temperature": 2.1}}, "temperature"),
        ({"question": "Why?", "options": {"max_output_tokens": 0}}, "max_output_tokens"),
        ({"question": "Why?", "options": {"colour": 1}}, "colour"),
        ({"question": 5}, "question"),
        ({"question": "Why?", "quest": 1}, "quest"),
        ({"messages": [{"role": "judge", "content": "x"}]}, "role"),
    ],
)
def test_what_contradicts_itself_or_exceeds_a_limit_is_refused_in_words(fields: dict[str, object], words: str) -> None:
    for parse in (lambda: parse_request(body(**fields)), lambda: request_from(fields)):
        with pytest.raises(InputError) as refusal:
            parse()
        assert refusal.value.status == 400
        assert words in refusal.value.message


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b'{"question":"\xff"}', b'"text"', b"[]", b"null"])
def test_what_is_not_a_json_object_is_refused(data: bytes) -> None:
    with pytest.raises(InputError):
        parse_request(data)


@given(data=st.binary(max_size=60))
def test_no_bytes_break_the_parser(data: bytes) -> None:
    with suppress(InputError):
        parse_request(data)


def test_the_fingerprint_leaves_out_the_id_and_the_form() -> None:
    plain = RunRequest(question="Why?")
    for same in (RunRequest(question="Why?", run_id="r1"), RunRequest(question="Why?", stream=True)):
        assert same.fingerprint() == plain.fingerprint()


def test_every_other_field_makes_another_request() -> None:
    requests = [
        parse_request(body(**fields))
        for fields in (
            {"question": "Why?"},
            {"question": "Why"},
            {"question": "Why?", "conversation_id": "c1"},
            {"question": "Why?", "conversation_id": "c1", "parent_id": None},
            {"question": "Why?", "conversation_id": "c1", "parent_id": "m1"},
            {"question": "Why?", "answer": "chat"},
            {"question": "Why?", "options": {"temperature": 0}},
            {"messages": [USER]},
            {"continues": "r1"},
            {"conversation_id": "c1", "parent_id": "m1"},
        )
    ]
    assert len({request.fingerprint() for request in requests}) == len(requests)
