import json
from pathlib import Path

import pytest
from model_contract import collect, said

from millstream.errors import ConfigurationError
from millstream.models.configure import AZURE_API_VERSION, create_model
from millstream.models.script import Script
from millstream.models.timeouts import Timeouts
from millstream.testing import ModelServer

TIMEOUTS = Timeouts()


async def test_openai_takes_its_variables_from_the_given_environment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://elsewhere.invalid/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "elsewhere")
    async with ModelServer(Script.words("hello"), key="k") as server:
        environ = {"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": "k", "OPENAI_ORG_ID": "org-1"}
        model = create_model("openai/org/fox:7b", environ=environ, timeouts=TIMEOUTS)
        assert said(await collect(model)) == "hello"
        await model.close()
        answer = server.answers[0]
    assert model.name == "openai/org/fox:7b"
    assert not model.quotes
    assert answer.body["model"] == "org/fox:7b"
    assert answer.headers["OpenAI-Organization"] == "org-1"


@pytest.mark.parametrize("address", ["htp://ann:secret-1@host/v1", "secret-1", "http://[secret-1"])
@pytest.mark.parametrize("variable", ["OPENAI_BASE_URL", "AZURE_OPENAI_ENDPOINT"])
def test_what_is_no_address_is_not_told_for_it_may_be_secret(variable: str, address: str) -> None:
    name = "openai/m" if variable == "OPENAI_BASE_URL" else "azure/m"
    with pytest.raises(ConfigurationError, match=f"{variable} must be an address") as refused:
        create_model(name, environ={variable: address}, timeouts=TIMEOUTS)
    assert "secret" not in str(refused.value)


async def test_a_key_that_was_read_from_a_file_may_end_with_its_line_break() -> None:
    async with ModelServer(Script.words("hello"), key="k") as server:
        environ = {"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": "k\r\n"}
        model = create_model("openai/m", environ=environ, timeouts=TIMEOUTS)
        assert said(await collect(model)) == "hello"
        await model.close()


@pytest.mark.parametrize("variable", ["OPENAI_API_KEY", "OPENAI_ORG_ID", "AZURE_OPENAI_API_KEY"])
@pytest.mark.parametrize("value", ["secret\n-1", "secret\x00-1", "secret–1"])
def test_what_no_header_can_hold_is_refused_and_not_told(variable: str, value: str) -> None:
    environ = {"OPENAI_API_KEY": "k", "AZURE_OPENAI_ENDPOINT": "https://x.openai.azure.com", variable: value}
    with pytest.raises(ConfigurationError, match=f"{variable} holds") as refused:
        create_model("azure/m" if variable.startswith("AZURE") else "openai/m", environ=environ, timeouts=TIMEOUTS)
    assert "secret" not in str(refused.value)


async def test_a_compatible_server_needs_no_key() -> None:
    async with ModelServer(Script.words("hello")) as server:
        model = create_model("openai/llama", environ={"OPENAI_BASE_URL": server.base_url}, timeouts=TIMEOUTS)
        assert said(await collect(model)) == "hello"
        await model.close()


def test_two_ways_to_sign_in_at_once_are_refused_and_not_told() -> None:
    environ = {"OPENAI_BASE_URL": "http://ann:secret-1@models.example/v1", "OPENAI_API_KEY": "secret-2"}
    with pytest.raises(ConfigurationError, match=r"models\.example .* leave one out") as refused:
        create_model("openai/fox", environ=environ, timeouts=TIMEOUTS)
    assert "secret" not in str(refused.value)
    del environ["OPENAI_API_KEY"]
    assert create_model("openai/fox", environ=environ, timeouts=TIMEOUTS).name == "openai/fox"


@pytest.mark.parametrize(
    ("version", "asked"), [(None, AZURE_API_VERSION), ("2025-04-01-preview", "2025-04-01-preview")]
)
async def test_azure_is_configured_by_its_variables(version: str | None, asked: str) -> None:
    async with ModelServer(Script.words("hello"), key="k", models=frozenset({"my-fox"})) as server:
        environ = {"AZURE_OPENAI_ENDPOINT": server.origin + "/", "AZURE_OPENAI_API_KEY": "k"}
        if version:
            environ["OPENAI_API_VERSION"] = version
        model = create_model("azure/my-fox", environ=environ, timeouts=TIMEOUTS)
        assert said(await collect(model)) == "hello"
        await model.close()
        answer = server.answers[0]
    assert model.name == "azure/my-fox"
    assert answer.path == f"/openai/deployments/my-fox/chat/completions?api-version={asked}"


async def test_a_script_file_is_a_model(tmp_path: Path) -> None:
    file = tmp_path / "demo.json"
    file.write_text(json.dumps({"calls": [{"steps": [{"type": "text", "text": "from a file"}]}]}))
    model = create_model(f"scripted/{file}", environ={}, timeouts=TIMEOUTS)
    assert said(await collect(model)) == "from a file"
    assert model.name == "scripted/demo"


def test_extractive_needs_nothing() -> None:
    model = create_model("extractive", environ={}, timeouts=TIMEOUTS)
    assert model.quotes


@pytest.mark.parametrize(
    ("name", "environ", "message"),
    [
        ("openai/gpt", {}, "set OPENAI_API_KEY, or OPENAI_BASE_URL"),
        ("openai/gpt", {"OPENAI_API_KEY": ""}, "set OPENAI_API_KEY"),
        ("openai/gpt", {"OPENAI_BASE_URL": "localhost:11434"}, "OPENAI_BASE_URL must be an address"),
        ("azure/fox", {}, "set AZURE_OPENAI_ENDPOINT"),
        ("azure/fox", {"AZURE_OPENAI_ENDPOINT": "fox.openai.azure.com"}, "AZURE_OPENAI_ENDPOINT must be an address"),
        ("azure/fox", {"AZURE_OPENAI_ENDPOINT": "https://fox.openai.azure.com"}, "set AZURE_OPENAI_API_KEY"),
        ("local/model.gguf", {}, "not.*in this release.*OPENAI_BASE_URL"),
        ("scripted/gone.json", {}, "gone.json cannot be read"),
        ("gpt-4o", {}, "must be extractive, openai/NAME"),
        ("openai", {}, "must be"),
        ("openai/", {}, "must be"),
        ("extractive/x", {}, "must be"),
        ("", {}, "must be"),
    ],
)
def test_what_is_missing_is_named(name: str, environ: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        create_model(name, environ=environ, timeouts=TIMEOUTS)
