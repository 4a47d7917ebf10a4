"""The server's fold and the page's are pinned to the same cases: `web/tests/core/fold.test.ts` reads this file too."""

import json
from pathlib import Path

import pytest

from millstream.events import encode_json
from millstream.snapshot import Fold

CASES = json.loads((Path(__file__).parents[2] / "web/tests/core/folds.json").read_text())


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_the_server_folds_frames_to_the_same_snapshot_as_the_page(case: dict[str, object]) -> None:
    fold = Fold()
    fold.add_frames(str(case["frames"]).encode())
    assert json.loads(encode_json(fold.snapshot())) == case["snapshot"]
