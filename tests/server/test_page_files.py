from pathlib import Path

import pytest
from starlette.testclient import TestClient

from millstream.server.app import Millstream


@pytest.mark.parametrize(
    "path", ["/%00", "/" + "a" * 5000, "/..%2fevents.py", "/assets/..%2f..%2fevents.py", "/%ff", "/assets", "/nothing"]
)
def test_what_is_no_file_of_the_page_is_not_found(tmp_path: Path, path: str) -> None:
    with TestClient(Millstream(data=tmp_path).app) as client:
        assert client.get(path).status_code == 404
