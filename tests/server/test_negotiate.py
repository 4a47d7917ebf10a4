import pytest

from millstream.errors import InputError
from millstream.server.negotiate import JSON, NDJSON, SSE, choose

ALL = (JSON, NDJSON, SSE)


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("application/json", JSON),
        ("application/json, text/plain, */*", JSON),
        ("application/x-ndjson", NDJSON),
        ("application/jsonl", NDJSON),
        ("APPLICATION/X-NDJSON", NDJSON),
        ("text/event-stream", SSE),
        ("text/*", SSE),
        ("text/event-stream, */*", SSE),
        ("text/event-stream;q=0.5, */*", JSON),
        ("application/x-ndjson;q=0.5, text/event-stream;q=0.9", SSE),
        ("application/x-ndjson ; q=0.9 , text/event-stream ; q=0.5", NDJSON),
        ("application/json, text/event-stream", JSON),
        ("text/event-stream, application/json", SSE),
        ("application/json;q=0, */*", NDJSON),
        ("application/json;q=bad, text/event-stream;q=0.1", SSE),
        ("application/json;q=nan, text/event-stream;q=0.1", SSE),
        ("text/html, application/xhtml+xml, */*;q=0.8", JSON),
        ("application/json; charset=utf-8", JSON),
    ],
)
def test_the_form_that_the_client_likes_best_is_chosen(accept: str | None, chosen: str) -> None:
    assert choose(accept, ALL) == chosen


@pytest.mark.parametrize("accept", ["text/html", "application/json;q=0", "*/*;q=0", "image/*, text/plain"])
def test_a_client_that_rules_every_form_out_is_refused_with_406(accept: str) -> None:
    with pytest.raises(InputError) as refused:
        choose(accept, ALL)
    assert (refused.value.status, refused.value.code) == (406, "not-acceptable")
    assert all(form in refused.value.message for form in ALL)
