from pathlib import Path

import pytest
from starlette.testclient import TestClient

from millstream.server.app import Millstream


@pytest.mark.parametrize("body", [b'{"title":"\xff"}', b"{", b"[]", b'{"title":1}', b'{"title":" "}', b"\xff"])
def test_a_title_that_cannot_be_read_is_refused(tmp_path: Path, body: bytes) -> None:
    with TestClient(Millstream(data=tmp_path).app) as client:
        response = client.patch("/api/conversations/c", content=body)
    assert (response.status_code, response.json()["code"]) == (400, "invalid-request")
