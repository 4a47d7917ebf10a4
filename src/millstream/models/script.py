"""Scripts: what a model shall say, when, and how it shall fail. Played by `ScriptedModel` and `millstream.testing`.

A script is a list of calls, one for each time the model is asked; the last one repeats. A call is a list of steps:

    {"calls": [
      {"steps": [{"type": "rate_limited", "retry_after": 2}]},
      {"steps": [
        {"type": "delay", "seconds": 0.5},
        {"type": "reasoning", "text": "They ask about foxes.", "rate": 50},
        {"type": "text", "text": "The quick brown fox", "rate": 50},
        {"type": "usage", "input_tokens": 12, "output_tokens": 9},
        {"type": "finish", "reason": "stop"}]}]}

    type            fields                               what happens
    --------------  -----------------------------------  -------------------------------------------------------
    text            text, rate?, pieces?                 says text: `rate` pieces a second, or all in one burst
    reasoning       text, rate?, pieces?                 the same as reasoning
    delay           seconds                              waits
    usage           input_tokens, output_tokens,         counts tokens
                    reasoning_tokens?, cached_tokens?
    finish          reason: stop, length,                ends; what follows is said all the same
                    content_filter
    rate_limited    retry_after? (seconds), message?     refuses with 429
    error           status, message?, code?              refuses with that status
    prompt_blocked                                       refuses as a content filter does (400 `content_filter`)
    cut                                                  the connection breaks here
    stall           before?: token, headers              says nothing more, for ever
    malformed                                            sends a piece that is not JSON

A piece is a word with the white space after it (`pieces`: `words`, the default), a character (`characters`) or the
whole text (`whole`); one piece is one token. A refusal that comes after the first word is an error frame in the stream.
A call without `finish` and without a fault ends with `stop`.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from millstream.errors import ConfigurationError
from millstream.events import FinishReason

_WORDS = re.compile(r"\s*\S+\s*|\s+")

Pieces = Literal["words", "characters", "whole"]


class Step(msgspec.Struct, frozen=True, tag_field="type", forbid_unknown_fields=True, kw_only=True):
    pass


class _Said(Step, frozen=True, kw_only=True):
    text: str
    rate: float | None = None
    pieces: Pieces = "words"

    def __post_init__(self) -> None:
        if self.rate is not None and self.rate <= 0:
            raise ValueError("rate must be more than 0 pieces a second; leave it out for a burst")

    def split(self) -> list[str]:
        """The pieces; joined they are the text."""
        if self.pieces == "words":
            return _WORDS.findall(self.text)
        return list(self.text) if self.pieces == "characters" else [self.text]


class SayText(_Said, frozen=True, tag="text", kw_only=True):
    pass


class SayReasoning(_Said, frozen=True, tag="reasoning", kw_only=True):
    pass


class Delay(Step, frozen=True, tag="delay", kw_only=True):
    seconds: float

    def __post_init__(self) -> None:
        if self.seconds < 0:
            raise ValueError("seconds must not be negative")


class CountTokens(Step, frozen=True, tag="usage", kw_only=True):
    input_tokens: int
    output_tokens: int
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None


class End(Step, frozen=True, tag="finish", kw_only=True):
    reason: FinishReason = "stop"


class RateLimited(Step, frozen=True, tag="rate_limited", kw_only=True):
    retry_after: float | None = None
    message: str = "Rate limit reached for requests"


class Refused(Step, frozen=True, tag="error", kw_only=True):
    status: int
    message: str = "The server had an error while processing your request"
    code: str | None = None

    def __post_init__(self) -> None:
        if not 400 <= self.status <= 599:
            raise ValueError("status must be an HTTP error status, 400 to 599")


class PromptBlocked(Step, frozen=True, tag="prompt_blocked", kw_only=True):
    pass


class Cut(Step, frozen=True, tag="cut", kw_only=True):
    pass


class Stall(Step, frozen=True, tag="stall", kw_only=True):
    before: Literal["token", "headers"] = "token"


class Malformed(Step, frozen=True, tag="malformed", kw_only=True):
    pass


Refusal = RateLimited | Refused | PromptBlocked
AnyStep = (
    SayText | SayReasoning | Delay | CountTokens | End | RateLimited | Refused | PromptBlocked | Cut | Stall | Malformed
)
_FAULTS = (RateLimited, Refused, PromptBlocked, Cut, Stall, Malformed)


class ScriptedCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What happens when the model is asked once."""

    steps: Sequence[AnyStep]

    @property
    def refusal(self) -> Refusal | None:
        """What the call is refused with before it says anything."""
        first = next((step for step in self.steps if not isinstance(step, Delay)), None)
        return first if isinstance(first, Refusal) else None

    def complete(self) -> Sequence[AnyStep]:
        """The steps, with the `finish` that a call without one and without a fault ends on."""
        if any(isinstance(step, (End, *_FAULTS)) for step in self.steps):
            return self.steps
        return [*self.steps, End()]

    @property
    def text(self) -> str:
        """All that is said as text, in one string."""
        return "".join(step.text for step in self.steps if isinstance(step, SayText))

    @property
    def reasoning(self) -> str:
        return "".join(step.text for step in self.steps if isinstance(step, SayReasoning))


class Script(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    calls: Sequence[ScriptedCall]

    def __post_init__(self) -> None:
        if not self.calls:
            raise ValueError("a script needs at least one call")

    def call(self, index: int) -> ScriptedCall:
        """The `index`-th call (0-based); the last one repeats."""
        return self.calls[min(index, len(self.calls) - 1)]

    @classmethod
    def of(cls, *calls: Iterable[AnyStep]) -> "Script":
        """`Script.of([SayText(text="one")], [RateLimited()])`: two calls."""
        return cls([ScriptedCall(list(steps)) for steps in calls])

    @classmethod
    def words(cls, text: str, *, rate: float | None = None, delay: float = 0, input_tokens: int = 10) -> "Script":
        """One call that says `text` word by word, with usage, after `delay` seconds."""
        said = SayText(text=text, rate=rate)
        steps: list[AnyStep] = [Delay(seconds=delay)] if delay else []
        usage = CountTokens(input_tokens=input_tokens, output_tokens=len(said.split()))
        return cls.of([*steps, said, End(), usage])

    def then(self, other: "Script") -> "Script":
        """The calls of both, one after the other."""
        return Script([*self.calls, *other.calls])


def read_script(file: Path) -> Script:
    """The script in a JSON file. Raises ConfigurationError, saying what is wrong and where."""
    try:
        return parse_script(file.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"The script {file.name} cannot be read: {(error.strerror or '').lower()}.") from None
    except ValueError as error:
        raise ConfigurationError(f"The script {file.name} is not valid: {error}") from None


def parse_script(data: bytes) -> Script:
    """The script in JSON. Raises ValueError, saying what is wrong and where (`$.calls[0].steps[2]`)."""
    return msgspec.json.decode(data, type=Script)
