"""What a client sends as JSON: refused in words, or such that it can be sent back."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.errors import InputError
from millstream.events import encode_json
from millstream.json_body import MAX_DEPTH, decode_body

ANYTHING: msgspec.json.Decoder[Any] = msgspec.json.Decoder()


def nested(depth: int, kinds: str = "[", innermost: bytes = b"1") -> bytes:
    """So many arrays and objects within one another, by turns of `kinds`."""
    opening = [b'{"a":' if kinds[n % len(kinds)] == "{" else b"[" for n in range(depth)]
    closing = [b"}" if one != b"[" else b"]" for one in reversed(opening)]
    return b"".join([*opening, innermost, *closing])


@pytest.mark.parametrize(("kinds", "innermost"), [("[", b"1"), ("{", b"1"), ("[{", b"1"), ("[", b"")])
def test_what_is_nested_as_deeply_as_may_be_is_taken_and_one_level_more_is_not(kinds: str, innermost: bytes) -> None:
    deepest = nested(MAX_DEPTH, kinds, innermost)
    assert encode_json(decode_body(deepest, ANYTHING)) == deepest
    for depth in (MAX_DEPTH + 1, MAX_DEPTH * 9, MAX_DEPTH * 1000):
        with pytest.raises(InputError, match=f"{MAX_DEPTH} arrays and objects"):
            decode_body(nested(depth, kinds, innermost), ANYTHING)


@given(before=st.lists(st.integers() | st.text(), max_size=3), depth=st.integers(1, MAX_DEPTH * 2))
def test_it_is_the_deepest_part_that_counts(before: list[Any], depth: int) -> None:
    body = b"[" + b",".join([*map(encode_json, before), nested(depth)]) + b"]"
    if depth < MAX_DEPTH:
        assert encode_json(decode_body(body, ANYTHING)) == body
    else:
        with pytest.raises(InputError, match="too deeply"):
            decode_body(body, ANYTHING)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b'{"\xff":1}', "not JSON"),
        (b'{"a":"\xff"}', "not JSON"),
        (b"[]", "not valid: Expected `object`"),
        (b'{"a":1e400}', "not valid"),
    ],
)
def test_what_is_no_json_object_is_refused_in_words(body: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words):
        decode_body(body, msgspec.json.Decoder(dict[str, Any]))
