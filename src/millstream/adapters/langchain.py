"""A runnable of LangChain (or a graph of LangGraph) as an answer: words, reasoning, tool calls, usage."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import openai

from millstream.adapters.failure import sdk_failure
from millstream.adapters.shown import shown
from millstream.answers.adapt import Answer
from millstream.errors import RunError
from millstream.events import FinishReason
from millstream.models import TokenUsage
from millstream.run import Run

if TYPE_CHECKING:
    from langchain_core.runnables import Runnable

# How providers say that the words ended otherwise than of themselves.
_REASONS: dict[str, FinishReason] = {
    "length": "length",
    "max_tokens": "length",
    "content_filter": "content_filter",
    "safety": "content_filter",
    "refusal": "content_filter",
}


def langchain_answer(
    runnable: "Runnable[Any, Any]",
    given: Callable[[Run], Any] | None = None,
    words: Literal["output", "model"] = "output",
) -> Answer:
    """An answer that streams `runnable`.

    `given` makes its input from the run; without it, that is the conversation as a list of messages. `words` says what
    is the answer: the runnable's own output ("output"), or what the chat models in it say ("model"), for agents and
    graphs, whose output is a state: such a run, without any words, fails with the code `no-words`. The errors of models
    that the OpenAI SDK asks (ChatOpenAI, AzureChatOpenAI) end the run with the same codes as Millstream's own models.
    """

    async def answer(run: Run) -> None:
        tools: dict[str, str] = {}
        spoken: set[str] = set()  # the LangChain runs that have streamed
        written = wordless = False
        asked = given(run) if given is not None else [(said.role, said.content) for said in run.messages]
        try:
            async for event in runnable.astream_events(asked, version="v2"):
                kind, data = event["event"], event["data"]
                if kind == "on_tool_start":
                    tools[event["run_id"]] = run.tool_started(event["name"], _arguments(data.get("input")))
                elif kind == "on_tool_end":
                    output = data.get("output")
                    run.tool_finished(tools.pop(event["run_id"]), output=shown(getattr(output, "content", output)))
                elif kind == "on_tool_error":
                    run.tool_finished(tools.pop(event["run_id"]), error=str(data.get("error", "")))
                elif kind == "on_chat_model_end":
                    said = data.get("output")
                    if event["run_id"] not in spoken:  # its streaming is switched off
                        _think(run, said)
                        if words == "model" or not event["parent_ids"]:
                            run.write(_text(said) or "")
                    _count(run, said)
                    _end(run, said)
                elif kind.endswith("_stream"):
                    chunk = data.get("chunk")
                    spoken.add(event["run_id"])
                    if kind == "on_chat_model_stream":
                        _think(run, chunk)
                    if (kind == "on_chat_model_stream") if words == "model" else not event["parent_ids"]:
                        text = _text(chunk)
                        written = written or bool(text)
                        wordless = wordless or text is None
                        run.write(text or "")
        except openai.APIError as error:
            raise sdk_failure(error, begun=written) from error
        if wordless and not written:
            raise RunError(
                'The runnable\'s output is no text. For an agent or a graph use words="model".', code="no-words"
            )

    return answer


def _text(chunk: Any) -> str | None:
    """The words of a chunk: of a string, of a message, or of a message of parts. None when it is nothing of these."""
    content = getattr(chunk, "content", chunk)
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(part.get("text", "") if isinstance(part, dict) else str(part) for part in content)
    return None


def _think(run: Run, chunk: Any) -> None:
    """The reasoning in a chunk: where OpenAI's dialects have it, or parts as of Anthropic or of LangChain itself."""
    thoughts = [getattr(chunk, "additional_kwargs", {}).get("reasoning_content")]
    content = getattr(chunk, "content", None)
    for part in content if isinstance(content, list) else ():
        if isinstance(part, dict) and part.get("type") in ("thinking", "reasoning"):
            thoughts.append(part.get(part["type"]))
    for thought in thoughts:
        if thought and isinstance(thought, str):
            run.think(thought)


def _end(run: Run, message: Any) -> None:
    told = getattr(message, "response_metadata", {})
    reason = told.get("finish_reason") or told.get("stop_reason")
    if reason:
        run.ended(_REASONS.get(str(reason).lower(), "stop"))


def _arguments(given: Any) -> dict[str, Any]:
    found = shown(given)
    return found if isinstance(found, dict) else {"input": found}


def _count(run: Run, message: Any) -> None:
    usage = getattr(message, "usage_metadata", None)
    if usage:
        run.count(
            TokenUsage(
                usage["input_tokens"],
                usage["output_tokens"],
                reasoning_tokens=usage.get("output_token_details", {}).get("reasoning"),
                cached_tokens=usage.get("input_token_details", {}).get("cache_read"),
            )
        )
