"""A runnable of LangChain as an answer."""

from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableLambda
from langchain_core.tools import tool

from millstream.adapters import langchain_answer
from millstream.client import AsyncClient
from millstream.events import TextDelta
from millstream.snapshot import Snapshot
from serving import serving, within


def model(message: AIMessage) -> GenericFakeChatModel:
    return GenericFakeChatModel(messages=iter([message]))


async def answered(folder: Path, runnable: Runnable[Any, Any], **options: Any) -> Snapshot:
    async with serving(folder, langchain_answer(runnable, **options)) as server, AsyncClient(server.url) as client:
        return await within(client.run("Why?").final())


async def test_a_chat_model_is_given_the_conversation_and_its_words_are_the_answer(tmp_path: Path) -> None:
    found = await answered(tmp_path, model(AIMessage("Be cause.")))
    assert (found.state, found.message.content) == ("finished", "Be cause.")


async def test_a_chain_is_given_what_we_make_of_the_run_and_streams_its_output(tmp_path: Path) -> None:
    chain = (
        ChatPromptTemplate.from_messages([("user", "{question}")]) | model(AIMessage("Be cause.")) | StrOutputParser()
    )
    answer = langchain_answer(chain, given=lambda run: {"question": run.question})
    async with serving(tmp_path, answer) as server, AsyncClient(server.url) as client:
        words = [event.text async for event in client.run("Why?") if isinstance(event, TextDelta)]
    assert "".join(words) == "Be cause."


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    if city == "Oz":
        raise ValueError("no such city")
    return f"clear over {city}"


def asking_for(city: str) -> Runnable[Any, Any]:
    async def ask(given: Any) -> str:
        return str(await weather.ainvoke({"city": city}))

    return RunnableLambda(ask)


async def test_a_tool_call_is_shown(tmp_path: Path) -> None:
    message = (await answered(tmp_path, asking_for("Rome"))).message
    assert message.content == "clear over Rome"
    [shown] = message.tools or []
    assert (shown.name, shown.arguments, shown.output) == ("weather", {"city": "Rome"}, "clear over Rome")


async def test_a_tool_that_fails_is_shown_and_ends_the_run(tmp_path: Path) -> None:
    found = await answered(tmp_path, asking_for("Oz"))
    [shown] = found.message.tools or []
    assert shown.error == "no such city"
    assert found.state == "failed"


async def test_what_the_models_inside_say_may_be_the_answer(tmp_path: Path) -> None:
    """As with an agent or a graph, whose own output is a state."""
    state = model(AIMessage("Be cause.")) | RunnableLambda(lambda said: {"messages": [said]})
    found = await answered(tmp_path, state)
    assert found.state == "failed"
    assert found.message.error is not None
    assert found.message.error.code == "no-words"
    state = model(AIMessage("Be cause.")) | RunnableLambda(lambda said: {"messages": [said]})
    assert (await answered(tmp_path / "again", state, words="model")).message.content == "Be cause."


class Thinking(GenericFakeChatModel):
    """Says its reasoning first, and counts its tokens at the end."""

    async def _astream(self, *given: Any, **more: Any) -> Any:
        from langchain_core.outputs import ChatGenerationChunk

        usage = {
            "input_tokens": 7, "output_tokens": 3, "total_tokens": 10,
            "output_token_details": {"reasoning": 1}, "input_token_details": {"cache_read": 2},
        }  # fmt: skip
        yield ChatGenerationChunk(message=AIMessageChunk("", additional_kwargs={"reasoning_content": "Hm."}))
        yield ChatGenerationChunk(message=AIMessageChunk("Because."))
        yield ChatGenerationChunk(message=AIMessageChunk("", usage_metadata=usage))  # type: ignore[arg-type]


async def test_reasoning_and_usage_become_those_of_the_run(tmp_path: Path) -> None:
    message = (await answered(tmp_path, Thinking(messages=iter([])))).message
    assert (message.content, message.reasoning) == ("Because.", "Hm.")
    assert message.usage is not None
    assert (message.usage.input_tokens, message.usage.output_tokens) == (7, 3)
    assert (message.usage.cached_tokens, message.usage.reasoning_tokens) == (2, 1)


class Failing(GenericFakeChatModel):
    """Fails as ChatOpenAI does, whose errors are those of OpenAI's SDK."""

    said: str
    error: Any

    async def _astream(self, *given: Any, **more: Any) -> Any:
        from langchain_core.outputs import ChatGenerationChunk

        yield ChatGenerationChunk(message=AIMessageChunk(self.said))
        raise self.error


ASKED = httpx.Request("POST", "http://model")
BUSY = openai.RateLimitError("Busy", response=httpx.Response(429, headers={"Retry-After": "7"}, request=ASKED), body={})
LOST = openai.APIConnectionError(request=ASKED)


@pytest.mark.parametrize(
    ("said", "error", "code", "wait"),
    [
        ("", BUSY, "model-rate-limited", 7),
        ("", LOST, "model-unavailable", None),
        ("Be", LOST, "model-interrupted", None),
        ("Be", ValueError("a bug"), "internal", None),
    ],
)
async def test_an_error_of_openais_sdk_has_the_code_of_our_own_models(
    tmp_path: Path, said: str, error: Exception, code: str, wait: float | None
) -> None:
    found = await answered(tmp_path, Failing(messages=iter([]), said=said, error=error))
    assert found.message.error is not None
    assert (found.message.content, found.message.error.code, found.message.error.retry_after) == (said, code, wait)


@pytest.mark.parametrize("words", ["output", "model"])
async def test_the_words_of_a_model_whose_streaming_is_off_are_the_answer(tmp_path: Path, words: str) -> None:
    silent = GenericFakeChatModel(messages=iter([AIMessage("Be cause.")]), disable_streaming=True)
    assert (await answered(tmp_path, silent, words=words)).message.content == "Be cause."


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({"finish_reason": "length"}, "length"),
        ({"stop_reason": "max_tokens"}, "length"),
        ({"stop_reason": "x"}, "stop"),
    ],
)
async def test_why_the_words_ended_is_kept(tmp_path: Path, told: dict[str, str], reason: str) -> None:
    said = AIMessage("Be", response_metadata=told)
    off = GenericFakeChatModel(messages=iter([said]), disable_streaming=True)
    assert (await answered(tmp_path, off)).message.reason == reason


@pytest.mark.parametrize("kind", ["thinking", "reasoning"])
async def test_parts_that_are_thoughts_are_reasoning(tmp_path: Path, kind: str) -> None:
    said = AIMessage([{"type": kind, kind: "Hm."}, {"type": "text", "text": "Because."}])
    off = GenericFakeChatModel(messages=iter([said]), disable_streaming=True)
    message = (await answered(tmp_path, off)).message
    assert (message.content, message.reasoning) == ("Because.", "Hm.")
