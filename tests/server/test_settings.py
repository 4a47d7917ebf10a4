"""Each setting: where it may come from, which values it takes, and that it works."""

import json
from pathlib import Path
from typing import Any

import pytest

from millstream import Millstream
from millstream.errors import ConfigurationError
from millstream.logs.memory import MemoryLog
from millstream.logs.sqlite import SqliteLog
from millstream.models.openai import OpenAIModel
from millstream.models.script import SayText, Script, Stall
from millstream.server.settings import Settings, load_settings
from serving import asking, serving, within


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No `.env` and no variables of whoever runs the tests."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(f"MILLSTREAM_{name.upper()}", raising=False)


def test_flags_beat_the_env_file_and_the_env_file_beats_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().sources == 5
    monkeypatch.setenv("MILLSTREAM_SOURCES", "6")
    assert load_settings().sources == 6
    Path(".env").write_text("MILLSTREAM_SOURCES=7\n")
    assert load_settings().sources == 7
    assert load_settings(sources=8).sources == 8
    assert load_settings(sources=None).sources == 7  # a flag that was not given


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLSTREAM_DATA", "")
    monkeypatch.setenv("MILLSTREAM_MODEL", "")
    assert (load_settings().data, load_settings().model) == (Path(".millstream"), "extractive")


def test_variables_of_others_in_the_env_file_are_passed_over() -> None:
    Path(".env").write_text("DATABASE_URL=x\nMILLSTREAM_LOG=memory\n")
    assert load_settings().log == "memory"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("LOG", "redis", "memory"), ("DATABASE", "postgresql://x", "PostgreSQL"), ("WHEN_UNREAD", "never", "finish"),
        ("WHEN_UNREAD", "-1", "negative"), ("WHEN_UNREAD", "nan", "seconds"), ("WHEN_UNREAD", "inf", "seconds"),
        ("SOURCES", "0", "1"), ("SOURCES", "51", "50"), ("SOURCES", "many", "integer"), ("HEARTBEAT", "0", "0"),
        ("DRAIN", "-1", "0"), ("EVENTS_KEPT_HOURS", "0", "0"), ("CONNECT_TIMEOUT", "0", "0"),
        ("FIRST_TOKEN_TIMEOUT", "x", "number"), ("BETWEEN_TOKENS_TIMEOUT", "-1", "0"), ("MAX_BODY_BYTES", "10", "1024"),
        ("MAX_SUBSCRIPTIONS", "0", "1"), ("MAX_RUNNING", "0", "1"), ("QUOTE_PACE", "-1", "0"),
        ("ORIGINS", "*", "origin"), ("ORIGINS", "null", "origin"), ("ORIGINS", "app.example", "https://"),
        ("ORIGINS", "https://app.example/path", "origin"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_one_line_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(f"MILLSTREAM_{name}", value)
    with pytest.raises(ConfigurationError) as refused:
        load_settings()
    assert refused.value.message.startswith(f"MILLSTREAM_{name}: ")
    assert said in refused.value.message
    assert "\n" not in refused.value.message


def test_a_keyword_that_is_no_setting_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"'hartbeat'.*heartbeat"):
        Millstream(hartbeat=1)


def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLSTREAM_HOSTS", "a.example, b.example,")
    monkeypatch.setenv("MILLSTREAM_ORIGINS", "HTTPS://A.example/")
    assert load_settings().hosts == ("a.example", "b.example")
    assert load_settings().origins == ("https://a.example",)


def test_a_mounted_millstream_answers_to_any_host_until_hosts_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Millstream().settings.hosts == ("*",)
    monkeypatch.setenv("MILLSTREAM_HOSTS", "a.example")
    assert Millstream().settings.hosts == ("a.example",)
    assert Millstream(hosts="b.example").settings.hosts == ("b.example",)


@pytest.mark.parametrize(
    ("value", "policy"), [("finish", "finish"), ("stop", "stop"), ("30", 30.0), ("0", 0.0), ("1.5", 1.5)]
)
def test_when_unread_is_a_word_or_seconds(monkeypatch: pytest.MonkeyPatch, value: str, policy: Any) -> None:
    monkeypatch.setenv("MILLSTREAM_WHEN_UNREAD", value)
    assert load_settings().when_unread == policy


# That they work. Those that bound something (heartbeat, drain, hosts, origins, when_unread, events_kept_hours,
# max_body_bytes, max_subscriptions, max_running) are shown by the tests of what they bound.


