from pathlib import Path

import pytest

from millstream.answers.prompt import Prompts
from millstream.errors import ConfigurationError


def test_a_file_takes_the_place_of_the_built_in_prompt_of_its_name(tmp_path: Path) -> None:
    (tmp_path / "chat.md").write_text("Be brief.\n")
    assert Prompts(tmp_path)["chat"] == "Be brief."
    assert Prompts(tmp_path)["rag"] == Prompts()["rag"]


def test_a_prompt_that_is_no_text_is_refused_at_the_start_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "rewrite.md").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match=r"rewrite\.md .*UTF-8"):
        Prompts(tmp_path)


def test_a_folder_of_prompts_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="MILLSTREAM_PROMPTS"):
        Prompts(tmp_path / "nowhere")
