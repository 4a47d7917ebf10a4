"""A language model as judge of answers: groundedness and relevance, each from 1 to 5."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Literal, get_args

import msgspec

from millstream.answers.prompt import fence_sources
from millstream.errors import ModelError
from millstream.models import ChatMessage, ChatModel, ModelOptions, Prompt, Text
from millstream.search import Passage

Scale = Literal["groundedness", "relevance"]

PASS = 4  # from this score on an answer passes
TRIES = 4
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0

_PROMPTS = Path(__file__).parent / "prompts"
_SCORE = re.compile(r'"score"\s*:\s*"?([1-5])\b')
_REASON = re.compile(r'"reason"\s*:\s*("(?:[^"\\]|\\.)*")')


class Judgement(msgspec.Struct, frozen=True):
    """`score` is 1 to 5; None when the judge's words held none, and `reason` is then what it said."""

    score: int | None
    reason: str


class Judge:
    """Asks `model`, whatever answers in words. It is not closed with the judge."""

    def __init__(self, model: ChatModel, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep) -> None:
        self.name = model.name
        self._model = model
        self._sleep = sleep
        self._prompts = {scale: (_PROMPTS / f"{scale}.md").read_text("utf-8").strip() for scale in get_args(Scale)}

    async def groundedness(self, question: str, answer: str, passages: Sequence[Passage]) -> Judgement:
        """Of what the answer states, how much follows from the passages. Raises ModelError."""
        sources = fence_sources(passages) or "There are no sources."
        return await self._judge("groundedness", f"{sources}\n\nQuestion: {question}\n\nAnswer: {answer}")

    async def relevance(self, question: str, answer: str, truth: str | None = None) -> Judgement:
        """How well the answer answers the question. Raises ModelError."""
        reference = f"Reference answer: {truth}\n\n" if truth else ""
        return await self._judge("relevance", f"Question: {question}\n\n{reference}Answer: {answer}")

    async def _judge(self, scale: Scale, asked: str) -> Judgement:
        words = await self._ask(Prompt([ChatMessage("system", self._prompts[scale]), ChatMessage("user", asked)]))
        score, reason = _SCORE.search(words), _REASON.search(words)
        if score is None:
            return Judgement(None, words[:500])
        return Judgement(int(score[1]), msgspec.json.decode(reason[1]) if reason else "")

    async def _ask(self, prompt: Prompt) -> str:
        for number in range(1, TRIES + 1):
            try:
                async with aclosing(self._model.stream(prompt, ModelOptions(paced=False))) as outputs:
                    return "".join([output.text async for output in outputs if isinstance(output, Text)])
            except ModelError as error:
                if not error.retryable or number == TRIES:
                    raise
                wait = error.retry_after if error.retry_after is not None else FIRST_WAIT_S * 2 ** (number - 1)
                await self._sleep(min(wait, LONGEST_WAIT_S))
        raise AssertionError("the last try returns or raises")
