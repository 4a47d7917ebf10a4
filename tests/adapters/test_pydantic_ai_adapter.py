"""An agent of Pydantic AI as an answer; its model is a function."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_ai import Agent, ModelRetry, RunContext
from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models.function import AgentInfo, DeltaThinkingPart, DeltaToolCall, FunctionModel

from millstream.adapters import pydantic_ai_answer
from millstream.client import AsyncClient
from millstream.snapshot import Snapshot
from serving import serving, within


async def answered(folder: Path, agent: Agent[Any, Any], *earlier: str, **options: Any) -> Snapshot:
    async with serving(folder, pydantic_ai_answer(agent, **options)) as server, AsyncClient(server.url) as client:
        conversation: dict[str, Any] = {}
        for question in earlier:
            found = await within(client.run(question).final())
            conversation = {"conversation_id": found.conversation_id}
        return await within(client.run("Why?", **conversation).final())


def returned(messages: list[ModelMessage]) -> str | None:
    """What the tool returned, when it was called."""
    for part in messages[-1].parts:
        if part.part_kind in ("tool-return", "retry-prompt"):
            return str(part.content)
    return None


async def thinks_and_says(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[Any]:
    yield {0: DeltaThinkingPart(content="H")}
    yield {0: DeltaThinkingPart(content="m.")}
    yield "Be"
    yield "cause."


async def test_words_thinking_and_usage_become_those_of_the_run(tmp_path: Path) -> None:
    message = (await answered(tmp_path, Agent(FunctionModel(stream_function=thinks_and_says)))).message
    assert (message.content, message.reasoning) == ("Because.", "Hm.")
    assert message.usage is not None
    assert message.usage.output_tokens > 0


async def calls_weather(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[Any]:
    if (told := returned(messages)) is None:
        yield {0: DeltaToolCall(name="weather", json_args='{"city": "Rome"}', tool_call_id="t")}
    else:
        yield f"It is {told}."


async def test_a_tool_call_is_shown(tmp_path: Path) -> None:
    agent = Agent(FunctionModel(stream_function=calls_weather))

    @agent.tool_plain
    def weather(city: str) -> str:
        return f"clear over {city}"

    message = (await answered(tmp_path, agent)).message
    assert message.content == "It is clear over Rome."
    [shown] = message.tools or []
    assert (shown.name, shown.arguments, shown.output) == ("weather", {"city": "Rome"}, "clear over Rome")


async def test_a_tool_that_asks_to_be_tried_again_is_shown_as_an_error(tmp_path: Path) -> None:
    agent = Agent(FunctionModel(stream_function=calls_weather))

    @agent.tool_plain
    def weather(city: str) -> str:
        raise ModelRetry("no such city")

    [shown] = (await answered(tmp_path, agent)).message.tools or []
    assert shown.error is not None
    assert "no such city" in shown.error


async def test_the_conversation_is_the_agents_history(tmp_path: Path) -> None:
    async def counts(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        said = [(part.part_kind, part.content) for message in messages for part in message.parts]  # type: ignore[union-attr]
        yield repr(said)

    message = (await answered(tmp_path, Agent(FunctionModel(stream_function=counts)), "First?")).message
    assert message.content.startswith("[('user-prompt', 'First?'), ('text', ")
    assert message.content.endswith("('user-prompt', 'Why?')]")


async def test_the_agents_dependencies_are_made_for_the_run(tmp_path: Path) -> None:
    agent = Agent(FunctionModel(stream_function=calls_weather), deps_type=str)

    @agent.tool
    def weather(context: RunContext[str], city: str) -> str:
        return f"clear for {context.deps}"

    assert (await answered(tmp_path, agent, deps=lambda run: run.owner)).message.content == "It is clear for local."


class City(BaseModel):
    name: str


async def test_an_output_that_is_not_text_is_data(tmp_path: Path) -> None:
    async def names(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[Any]:
        yield {0: DeltaToolCall(name=info.output_tools[0].name, json_args='{"name": "Rome"}', tool_call_id="o")}

    message = (await answered(tmp_path, Agent(FunctionModel(stream_function=names), output_type=City))).message
    assert [(found.name, found.data) for found in message.data or []] == [("output", {"name": "Rome"})]


async def test_an_error_of_the_model_has_the_code_of_our_own_models(tmp_path: Path) -> None:
    async def refuses(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        raise ModelHTTPError(429, "m", {"message": "Too many."})
        yield ""

    found = await answered(tmp_path, Agent(FunctionModel(stream_function=refuses)))
    assert found.message.error is not None
    assert found.message.error.code == "model-rate-limited"
    assert "Too many" in found.message.error.message


async def test_a_connection_that_breaks_after_words_is_an_interruption(tmp_path: Path) -> None:
    async def breaks(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        yield "Be"
        raise ModelAPIError("m", "Connection lost.")

    found = await answered(tmp_path, Agent(FunctionModel(stream_function=breaks)))
    assert found.message.error is not None
    assert (found.message.content, found.message.error.code) == ("Be", "model-interrupted")


async def test_why_the_words_ended_is_kept(tmp_path: Path) -> None:
    class Short(FunctionModel):
        @asynccontextmanager
        async def request_stream(self, *given: Any, **more: Any) -> AsyncIterator[Any]:
            async with super().request_stream(*given, **more) as response:
                response.finish_reason = "length"
                yield response

    assert (await answered(tmp_path, Agent(Short(stream_function=thinks_and_says)))).message.reason == "length"
