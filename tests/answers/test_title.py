"""Titles of conversations in the words of a model."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from millstream.answers import title
from millstream.answers.prompt import Prompts
from millstream.answers.title import Titles, clean_title
from millstream.models.extractive import ExtractiveModel
from millstream.models.script import RateLimited, SayText, Script, ScriptedCall, Stall
from millstream.models.scripted import ScriptedModel
from millstream.run import Run
from millstream.snapshot import Snapshot
from serving import Server, asking, serving, until

QUESTION = "How much leave do I have, and when may I take it?"


def says(words: str) -> ScriptedModel:
    return ScriptedModel(Script([ScriptedCall([SayText(text=words)])]), name="m")


class Answered:
    """A Millstream whose answers are the test's, and the titles of a model beside it."""

    def __init__(self, server: Server, titles: Titles) -> None:
        self.server = server
        self.titles = titles

    async def tell(self, question: str = QUESTION, words: str = "Twenty days.", **options: object) -> Snapshot:
        """Asks, and tells the titles of the answer; returns once they have dealt with it."""
        async with asking(self.server, question, **options) as reader:  # type: ignore[arg-type]
            telling = await self.server.told.next()
            telling.run.write(words)
            telling.end()
            await reader.rest()
        supervisor = self.server.millstream.supervisor
        await until(lambda: supervisor.running == 0)
        snapshot = msgspec.structs.replace(await supervisor.snapshot(reader.run_id, "local"), model="m")
        self.titles.answered(snapshot)
        await asyncio.gather(*self.titles._tasks)
        return snapshot

    async def title(self) -> str:
        found: str = (await self.server.get("/api/conversations")).json["conversations"][0]["title"]
        return found


@asynccontextmanager
async def titled_by(folder: Path, model: ScriptedModel | ExtractiveModel) -> AsyncIterator[Answered]:
    async with serving(folder) as server:
        yield Answered(server, Titles(server.millstream.supervisor.conversations, model, Prompts()))


async def test_the_first_answer_gives_the_conversation_a_title(tmp_path: Path) -> None:
    model = says('**"Paid leave."**\n')
    async with titled_by(tmp_path, model) as answered:
        await answered.tell(words="x" * 5000)
        assert await answered.title() == "Paid leave"
        (call,) = model.calls
        asked = call.prompt.messages[-1].content
        assert QUESTION in asked
        assert asked.count("x") == title.EXCERPT_CHARACTERS


async def test_later_answers_do_not(tmp_path: Path) -> None:
    model = says("Leave")
    async with titled_by(tmp_path, model) as answered:
        first = await answered.tell(words=" ")  # of nothing there is no title
        await answered.tell("And dental care?", conversation_id=first.conversation_id)
        assert not model.calls


async def test_a_title_that_a_person_gave_stays(tmp_path: Path) -> None:
    model = says("Leave")
    async with titled_by(tmp_path, model) as answered:
        snapshot = await answered.tell(words=" ")
        assert await answered.title() == QUESTION  # nothing was said
        path = f"/api/conversations/{snapshot.conversation_id}"
        await answered.server.request("PATCH", path, json={"title": "Mine"})
        message = msgspec.structs.replace(snapshot.message, content="Twenty days.")
        answered.titles.answered(msgspec.structs.replace(snapshot, message=message))
        await asyncio.gather(*answered.titles._tasks)
        assert await answered.title() == "Mine"
        assert not model.calls


@pytest.mark.parametrize("step", [RateLimited(), SayText(text=" \n**\n")])
async def test_where_the_model_has_none_the_question_stays(tmp_path: Path, step: RateLimited | SayText) -> None:
    model = ScriptedModel(Script([ScriptedCall([step])]), name="m")
    async with titled_by(tmp_path, model) as answered:
        await answered.tell()
        assert await answered.title() == QUESTION


async def test_a_model_that_is_silent_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(title, "TITLE_TIMEOUT_S", 0.01)
    async with titled_by(tmp_path, ScriptedModel(Script([ScriptedCall([Stall()])]), name="m")) as answered:
        await answered.tell()
        assert await answered.title() == QUESTION


async def test_an_answer_is_shown_to_no_model_but_its_own(tmp_path: Path) -> None:
    model = says("Leave")
    async with titled_by(tmp_path, model) as answered:
        snapshot = await answered.tell()
        other = Titles(answered.server.millstream.supervisor.conversations, model, Prompts())
        for changes in ({"model": "other"}, {"state": "stopped"}, {"state": "failed"}):
            other.answered(msgspec.structs.replace(snapshot, **changes))
        assert not other._tasks
        Titles(answered.server.millstream.supervisor.conversations, ExtractiveModel(), Prompts()).answered(
            msgspec.structs.replace(snapshot, model=ExtractiveModel().name)
        )
        assert len(model.calls) == 1


async def test_only_so_many_titles_are_made_at_a_time_and_closing_gives_them_up(tmp_path: Path) -> None:
    async with titled_by(tmp_path, says("Leave")) as answered:
        snapshot = await answered.tell()
        model = ScriptedModel(Script([ScriptedCall([Stall()])]), name="m")
        store = answered.server.millstream.supervisor.conversations
        await store.rename("local", snapshot.conversation_id, QUESTION)
        titles = Titles(store, model, Prompts())
        for _ in range(title.TITLES_AT_ONCE + 1):
            titles.answered(snapshot)
        await model.asked(title.TITLES_AT_ONCE)
        await titles.close()
        assert [call.state for call in model.calls] == ["cancelled"] * title.TITLES_AT_ONCE


async def test_a_served_conversation_is_named_by_the_model_that_answers_unless_it_shall_not(tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    script.write_bytes(
        msgspec.json.encode(Script([ScriptedCall([SayText(text=text)]) for text in ("Twenty days.", "Paid leave")]))
    )
    for titles, expected in (("model", "Paid leave"), ("question", QUESTION)):
        async with serving(tmp_path / titles, model=f"scripted/{script}", titles=titles) as server:
            await server.post("/api/runs", {"question": QUESTION, "answer": "chat"})
            store = server.millstream.supervisor.conversations
            named = QUESTION
            for _ in range(100 if titles == "question" else 10_000):
                named = (await store.list("local"))[0].title
                if named != QUESTION:
                    break
            assert named == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("Paid leave", "Paid leave"),
        ("\n# Paid  leave.\nMore", "Paid leave"),
        ("Title: “Paid leave”", "Paid leave"),
        ("", ""),
        ("x" * 200, "x" * 79 + "…"),
    ],
)
def test_a_title_is_one_short_line_without_markup(words: str, expected: str) -> None:
    assert clean_title(words) == expected


async def test_told_runs_are_not_named_by_another_model(tmp_path: Path) -> None:
    """The application's own answers keep their question, whatever model is configured."""

    async def answer(run: Run) -> None:
        run.write("Yes.")

    script = tmp_path / "script.json"
    script.write_bytes(msgspec.json.encode(Script([ScriptedCall([SayText(text="A title")])])))
    async with serving(tmp_path, answer, model=f"scripted/{script}") as server:
        await server.post("/api/runs", {"question": QUESTION})
        assert (await server.millstream.supervisor.conversations.list("local"))[0].title == QUESTION
        assert not server.millstream.model.calls  # type: ignore[attr-defined]
