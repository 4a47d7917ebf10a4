import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from model_contract import PATIENT, PLAIN, PROMPT, ModelContract, collect, said

from millstream.models import ChatModel, Finish, Text
from millstream.models.script import Delay, SayText, Script
from millstream.models.scripted import ScriptedModel
from millstream.models.timeouts import Timeouts


class TestScriptedModel(ModelContract):
    @asynccontextmanager
    async def model(self, script: Script, timeouts: Timeouts = PATIENT) -> AsyncIterator[ChatModel]:
        self.scripted = ScriptedModel(script, timeouts=timeouts)
        yield self.scripted
        await self.scripted.close()

    async def asked(self) -> None:
        await self.scripted.asked()

    async def abandoned(self) -> int:
        assert self.scripted.calls[-1].state == "cancelled"
        return self.scripted.calls[-1].tokens


async def test_the_pace_can_be_virtual() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    script = Script.of([Delay(seconds=3600), SayText(text="a b c", rate=50)])
    assert said(await collect(ScriptedModel(script, sleep=sleep))) == "a b c"
    assert slept == [3600, 1 / 50, 1 / 50]


async def test_a_burst_is_yielded_without_suspending() -> None:
    turned = False

    def turn() -> None:
        nonlocal turned
        turned = True

    asyncio.get_running_loop().call_soon(turn)
    outputs = [output async for output in ScriptedModel.words("a b c").stream(PROMPT, PLAIN)]
    assert outputs[:3] == [Text("a "), Text("b "), Text("c")]
    assert outputs[-1] == Finish("stop")
    assert not turned


async def test_the_last_call_repeats() -> None:
    model = ScriptedModel(Script.words("one").then(Script.words("two")))
    assert [said(await collect(model)) for _ in range(3)] == ["one", "two", "two"]


async def test_what_was_asked_is_kept() -> None:
    model = ScriptedModel.words("yes")
    await collect(model)
    assert (model.calls[0].prompt, model.calls[0].options, model.calls[0].state) == (PROMPT, PLAIN, "finished")
