import uuid

import pytest

from millstream import ids
from millstream.ids import new_id


def test_an_id_is_a_uuid_of_version_7() -> None:
    made = [uuid.UUID(new_id()) for _ in range(200)]
    assert {each.version for each in made} == {7}
    assert {each.variant for each in made} == {uuid.RFC_4122}
    assert len(set(made)) == 200


def test_ids_sort_by_when_they_were_made(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    for milliseconds in (1, 2, 300, 1_800_000_000_000):
        monkeypatch.setattr(ids.time, "time_ns", lambda milliseconds=milliseconds: milliseconds * 1_000_000 + 999_999)
        made.append(new_id())
        assert int(made[-1][:12], 16) == milliseconds
    assert made == sorted(made)


def test_what_is_not_time_is_random() -> None:
    drawn = [uuid.UUID(new_id()).int for _ in range(500)]
    fixed = 0xF << 76 | 3 << 62  # version and variant
    for bit in range(80):
        if not fixed >> bit & 1:
            assert {each >> bit & 1 for each in drawn} == {0, 1}
