"""What the status tells the page: the answers on offer, the bounds of options, examples, whether prompts are shown."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from millstream import Run
from millstream.errors import ConfigurationError
from millstream.models.script import SayText, Script, ScriptedCall
from millstream.server.settings import load_settings
from serving import Server, serving

BOUNDS: dict[str, Any] = {"max_sources": 8, "max_temperature": 1, "efforts": "low,high"}


async def status(server: Server) -> dict[str, Any]:
    found: dict[str, Any] = (await server.get("/api/status")).json
    return found


async def poem(run: Run) -> None:
    run.write("Roses.")


def script(folder: Path, *words: str) -> str:
    file = folder / "script.json"
    file.write_bytes(msgspec.json.encode(Script([ScriptedCall([SayText(text=text)]) for text in words])))
    return f"scripted/{file}"


async def test_answers_have_labels_and_the_default_comes_first(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        server.millstream.answer(poem, name="a_poem")
        server.millstream.answer(poem, name="rag", label="Mine")
        assert (await status(server))["answers"] == [
            {"name": "default", "label": "Default", "default": True},
            {"name": "a_poem", "label": "A poem", "default": False},
            {"name": "rag", "label": "Mine", "default": False},
        ]


async def test_the_built_in_answers_are_offered_where_they_can_answer(tmp_path: Path) -> None:
    documents = {"name": "rag", "label": "Your documents", "default": True}
    async with serving(tmp_path) as server:
        del server.millstream.answers["default"]
        assert (await status(server))["answers"] == [documents]
    async with serving(tmp_path, model=script(tmp_path, "Yes.")) as server:
        del server.millstream.answers["default"]
        chat = {"name": "chat", "label": "Without documents", "default": False}
        assert (await status(server))["answers"] == [documents, chat]


async def test_the_bounds_are_the_operators(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        assert (await status(server))["options"] == {
            "sources": [1, 50], "temperature": [0, 2], "efforts": ["minimal", "low", "medium", "high"]
        }  # fmt: skip
    async with serving(tmp_path, **BOUNDS) as server:
        assert (await status(server))["options"] == {
            "sources": [1, 8], "temperature": [0, 1], "efforts": ["low", "high"]
        }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sources": 9}, "8 here at most (MILLSTREAM_MAX_SOURCES)"),
        ({"temperature": 1.01}, "1 here at most (MILLSTREAM_MAX_TEMPERATURE)"),
        ({"reasoning_effort": "medium"}, "low, high here (MILLSTREAM_EFFORTS)"),
    ],
)
async def test_a_run_beyond_the_bounds_is_refused_over_http_and_websocket(
    tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    async with serving(tmp_path, poem, **BOUNDS) as server:
        refused = await server.post("/api/runs", {"question": "Why?", "options": options})
        assert (refused.status, refused.json["code"]) == (400, "invalid-request")
        assert said in refused.json["detail"]
        async with server.client.ws_connect(f"{server.url}/api/ws") as socket:
            request = {"question": "Why?", "options": options}
            await socket.send_json({"op": "start", "id": "a", "request": request})
            assert said in (await socket.receive_json())["error"]["message"]


async def test_a_run_at_the_bounds_is_answered(tmp_path: Path) -> None:
    async with serving(tmp_path, poem, **BOUNDS) as server:
        options = {"sources": 8, "temperature": 1, "reasoning_effort": "high"}
        assert (await server.post("/api/runs", {"question": "Why?", "options": options})).status == 200


async def test_where_no_effort_can_be_chosen_none_is_taken(tmp_path: Path) -> None:
    async with serving(tmp_path, poem, efforts="none") as server:
        assert (await status(server))["options"]["efforts"] == []
        refused = await server.post("/api/runs", {"question": "Why?", "options": {"reasoning_effort": "low"}})
        assert "cannot be chosen here" in refused.json["detail"]


async def test_examples_come_from_the_documents(tmp_path: Path) -> None:
    (tmp_path / "leave.md").write_text("# Leave\n\n## How much leave is there?\n\nTwenty days.\n")
    async with serving(tmp_path) as server:
        assert (await status(server))["examples"] == []
        await server.millstream.index([tmp_path / "leave.md"])
        assert (await status(server))["examples"][0] == "How much leave is there?"


@pytest.mark.parametrize("answer", ["chat", "rag"])
async def test_a_prompt_is_shown_only_where_the_operator_allows_it(tmp_path: Path, answer: str) -> None:
    asked = {"question": "Why?", "answer": answer}
    model = script(tmp_path, "Yes.")
    async with serving(tmp_path, model=model) as server:
        assert (await status(server))["prompts_shown"] is False
        assert (await server.post("/api/runs", asked)).json["message"]["steps"] == []
    async with serving(tmp_path, model=model, show_prompts=True) as server:
        assert (await status(server))["prompts_shown"] is True
        (step,) = (await server.post("/api/runs", asked)).json["message"]["steps"]
        assert (step["name"], step["state"]) == ("prompt", "done")
        assert [message["role"] for message in step["detail"]["messages"]] == ["system", "user"]
        assert "Why?" in step["detail"]["messages"][1]["content"]
        characters = sum(len(message["content"]) for message in step["detail"]["messages"])
        assert step["detail"]["estimated_tokens"] == -(-characters // 4)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"max_sources": 4}, "MILLSTREAM_SOURCES"), ({"efforts": "huge"}, "'huge'"), ({"efforts": "low,none"}, "'none'")],
)
def test_bounds_that_make_no_sense_are_refused_at_the_start(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        load_settings(**wrong)
