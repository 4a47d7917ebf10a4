"""What every ChatModel does, whatever stands behind it. An implementation subclasses `ModelContract`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing
from itertools import groupby

import pytest

from millstream.errors import ModelError
from millstream.models import (
    ChatMessage,
    ChatModel,
    Finish,
    ModelOptions,
    ModelOutput,
    Prompt,
    Reasoning,
    Text,
    TokenUsage,
)
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
    Stall,
)
from millstream.models.timeouts import Timeouts

PROMPT = Prompt([ChatMessage("system", "Be brief."), ChatMessage("user", "Which fox?")])
PLAIN = ModelOptions()
# For everything but the timeouts themselves the limits are far away: the machine may be busy.
PATIENT = Timeouts(connect_s=10, first_token_s=10, between_tokens_s=10)
SHORT = Timeouts(connect_s=10, first_token_s=0.9, between_tokens_s=0.9)
FOX = "The quick brown fox — “jumps” 🦊 over\n\nthe lazy dog"


async def collect(model: ChatModel, options: ModelOptions = PLAIN) -> list[ModelOutput]:
    async with asyncio.timeout(10):
        return [output async for output in model.stream(PROMPT, options)]


async def collect_until_failure(model: ChatModel) -> tuple[list[ModelOutput], ModelError]:
    outputs: list[ModelOutput] = []

    async def listen() -> None:
        async with asyncio.timeout(10):
            async for output in model.stream(PROMPT, PLAIN):
                outputs.append(output)

    with pytest.raises(ModelError) as failure:
        await listen()
    return outputs, failure.value


def said(outputs: list[ModelOutput], kind: type[Text] | type[Reasoning] = Text) -> str:
    return "".join(output.text for output in outputs if isinstance(output, kind))


def merged(outputs: list[ModelOutput]) -> list[ModelOutput]:
    """Adjacent pieces of one kind joined: what does not depend on how the network cut them."""
    result: list[ModelOutput] = []
    for kind, group in groupby(outputs, type):
        pieces = list(group)
        joins = kind in (Text, Reasoning)
        result += [kind("".join(piece.text for piece in pieces))] if joins else pieces
    return result


class ModelContract:
    def model(self, script: Script, timeouts: Timeouts = PATIENT) -> AbstractAsyncContextManager[ChatModel]:
        """A model behind which `script` is played; closed when the context ends."""
        raise NotImplementedError

    async def abandoned(self) -> int:
        """How many words had been sent when the last call was given up; waits until it was."""
        raise NotImplementedError

    async def test_says_its_words_then_counts_them_and_finishes_once(self) -> None:
        async with self.model(Script.words(FOX, input_tokens=7)) as model:
            outputs = merged(await collect(model))
        text, usage, finish = outputs
        assert text == Text(FOX)
        assert isinstance(usage, TokenUsage)
        assert (usage.input_tokens, usage.output_tokens) == (7, len(FOX.split()))
        assert finish == Finish("stop")

    async def test_words_arrive_as_they_are_said_not_at_the_end(self) -> None:
        script = Script.of([SayText(text="First "), Delay(seconds=3600), SayText(text="last")])
        async with self.model(script) as model, aclosing(model.stream(PROMPT, PLAIN)) as outputs:
            async with asyncio.timeout(5):
                assert await anext(outputs) == Text("First ")

    async def test_reasoning_is_kept_apart_from_the_words(self) -> None:
        script = Script.of([SayReasoning(text="They mean a fox."), SayText(text="A red fox.")])
        async with self.model(script) as model:
            outputs = merged(await collect(model))
        assert outputs == [Reasoning("They mean a fox."), Text("A red fox."), Finish("stop")]

    async def test_token_details_are_passed_on(self) -> None:
        count = CountTokens(input_tokens=9, output_tokens=5, reasoning_tokens=3, cached_tokens=4)
        async with self.model(Script.of([SayText(text="x"), End(), count])) as model:
            outputs = await collect(model)
        assert TokenUsage(9, 5, 3, 4) in outputs

    @pytest.mark.parametrize("reason", ["stop", "length", "content_filter"])
    async def test_says_why_it_finished(self, reason: str) -> None:
        async with self.model(Script.of([SayText(text="Half an"), End(reason=reason)])) as model:  # type: ignore[arg-type]
            outputs = merged(await collect(model))
        assert outputs == [Text("Half an"), Finish(reason)]  # type: ignore[arg-type]

    async def test_a_rate_limit_says_how_long_to_wait_and_the_next_call_succeeds(self) -> None:
        script = Script.of([RateLimited(retry_after=2.5)]).then(Script.words("Now then"))
        async with self.model(script) as model:
            outputs, failure = await collect_until_failure(model)
            assert said(await collect(model)) == "Now then"
        assert outputs == []
        assert (failure.code, failure.status, failure.retryable) == ("model-rate-limited", 429, True)
        assert failure.retry_after == 2.5

    async def test_a_used_up_quota_is_not_worth_a_retry(self) -> None:
        async with self.model(Script.of([Refused(status=429, code="insufficient_quota")])) as model:
            _, failure = await collect_until_failure(model)
        assert (failure.code, failure.retryable) == ("model-rate-limited", False)

    @pytest.mark.parametrize("status", [500, 502, 503, 529])
    async def test_a_failing_server_is_unavailable_and_worth_a_retry(self, status: int) -> None:
        async with self.model(Script.of([Refused(status=status, message="Overloaded")])) as model:
            _, failure = await collect_until_failure(model)
        assert (failure.code, failure.status, failure.retryable) == ("model-unavailable", 502, True)
        assert str(status) in failure.message
        assert "Overloaded" in failure.message

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
    async def test_a_refusal_is_for_the_operator(self, status: int) -> None:
        async with self.model(Script.of([Refused(status=status)])) as model:
            _, failure = await collect_until_failure(model)
        assert (failure.code, failure.status, failure.retryable) == ("model-refused", 502, False)
        assert str(status) in failure.message

    async def test_a_blocked_prompt_is_a_content_filter_error(self) -> None:
        async with self.model(Script.of([PromptBlocked()])) as model:
            _, failure = await collect_until_failure(model)
        assert (failure.code, failure.status, failure.retryable) == ("model-content-filter", 422, False)

    async def test_a_cut_in_the_middle_keeps_the_words_and_is_an_interruption(self) -> None:
        script = Script.of([SayText(text="Half an answer ", rate=200), Delay(seconds=0.05), Cut()])
        async with self.model(script) as model:
            outputs, failure = await collect_until_failure(model)
        assert said(outputs) == "Half an answer "
        assert not any(isinstance(output, Finish) for output in outputs)
        assert (failure.code, failure.status, failure.retryable) == ("model-interrupted", 502, True)

    async def test_a_cut_before_the_first_word_may_simply_be_repeated(self) -> None:
        async with self.model(Script.of([Cut()]).then(Script.words("Here"))) as model:
            outputs, failure = await collect_until_failure(model)
            assert said(await collect(model)) == "Here"
        assert outputs == []
        assert (failure.code, failure.retryable) == ("model-unavailable", True)

    async def test_an_answer_that_was_complete_survives_a_cut(self) -> None:
        async with self.model(Script.of([SayText(text="All of it"), End(), Delay(seconds=0.05), Cut()])) as model:
            outputs = merged(await collect(model))
        assert outputs == [Text("All of it"), Finish("stop")]

    async def test_an_error_in_the_middle_is_an_interruption(self) -> None:
        script = Script.of([SayText(text="Half "), Refused(status=500, message="Engine failure")])
        async with self.model(script) as model:
            outputs, failure = await collect_until_failure(model)
        assert said(outputs) == "Half "
        assert (failure.code, failure.retryable) == ("model-interrupted", True)
        assert "Engine failure" in failure.message

    async def test_nonsense_is_malformed_and_keeps_the_words_before_it(self) -> None:
        async with self.model(Script.of([SayText(text="Fine so far "), Malformed()])) as model:
            outputs, failure = await collect_until_failure(model)
        assert said(outputs) == "Fine so far "
        assert (failure.code, failure.status, failure.retryable) == ("model-malformed", 502, False)

    @pytest.mark.parametrize("before", ["token", "headers"])
    async def test_silence_before_the_first_word_times_out(self, before: str) -> None:
        async with self.model(Script.of([Stall(before=before)]), SHORT) as model:  # type: ignore[arg-type]
            outputs, failure = await collect_until_failure(model)
        assert outputs == []
        assert (failure.code, failure.status, failure.retryable) == ("model-timeout-first-token", 504, True)
        assert "0.9 s" in failure.message

    async def test_silence_between_words_times_out(self) -> None:
        async with self.model(Script.of([SayText(text="One ", rate=100), Stall()]), SHORT) as model:
            outputs, failure = await collect_until_failure(model)
        assert said(outputs) == "One "
        assert (failure.code, failure.status) == ("model-timeout-between-tokens", 504)

    async def test_a_steady_answer_may_last_longer_than_any_timeout(self) -> None:
        async with self.model(Script.words("one two three four five six seven eight", rate=7), SHORT) as model:
            assert said(await collect(model)) == "one two three four five six seven eight"

    async def test_a_slow_consumer_is_not_the_models_silence(self) -> None:
        async with self.model(Script.words("one two three", rate=100), SHORT) as model:
            outputs = []
            async for output in model.stream(PROMPT, PLAIN):
                outputs.append(output)
                if len(outputs) == 1:
                    await asyncio.sleep(SHORT.between_tokens_s * 2)
        assert said(outputs) == "one two three"

    async def test_closing_the_iterator_gives_the_call_up(self) -> None:
        async with self.model(Script.words("word " * 1000, rate=100)) as model:
            async with aclosing(model.stream(PROMPT, PLAIN)) as outputs:
                await anext(outputs)
            assert await self.abandoned() < 100

    async def test_cancelling_before_the_first_word_gives_the_call_up(self) -> None:
        async with self.model(Script.words("never", delay=3600)) as model:
            task = asyncio.create_task(_first(model.stream(PROMPT, PLAIN)))
            await self.asked()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await self.abandoned() == 0

    async def test_calls_do_not_wait_for_each_other(self) -> None:
        async with self.model(Script.words("a b c d e", rate=5)) as model:  # a second each
            async with asyncio.timeout(15):
                answers = await asyncio.gather(*(collect(model) for _ in range(20)))
        assert {said(outputs) for outputs in answers} == {"a b c d e"}

    async def asked(self) -> None:
        """Waits until the model was asked."""
        raise NotImplementedError


async def _first(outputs: AsyncIterator[ModelOutput]) -> ModelOutput:
    return await anext(outputs)
