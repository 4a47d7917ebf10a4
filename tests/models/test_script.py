from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.errors import ConfigurationError
from millstream.models import script as script_module
from millstream.models.script import (
    CountTokens,
    Delay,
    End,
    RateLimited,
    SayReasoning,
    SayText,
    Script,
    parse_script,
    read_script,
)


def test_the_example_of_the_documentation_is_a_script() -> None:
    documented = (script_module.__doc__ or "").partition("{")[2].partition("\n\n")[0]
    assert parse_script(("{" + documented).encode()) == Script.of(
        [RateLimited(retry_after=2)],
        [
            Delay(seconds=0.5),
            SayReasoning(text="They ask about foxes.", rate=50),
            SayText(text="The quick brown fox", rate=50),
            CountTokens(input_tokens=12, output_tokens=9),
            End(reason="stop"),
        ],
    )


@pytest.mark.parametrize(
    ("json", "message"),
    [
        ("{", "truncated"),
        ("{}", "calls"),
        ('{"calls": []}', "at least one call"),
        ('{"calls": [{"steps": [{"type": "sing"}]}]}', r"sing.*\$\.calls\[0\]\.steps\[0\]"),
        ('{"calls": [{"steps": [{"type": "text"}]}]}', r"`text`.*\$\.calls\[0\]\.steps\[0\]"),
        ('{"calls": [{"steps": [{"type": "text", "text": "a", "speed": 2}]}]}', "speed"),
        ('{"calls": [{"steps": [{"type": "text", "text": "a", "rate": 0}]}]}', "rate must be more than 0"),
        ('{"calls": [{"steps": [{"type": "delay", "seconds": -1}]}]}', "must not be negative"),
        ('{"calls": [{"steps": [{"type": "error", "status": 200}]}]}', "400 to 599"),
        ('{"calls": [{"steps": [{"type": "finish", "reason": "bored"}]}]}', "bored"),
        ('{"calls": [{"steps": []}], "name": "x"}', "name"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, json: str, message: str) -> None:
    file = tmp_path / "demo.json"
    file.write_text(json)
    with pytest.raises(ConfigurationError, match=message) as failure:
        read_script(file)
    assert failure.value.message.startswith("The script demo.json is not valid: ")
    assert str(tmp_path) not in failure.value.message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"The script gone\.json cannot be read: no such file"):
        read_script(tmp_path / "gone.json")


@given(text=st.text(), pieces=st.sampled_from(["words", "characters", "whole"]))
def test_the_pieces_are_the_text(text: str, pieces: script_module.Pieces) -> None:
    assert "".join(SayText(text=text, pieces=pieces).split()) == text