async def test_data_is_the_folder_of_everything(tmp_path: Path) -> None:
    async with serving(tmp_path, data=tmp_path / "here" / "below") as server, asking(server) as reader:
        (await server.told.next()).end()
        await reader.rest()
        names = {path.name for path in (tmp_path / "here" / "below").iterdir()}
    assert {"millstream.db", "index.db", "serve.lock"} <= names
    assert (tmp_path / "here" / "below").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(("log", "kind"), [("memory", MemoryLog), ("sqlite", SqliteLog)])
async def test_log_chooses_where_events_are_kept(tmp_path: Path, log: str, kind: type) -> None:
    async with serving(tmp_path, log=log) as server:
        assert isinstance(server.millstream.supervisor.log, kind)
        async with asking(server, run_id="r1") as reader:
            telling = await server.told.next()
            telling.run.write("Yes.")
            telling.end()
            await reader.rest()
        assert (await server.get("/api/runs/r1")).json["message"]["content"] == "Yes."


def script_file(folder: Path, script: Script) -> Path:
    import msgspec

    file = folder / "script.json"
    file.write_bytes(msgspec.json.encode(script))
    return file


async def test_model_chooses_who_answers(tmp_path: Path) -> None:
    file = script_file(tmp_path, Script.words("Scripted words."))
    async with serving(tmp_path, model=f"scripted/{file}") as server:
        body = (await server.post("/api/runs", {"question": "Why?", "answer": "chat"})).json
    assert (body["model"], body["message"]["content"]) == ("scripted/script", "Scripted words.")
    assert str(tmp_path) not in json.dumps(body)


@pytest.mark.parametrize(
    ("said", "setting", "code"),
    [
        ([], "first_token_timeout", "model-timeout-first-token"),
        ([SayText(text="Half ")], "between_tokens_timeout", "model-timeout-between-tokens"),
    ],
)
async def test_the_models_timeouts_end_its_silence(
    tmp_path: Path, said: list[SayText], setting: str, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("millstream.run.FIRST_WAIT_S", 0)
    file = script_file(tmp_path, Script.of([*said, Stall()]))
    async with serving(tmp_path, model=f"scripted/{file}", **{setting: 0.05}) as server:
        response = await within(server.post("/api/runs", {"question": "Why?", "answer": "chat"}))
    assert (response.status, response.json["code"]) == (504, code)


async def test_connect_timeout_reaches_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    async with serving(tmp_path, model="openai/x", connect_timeout=3, first_token_timeout=4) as server:
        model = server.millstream.model
        assert isinstance(model, OpenAIModel)
        assert (model._timeouts.connect_s, model._timeouts.first_token_s) == (3, 4)


async def index_of(folder: Path, count: int) -> list[Path]:
    documents = folder / "documents"
    documents.mkdir()
    for number in range(count):
        (documents / f"{number}.md").write_text(f"# Paper {number}\n\nThe mill wheel number {number} turns quickly.\n")
    return [documents]


async def test_sources_bounds_the_passages_and_a_request_may_ask_for_another_number(tmp_path: Path) -> None:
    file = script_file(tmp_path, Script.words("Words."))
    documents = await index_of(tmp_path, 9)
    async with serving(tmp_path, model=f"scripted/{file}", sources=3) as server:
        await within(server.millstream.index(documents))
        asked = {"question": "Why does the mill wheel turn?", "answer": "rag"}
        assert len((await server.post("/api/runs", asked)).json["message"]["sources"]) == 3
        more = {**asked, "options": {"sources": 7}}
        assert len((await server.post("/api/runs", more)).json["message"]["sources"]) == 7


async def test_prompts_replace_the_built_in_ones_of_the_same_name(tmp_path: Path) -> None:
    prompts = tmp_path / "prompts"
    prompts.mkdir()
    (prompts / "chat.md").write_text("Answer like a miller.")
    file = script_file(tmp_path, Script.words("Words."))
    async with serving(tmp_path, model=f"scripted/{file}", prompts=prompts) as server:
        await server.post("/api/runs", {"question": "Why?", "answer": "chat"})
        call = server.millstream.model.calls[-1]  # type: ignore[union-attr]
        assert call.prompt.messages[0].content.startswith("Answer like a miller.")


async def test_quote_pace_is_words_per_second_for_who_watches(tmp_path: Path) -> None:
    documents = await index_of(tmp_path, 1)
    took = {}
    for pace in (20.0, 0.0):
        async with serving(tmp_path / str(pace), quote_pace=pace) as server:
            await within(server.millstream.index(documents))
            async with asking(server, "Which mill wheel turns quickly?", answer="rag") as reader:
                took[pace] = (await reader.rest())[-1]["at"]
    assert took[20.0] > 200  # five words and more
    assert took[0.0] < took[20.0]
