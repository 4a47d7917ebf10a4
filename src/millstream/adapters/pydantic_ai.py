"""An agent of Pydantic AI as an answer: words, thinking, tool calls, usage."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from millstream.adapters.shown import shown
from millstream.answers.adapt import Answer
from millstream.models import TokenUsage
from millstream.run import Run

if TYPE_CHECKING:
    from pydantic_ai import Agent


def pydantic_ai_answer(agent: "Agent[Any, Any]", deps: Callable[[Run], Any] | None = None) -> Answer:
    """An answer that runs `agent` on the question, with the conversation as its history.

    `deps` makes the agent's dependencies for a run. An output that is not text is the run's data event `output`.
    """

    async def answer(run: Run) -> None:
        from pydantic_ai import messages as said

        history: list[said.ModelMessage] = []
        for message in run.messages[:-1]:
            if message.role == "assistant":
                history.append(said.ModelResponse([said.TextPart(message.content)]))
            elif message.role == "system":
                history.append(said.ModelRequest([said.SystemPromptPart(message.content)]))
            else:
                history.append(said.ModelRequest([said.UserPromptPart(message.content)]))
        tools: dict[str, str] = {}
        given = deps(run) if deps is not None else None
        async with agent.run_stream_events(run.question, message_history=history, deps=given) as events:
            async for event in events:
                match event:
                    case said.PartStartEvent(part=said.TextPart(content=text)):
                        run.write(text)
                    case said.PartDeltaEvent(delta=said.TextPartDelta(content_delta=text)):
                        run.write(text)
                    case said.PartStartEvent(part=said.ThinkingPart(content=text)):
                        run.think(text)
                    case said.PartDeltaEvent(delta=said.ThinkingPartDelta(content_delta=str(text))):
                        run.think(text)
                    case said.FunctionToolCallEvent():
                        tools[event.tool_call_id] = run.tool_started(event.part.tool_name, event.part.args_as_dict())
                    case said.FunctionToolResultEvent():
                        _finish_tool(run, tools.pop(event.tool_call_id, None), event.part)
                    case _ if event.event_kind == "agent_run_result":
                        _end(run, event.result)

    return answer


def _finish_tool(run: Run, tool_id: str | None, part: Any) -> None:
    if tool_id is None:
        return
    if part.outcome == "success":
        run.tool_finished(tool_id, output=shown(part.content))
    else:
        run.tool_finished(tool_id, error=str(part.content))


def _end(run: Run, result: Any) -> None:
    usage = result.usage
    run.count(TokenUsage(usage.input_tokens, usage.output_tokens, cached_tokens=usage.cache_read_tokens or None))
    if not isinstance(result.output, str):
        run.data("output", shown(result.output))
