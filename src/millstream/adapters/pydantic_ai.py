"""An agent of Pydantic AI as an answer: words, thinking, tool calls, usage."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from millstream.adapters.shown import shown
from millstream.answers.adapt import Answer
from millstream.models import TokenUsage
from millstream.models.failures import http_error, interrupted
from millstream.run import Run

if TYPE_CHECKING:
    from pydantic_ai import Agent


def pydantic_ai_answer(agent: "Agent[Any, Any]", deps: Callable[[Run], Any] | None = None) -> Answer:
    """An answer that runs `agent` on the question, with the conversation as its history.

    `deps` makes the agent's dependencies for a run. An output that is not text is the run's data event `output`.
    An error of its model ends the run with the same codes as Millstream's own models.
    """

    async def answer(run: Run) -> None:
        from pydantic_ai import exceptions
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
        begun = False
        try:
            async with agent.run_stream_events(run.question, message_history=history, deps=given) as events:
                async for event in events:
                    match event:
                        case said.PartStartEvent(part=said.TextPart(content=text)):
                            run.write(text)
                            begun = begun or bool(text)
                        case said.PartDeltaEvent(delta=said.TextPartDelta(content_delta=text)):
                            run.write(text)
                            begun = begun or bool(text)
                        case said.PartStartEvent(part=said.ThinkingPart(content=text)):
                            run.think(text)
                        case said.PartDeltaEvent(delta=said.ThinkingPartDelta(content_delta=str(text))):
                            run.think(text)
                        case said.FunctionToolCallEvent():
                            tools[event.tool_call_id] = run.tool_started(
                                event.part.tool_name, event.part.args_as_dict()
                            )
                        case said.FunctionToolResultEvent():
                            _finish_tool(run, tools.pop(event.tool_call_id, None), event.part)
                        case _ if event.event_kind == "agent_run_result":
                            _end(run, event.result)
        except exceptions.ModelHTTPError as error:
            code, wait = getattr(error, "provider_error_code", None), getattr(error, "retry_after", None)
            status = error.status_code
            raise http_error("The model", status, code=code or "", said=_said(error.body), retry_after=wait) from error
        except exceptions.ModelAPIError as error:
            raise interrupted("The model", after_first_delta=begun, reason=error.message.rstrip(".")) from error

    return answer


def _said(body: Any) -> str:
    """The provider's words in the body of its error, if it has any."""
    error = body.get("error", body) if isinstance(body, dict) else body
    return str(error.get("message", "")) if isinstance(error, dict) else str(error or "")


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
    match result.response.finish_reason:
        case "length" | "content_filter" as reason:
            run.ended(reason)
    if not isinstance(result.output, str):
        run.data("output", shown(result.output))
