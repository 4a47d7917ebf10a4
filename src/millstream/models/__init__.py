"""The language model's side: what a model is asked, what it yields, and which model the settings name.

A model only streams. It never retries (`Run.generate` does, visibly, until the first delta), never writes events and
never sees a client. Cancelling the task that iterates `stream` (or closing the iterator) closes the
upstream call at once.
"""

from collections.abc import AsyncGenerator, Sequence
from typing import Literal, Protocol

import msgspec

from millstream.events import FinishReason
from millstream.search import Passage

Role = Literal["system", "user", "assistant"]
ReasoningEffort = Literal["minimal", "low", "medium", "high"]


class ChatMessage(msgspec.Struct, frozen=True):
    role: Role
    content: str


class Prompt(msgspec.Struct, frozen=True):
    """What a model is asked.

    `messages` is the whole conversation as the provider shall see it, sources included. `question` and `passages`
    are the same question and sources as data (passage i is cited as `[i + 1]`), for a model that quotes rather than
    generates; None where nothing was searched.
    """

    messages: Sequence[ChatMessage]
    question: str = ""
    passages: Sequence[Passage] | None = None


class ModelOptions(msgspec.Struct, frozen=True, omit_defaults=True):
    """Options of one call; None leaves the provider's default.

    `paced` is false when nobody watches the words come: a model that paces itself for a reader then need not.
    """

    temperature: float | None = None
    max_output_tokens: int | None = None
    reasoning_effort: ReasoningEffort | None = None
    paced: bool = True


class Text(msgspec.Struct, frozen=True, gc=False):
    text: str


class Reasoning(msgspec.Struct, frozen=True, gc=False):
    text: str


class TokenUsage(msgspec.Struct, frozen=True, gc=False):
    """Tokens of one call as the provider counted them."""

    input_tokens: int
    output_tokens: int
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None


class Finish(msgspec.Struct, frozen=True, gc=False):
    """The model ended by itself. A stream that ends without one was cut: that is a ModelError."""

    reason: FinishReason


ModelOutput = Text | Reasoning | TokenUsage | Finish


class ChatModel(Protocol):
    """`name` is what `run.started.model` shows. `quotes` is true for a model that only quotes the passages."""

    name: str
    quotes: bool

    def stream(self, prompt: Prompt, options: ModelOptions) -> AsyncGenerator[ModelOutput, None]:
        """Yields text and reasoning as they arrive, then usage (if known) and one `Finish`, in any order.

        Several outputs that arrived in one read are yielded without suspending in between.
        Raises ModelError, with a code of `errors.MODEL_ERROR_STATUS`; a 429 carries the provider's `retry_after`.
        """
        ...

    async def close(self) -> None:
        """Releases connections. The model is not used afterwards."""
        ...
