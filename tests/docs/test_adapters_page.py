"""The code of docs/adapters.md, run as it stands: the models behind it are ours, and LangChain's own are stand-ins."""

import re
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import uvicorn
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable, RunnableLambda

from calling_model import Asked, Chunk, call, calling_model, chunk
from millstream.client import AsyncClient
from millstream.snapshot import Message
from serving import listening, within

PAGE = (Path(__file__).parents[2] / "docs" / "adapters.md").read_text()
CODE = {name: code for name, code in re.findall(r"^<!-- run: ([\w-]+) -->\n```\w+\n(.*?)^```", PAGE, re.DOTALL | re.M)}


def test_every_piece_of_code_is_run() -> None:
    assert len(CODE) == PAGE.count("```") // 2
    tests = Path(__file__).read_text()
    assert all(f'"{name}"' in tests for name in CODE)


WORDS = [chunk({"role": "assistant", "content": "Clear."}), chunk({}, "stop")]
Answered = Callable[..., Awaitable[tuple[Message, Asked]]]


@pytest.fixture
def answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Answered:
    """What the page's application of a name answers, and what the model was asked, which gives these answers."""

    async def answered(name: str, *answers: list[Chunk]) -> tuple[Message, Asked]:
        async with calling_model(*answers) as (url, asked):
            monkeypatch.setenv("OPENAI_API_KEY", "any")
            monkeypatch.setenv("OPENAI_BASE_URL", url)
            monkeypatch.setenv("MILLSTREAM_DATA", str(tmp_path))
            names: dict[str, Any] = {}
            exec(CODE[name], names)  # noqa: S102
            async with (
                listening(uvicorn.Config(names["app"], lifespan="on", log_level="error")) as (_, port),
                AsyncClient(f"http://127.0.0.1:{port}") as client,
            ):
                found = await within(client.run("How is the weather?").final())
        assert found.state == "finished", found
        return found.message, asked

    return answered


async def test_openais_sdk(answered: Answered) -> None:
    message, asked = await answered("openai", WORDS)
    assert message.content == "Clear."
    assert asked == [[{"role": "user", "content": "How is the weather?"}]]


async def test_openais_sdk_with_tools(answered: Answered) -> None:
    message, _ = await answered("openai-tools", call('{"city": "Rome"}'), WORDS)
    assert message.content == "Clear."
    assert [tool.output for tool in message.tools or []] == [{"city": "Rome", "sky": "clear"}]


async def test_pydantic_ai(answered: Answered) -> None:
    message, _ = await answered("pydantic-ai", call('{"name": "Ann"}', "greeting"), WORDS)
    assert message.content == "Clear."
    assert [tool.output for tool in message.tools or []] == ["Hello Ann, says local."]


@pytest.fixture
def langchain(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the stand-ins for LangChain's own packages were given."""
    given: list[Any] = []

    class ChatOpenAI(GenericFakeChatModel):
        model: str
        stream_usage: bool = False

        def __init__(self, **options: Any) -> None:
            super().__init__(messages=iter([AIMessage("Clear.")]), **options)

        async def _astream(self, messages: list[Any], *more: Any, **options: Any) -> Any:
            given.append([message.content for message in messages])
            async for piece in super()._astream(messages, *more, **options):
                yield piece

    def create_agent(model: Runnable[Any, Any], tools: list[Any]) -> Runnable[Any, Any]:
        asked = RunnableLambda(lambda state: state["messages"])
        return asked | model | RunnableLambda(lambda said: {"messages": [said]})

    for name, content in (("langchain_openai", ChatOpenAI), ("langchain", None), ("langchain.agents", create_agent)):
        module = ModuleType(name)
        if content is not None:
            setattr(module, content.__name__, content)
        monkeypatch.setitem(sys.modules, name, module)
    return given


async def test_a_chain(answered: Answered, langchain: list[Any]) -> None:
    message, _ = await answered("langchain")
    assert (message.content, langchain) == ("Clear.", [["Answer in verse.", "How is the weather?"]])


async def test_an_agent(answered: Answered, langchain: list[Any]) -> None:
    message, _ = await answered("langgraph")
    assert (message.content, langchain) == ("Clear.", [["How is the weather?"]])
