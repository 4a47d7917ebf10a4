"""A stream of the OpenAI SDK as an answer: words, reasoning, usage, and the tools that the model calls."""

import asyncio
import inspect
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import httpx
import openai

from millstream.adapters.failure import sdk_failure
from millstream.adapters.shown import shown
from millstream.answers.adapt import Answer
from millstream.errors import RunError
from millstream.events import FinishReason
from millstream.models import TokenUsage
from millstream.models.failures import interrupted
from millstream.run import Run

if TYPE_CHECKING:
    from openai import AsyncStream
    from openai.types.chat import ChatCompletionChunk

# A model that has called tools so many times in a row is going in circles.
MAX_ROUNDS = 10
# Finish reasons that end the words otherwise than "stop".
_REASONS: dict[str | None, FinishReason] = {"length": "length", "content_filter": "content_filter"}

# `client.chat.completions.create(…, stream=True)` of `AsyncOpenAI` (or AzureOpenAI's) for these messages.
Create = Callable[[list[Any]], Awaitable["AsyncStream[ChatCompletionChunk]"]]


def openai_answer(create: Create, tools: Mapping[str, Callable[..., Any]] | None = None) -> Answer:
    """An answer that streams what `create(messages)` returns.

    `tools` are the functions, async or not, behind the tools that `create` offers to the model: they are called with
    the model's arguments, and the model is asked again with what they return. The SDK's errors end the run with the
    same codes as Millstream's own models; `tool-unknown` when the model calls what is not in `tools`, `tool-rounds`
    when it does not come to an end.
    """
    functions = dict(tools or {})

    async def answer(run: Run) -> None:
        messages: list[dict[str, Any]] = [{"role": said.role, "content": said.content} for said in run.messages]
        for _ in range(MAX_ROUNDS):
            words, calls = await _stream(run, create, messages)
            if not calls:
                return
            messages.append({"role": "assistant", "content": words or None, "tool_calls": calls})
            for call in calls:
                output = await _call(run, call, functions)
                messages.append({"role": "tool", "tool_call_id": call["id"], "content": output})
        raise RunError(f"The model called tools {MAX_ROUNDS} times and came to no answer.", code="tool-rounds")

    return answer


async def _stream(run: Run, create: Create, messages: list[dict[str, Any]]) -> tuple[str, list[dict[str, Any]]]:
    """Streams one call of the model into the run; returns its words, and the tools that it wants called.

    Raises ModelError, also when the stream ends without a finish reason: then it was cut.
    """
    calls: dict[int, dict[str, Any]] = {}
    words: list[str] = []
    reason: str | None = None
    usage: Any = None  # some count in every chunk, up to there: the last is that of the call
    try:
        async with await create(messages) as chunks:  # left in the middle, it ends the call upstream
            async for chunk in chunks:
                usage = chunk.usage or usage
                for choice in chunk.choices[:1]:
                    words.append(_show(run, choice.delta))
                    for piece in (choice.delta and choice.delta.tool_calls) or ():
                        _add_call(calls, piece)
                    reason = choice.finish_reason or reason
    except (openai.APIError, httpx.HTTPError, json.JSONDecodeError) as error:
        raise sdk_failure(error, begun=any(words)) from error
    finally:
        if usage is not None:
            run.count(_token_usage(usage))
    if reason is None:
        raise interrupted("The model", after_first_delta=any(words))
    run.ended(_REASONS.get(reason, "stop"))
    return "".join(words), list(calls.values())


def _show(run: Run, delta: Any) -> str:
    """Writes the words and the reasoning of a delta; returns the words. Azure leaves out some."""
    if delta is None:
        return ""
    if thought := getattr(delta, "reasoning_content", None) or getattr(delta, "reasoning", None):
        run.think(thought)
    if delta.content:
        run.write(delta.content)
    return delta.content or ""


def _add_call(calls: dict[int, dict[str, Any]], piece: Any) -> None:
    """A tool call comes in pieces that belong together by their index, or else follow on the piece with the id."""
    index = piece.index
    if index is None:
        known = [at for at, call in calls.items() if not piece.id or call["id"] == piece.id]
        index = known[-1] if known else len(calls)
    call = calls.setdefault(index, {"id": "", "type": "function", "function": {"name": "", "arguments": ""}})
    call["id"] = piece.id or call["id"]
    if piece.function is not None:
        call["function"]["name"] += piece.function.name or ""
        call["function"]["arguments"] += piece.function.arguments or ""


async def _call(run: Run, call: dict[str, Any], functions: Mapping[str, Callable[..., Any]]) -> str:
    """Calls one tool, shown in the run; returns what the model is told. An error of the tool is told to the model."""
    name = call["function"]["name"]
    if name not in functions:
        raise RunError(f"The model called a tool {name!r}, which this answer does not have.", code="tool-unknown")
    try:
        arguments = json.loads(call["function"]["arguments"] or "{}")
        if not isinstance(arguments, dict):
            raise ValueError("not an object")
    except ValueError as error:
        return f"The arguments are not a JSON object: {error}."
    tool_id = run.tool_started(name, arguments)
    try:
        output = shown(await _called(functions[name], arguments))
    except Exception as error:
        run.tool_finished(tool_id, error=f"{type(error).__name__}: {error}")
        return f"The tool failed: {error}"
    run.tool_finished(tool_id, output=output)
    return output if isinstance(output, str) else json.dumps(output, ensure_ascii=False)


async def _called(function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """What the tool returns; a plain function may take its time, in a thread."""
    if inspect.iscoroutinefunction(function):
        return await function(**arguments)
    output = await asyncio.to_thread(function, **arguments)
    return await output if inspect.isawaitable(output) else output


def _token_usage(usage: Any) -> TokenUsage:
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    return TokenUsage(
        usage.prompt_tokens,
        usage.completion_tokens,
        reasoning_tokens=completion.reasoning_tokens if completion is not None else None,
        cached_tokens=prompt.cached_tokens if prompt is not None else None,
    )
