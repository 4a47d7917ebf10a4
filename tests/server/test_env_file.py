from pathlib import Path

import pytest

from millstream.errors import ConfigurationError
from millstream.server.settings import load_settings


def test_the_file_beats_the_environment_and_a_flag_beats_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MILLSTREAM_SOURCES", "3")
    assert load_settings().sources == 3
    (tmp_path / ".env").write_text("MILLSTREAM_SOURCES=4\n")
    assert load_settings().sources == 4
    assert load_settings(sources=5).sources == 5


def test_a_file_that_is_no_text_is_refused_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_bytes(b"\xff\xfe=1\n")
    with pytest.raises(ConfigurationError, match=r"\.env is not UTF-8"):
        load_settings()


@pytest.mark.parametrize("name", ["heartbeat", "drain", "when_unread", "between_tokens_timeout", "quote_pace"])
@pytest.mark.parametrize("value", ["inf", "nan"])
def test_a_duration_is_a_finite_number(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"MILLSTREAM_{name.upper()}", value)
    with pytest.raises(ConfigurationError, match=f"MILLSTREAM_{name.upper()}: "):
        load_settings()
