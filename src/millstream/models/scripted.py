"""A model that plays a script: for tests, demos and benchmarks, in this process and without a network."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Literal

from millstream.errors import ModelError
from millstream.models import Finish, ModelOptions, ModelOutput, Prompt, Reasoning, Text, TokenUsage, failures
from millstream.models.script import (
    CountTokens,
    Cut,
    Delay,
    End,
    Malformed,
    PromptBlocked,
    RateLimited,
    Refused,
    SayReasoning,
    SayText,
    Script,
    ScriptedCall,
    Stall,
)
from millstream.models.timeouts import Timeouts

KEPT_CALLS = 1000


@dataclass
class Call:
    """One time that the model was asked. `tokens` counts the pieces that were taken from it so far."""

    prompt: Prompt
    options: ModelOptions
    tokens: int = 0
    state: Literal["running", "finished", "failed", "cancelled"] = "running"


class ScriptedModel:
    """A `ChatModel` that says what its script says and fails as its script fails, with the errors of a real one.

    `calls` holds the last calls, oldest first, so that a test can see what was asked and whether it was cancelled.
    `sleep` may be replaced by virtual time. With `timeouts` a stall ends as a real model's would; without, never.
    """

    quotes = False

    def __init__(
        self,
        script: Script,
        *,
        name: str = "scripted",
        timeouts: Timeouts | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.name = name
        self.calls: deque[Call] = deque(maxlen=KEPT_CALLS)
        self._script = script
        self._asked = 0
        self._was_asked = asyncio.Event()
        self._timeouts = timeouts
        self._sleep = sleep

    @classmethod
    def words(
        cls,
        text: str,
        *,
        rate: float | None = None,
        delay: float = 0,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> "ScriptedModel":
        """Says `text` word by word, `rate` words a second or all at once, to everyone who asks."""
        return cls(Script.words(text, rate=rate, delay=delay), sleep=sleep)

    async def stream(self, prompt: Prompt, options: ModelOptions) -> AsyncGenerator[ModelOutput, None]:
        """See `ChatModel.stream`."""
        scripted = self._script.call(self._asked)
        self._asked += 1
        call = Call(prompt, options)
        self.calls.append(call)
        self._was_asked.set()
        try:
            async with aclosing(self._play(scripted, call)) as outputs:
                async for output in outputs:
                    yield output
            call.state = "finished"
        except ModelError:
            call.state = "failed"
            raise
        finally:
            if call.state == "running":
                call.state = "cancelled"

    async def asked(self, count: int = 1) -> None:
        """Waits until the model was asked `count` times in all."""
        while self._asked < count:
            self._was_asked.clear()
            await self._was_asked.wait()

    async def close(self) -> None:
        """Nothing to release."""

    async def _play(self, scripted: ScriptedCall, call: Call) -> AsyncGenerator[ModelOutput, None]:
        ended: Finish | None = None
        for step in scripted.complete():
            match step:
                case SayText() | SayReasoning():
                    kind = Text if isinstance(step, SayText) else Reasoning
                    for number, piece in enumerate(step.split()):
                        if step.rate is not None and number:
                            await self._sleep(1 / step.rate)
                        call.tokens += 1
                        yield kind(piece)
                case Delay(seconds=seconds):
                    await self._sleep(seconds)
                case CountTokens():
                    yield TokenUsage(step.input_tokens, step.output_tokens, step.reasoning_tokens, step.cached_tokens)
                case End(reason=reason):
                    ended = Finish(reason)
                case _:
                    if isinstance(step, Cut) and ended is not None:
                        break  # everything had been said
                    raise await self._failure(step, call)
        if ended is not None:
            yield ended

    async def _failure(
        self, step: RateLimited | Refused | PromptBlocked | Cut | Stall | Malformed, call: Call
    ) -> ModelError:
        match step:
            case RateLimited(retry_after=retry_after, message=message):
                return failures.rate_limited(self.name, said=message, retry_after=retry_after)
            case Refused(message=message, code=code) if call.tokens:
                return failures.stream_error(self.name, code=code or "", said=message, after_first_delta=True)
            case Refused(status=status, message=message, code=code):
                return failures.http_error(self.name, status, code=code or "", said=message)
            case PromptBlocked():
                return failures.prompt_blocked(self.name)
            case Cut():
                return failures.interrupted(self.name, after_first_delta=call.tokens > 0)
            case Malformed():
                return failures.malformed(self.name, "a piece of answer that cannot be read")
            case Stall():
                return await self._stalled(call)

    async def _stalled(self, call: Call) -> ModelError:
        if self._timeouts is None:
            await asyncio.get_running_loop().create_future()
            raise AssertionError("a stall without timeouts ends by cancellation only")
        if call.tokens:
            await self._sleep(self._timeouts.between_tokens_s)
            return failures.between_tokens_timeout(self.name, self._timeouts)
        await self._sleep(self._timeouts.first_token_s)
        return failures.first_token_timeout(self.name, self._timeouts)
