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


def test_a_mistyped_variable_is_warned_of_with_the_nearest_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MILLSTREAM_MODLE", "openai/x")
    monkeypatch.setenv("MILLSTREAM_SKIP_PAGE", "1")
    monkeypatch.setenv("millstream_sources", "3")
    monkeypatch.setenv("MILLSTREAMS", "3")
    (tmp_path / ".env").write_text("MILLSTREAM_MAX_RUNING=4\nOTHER=1\n")
    assert load_settings().sources == 3
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "MILLSTREAM_MAX_RUNING is no setting and is passed over; the nearest is MILLSTREAM_MAX_RUNNING.",
        "MILLSTREAM_MODLE is no setting and is passed over; the nearest is MILLSTREAM_MODEL.",
    ]
