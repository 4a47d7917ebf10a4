"""Run: what an answer is given. It asks models, cites passages and writes events; it knows no client."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, get_args

import msgspec

from millstream.citations import CitationMarks, Mark
from millstream.conversations import NOTHING_ATTACHED, Attached
from millstream.errors import ModelError, RunError, status_of
from millstream.events import (
    AnyEvent,
    Citation,
    Data,
    FinishReason,
    Followups,
    ReasoningDelta,
    RunFailed,
    RunFinished,
    RunStarted,
    RunStopped,
    Source,
    StepFinished,
    StepStarted,
    TextDelta,
    TextFinished,
    ToolFinished,
    ToolStarted,
    Unsupported,
    Usage,
)
from millstream.models import ChatMessage, ChatModel, Finish, Prompt, Reasoning, Text, TokenUsage
from millstream.pages import cited_page
from millstream.producer import Producer
from millstream.request import RunOptions
from millstream.search import Passage
from millstream.snapshot import Message
from millstream.snippets import snippet
from millstream.support import Cited, Support

# A model call is tried this often in all; the waits between, unless the provider says how long, double from the first.
MODEL_TRIES = 4
FIRST_WAIT_S = 1.0
# Only these are tried again: 429, 5xx and connections that could not be made. A model that is silent would be again.
RETRIED = frozenset({"model-rate-limited", "model-unavailable", "model-timeout-connect"})
# A provider that wants us to wait longer than this has refused; the person may try again later.
LONGEST_WAIT_S = 60.0

CONTINUE = "Your answer was cut off. Continue exactly where it stopped, without repeating anything or introducing it."
# Where a provider gives no count: English text has about four characters a token (OpenAI's own rule of thumb).
CHARACTERS_PER_TOKEN = 4


class Step:
    """A stage in progress. `done` sets what is shown when it ends."""

    def __init__(self, step_id: str, label: str) -> None:
        self.step_id = step_id
        self.label = label
        self.detail: dict[str, Any] | None = None

    def done(self, label: str, **detail: Any) -> None:
        """`label` for a person ("Found 3 related passages"), `detail` (JSON) for a developer."""
        self.label = label
        self.detail = detail or None


class Run:
    """One answer in the making.

    `messages` is the conversation so far and ends with the question; `attached` are the documents that came with them.
    After `finish` (or the end of the answer) no more words can be written.
    """

    def __init__(
        self,
        producer: Producer,
        *,
        messages: Sequence[ChatMessage],
        options: RunOptions,
        attached: Attached = NOTHING_ATTACHED,
        continued: Message | None = None,
        paced: bool = True,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        record = producer.record
        self.id = record.run_id
        self.owner = record.owner
        self.conversation_id = record.conversation_id
        self.message_id = record.message_id
        self.messages = messages
        self.question = messages[-1].content if messages else ""
        self.options = options
        self.attached = attached
        self._model_options = options.of_model(paced=paced)
        self.continued = continued  # the partial answer that this run goes on with
        self.finished = False
        self._passages: list[Passage] = []  # what source n holds is at n - 1
        self._producer = producer
        self._sleep = sleep
        self._marks: CitationMarks | None = None
        self._mark_offset = 0
        self._support: Support | None = None  # None where nothing is cited, or only quoted
        self._said: list[str] = []  # the answer from `_said_offset` on, as far as there are sources to check it against
        self._said_offset = 0
        self._cited: list[Cited] = []
        self._steps = 0
        self._tools = 0
        self._reason: FinishReason = "stop"
        self._usage: Usage | None = None
        self._asked: Prompt | None = None  # the call in progress whose provider has not given its count yet
        self._call_characters = 0

    # Steps, sources, and what the application adds

    @asynccontextmanager
    async def step(self, name: str, label: str, *, retry_after: float | None = None) -> AsyncIterator[Step]:
        """A stage of the answer, shown before its slow part begins.

        With `retry_after` it is a wait before the next try, of so many seconds.
        """
        self._steps += 1
        step = Step(f"s{self._steps}", label)
        begun = time.monotonic()
        self._producer.write(StepStarted(step_id=step.step_id, name=name, label=label, retry_after=retry_after))
        failed = f"{label.rstrip('…. ')}: failed"
        try:
            yield step
        except Exception:
            step.label = failed
            raise
        finally:
            elapsed = int((time.monotonic() - begun) * 1000)
            try:
                self._producer.write(
                    StepFinished(step_id=step.step_id, label=step.label, detail=step.detail, elapsed_ms=elapsed)
                )
            except Exception:  # what it was given as done cannot be told
                self._producer.write(StepFinished(step_id=step.step_id, label=failed, elapsed_ms=elapsed))
                raise

    def cite(self, passages: Sequence[Passage]) -> None:
        """Makes passages available as sources, numbered from 1 on, and turns `[n]` in later words into citations.

        A passage that is there twice has two numbers, as in whatever was made of the same list.

        Each citation is checked when it is written, the whole answer when its words are finished: see `support`.
        """
        self._write_rest_of_marks()
        for passage in passages:
            self._passages.append(passage)
            self._producer.write(
                Source(
                    n=len(self._passages),
                    source_id=passage.source_id,
                    document_id=passage.document_id,
                    version=passage.version,
                    title=passage.title,
                    uri=passage.uri,
                    snippet=snippet(passage),
                    page_start=passage.page_start,
                    page_end=passage.page_end,
                    start=passage.start,
                    end=passage.end,
                    score=passage.score,
                )
            )
        self._marks = CitationMarks(len(self._passages))
        self._mark_offset = self._producer.text_length
        if self._support is None:
            self._support = Support(self.question)
            self._said_offset = self._mark_offset
        self._support.add(passages)

    def data(self, name: str, data: Any, key: str | None = None) -> None:
        """The application's own event; the same name and key replaces."""
        self._producer.write(Data(name=name, data=data, key=key))

    def tool_started(self, name: str, arguments: dict[str, Any]) -> str:
        """Shows a tool call; returns its id for `tool_finished`."""
        self._tools += 1
        tool_id = f"t{self._tools}"
        self._producer.write(ToolStarted(tool_id=tool_id, name=name, arguments=arguments))
        return tool_id

    def tool_finished(self, tool_id: str, output: Any = None, error: str | None = None) -> None:
        self._producer.write(ToolFinished(tool_id=tool_id, output=output, error=error))

    def followups(self, questions: Sequence[str]) -> None:
        """Suggested next questions; ends the words."""
        self.finish()
        if questions:
            self._producer.write(Followups(questions=list(questions)))

    # Words

    @property
    def has_written(self) -> bool:
        return self._producer.text_length > 0

    def write(self, text: str) -> None:
        """Adds Markdown to the answer. Raises RuntimeError after `finish`, TypeError when it is not a string."""
        if self.finished:
            raise RuntimeError("the words of this run are finished; write before followups() or finish()")
        if type(text) is not str:
            text = _plain(text, "an answer")
        marks = self._marks
        if marks is None:
            self._producer.text(text)
            return
        for piece in marks.feed(text):
            self._write_piece(piece)

    def think(self, text: str) -> None:
        """Adds to the model's reasoning. Raises TypeError when it is not a string."""
        self._producer.reasoning(text if type(text) is str else _plain(text, "reasoning"))

    def ended(self, reason: FinishReason) -> None:
        """Why the words will have ended, when they have: for an answer that calls its model by itself.

        Raises ValueError when it is none of the reasons that there are.
        """
        if reason not in get_args(FinishReason):
            raise ValueError(f"words end by one of {', '.join(get_args(FinishReason))}, not by {reason!r}")
        self._reason = reason

    def finish(self, reason: FinishReason | None = None) -> None:
        """The words are complete; what follows is extra. The end of the answer does this by itself."""
        if self.finished:
            return
        self._write_rest_of_marks()
        self._producer.write(TextFinished(reason=reason or self._reason, unsupported=self._review()))
        self.finished = True

    def _write_piece(self, piece: str | Mark) -> None:
        if isinstance(piece, str):
            self._producer.text(piece)
            self._said.append(piece)
        else:
            self._cite(piece.n, piece.start + self._mark_offset, piece.end + self._mark_offset)

    def _cite(self, n: int, start: int, end: int) -> None:
        """Writes the citation, if it is right: of the source that it names, or of the one that certainly is meant."""
        if self._support is not None:
            source = self._support.corrected(n, self._statement(start, end))
            cited = Cited(source or 0, start, end)
            if source is None or cited in self._cited:
                return
            n = source
            self._cited.append(cited)
        self._write_citation(n, start, end)

    def _review(self) -> list[Unsupported] | None:
        """Adds the citations that are missing for certain. Returns what of the answer does not stand in the sources."""
        if self._support is None:
            return None
        review = self._support.review("".join(self._said), self._cited, self._said_offset)
        for cited in review.added:
            self._write_citation(cited.n, cited.start, cited.end)
        return list(review.unsupported) or None

    def _statement(self, start: int, end: int) -> str:
        self._said = ["".join(self._said)]
        return self._said[0][start - self._said_offset : end - self._said_offset]

    def _write_citation(self, n: int, start: int, end: int) -> None:
        page = cited_page(self._statement(start, end), self._passages[n - 1])
        self._producer.write(Citation(n=n, start=start, end=end, page=page))

    def _write_rest_of_marks(self) -> None:
        if self._marks is not None:
            for piece in self._marks.flush():
                self._write_piece(piece)
            self._marks = None

    def play(self, event: AnyEvent | None) -> None:
        """Writes a recorded event as if it happened now. Raises RunError where the recorded run failed."""
        match event:
            case TextDelta():
                self._producer.text(event.text)
            case ReasoningDelta():
                self._producer.reasoning(event.text)
            case TextFinished():
                self.finish(event.reason)
            case Usage():
                self._usage = event
            case RunFailed():
                raise RunError(
                    event.message,
                    code=event.code,
                    status=event.status or status_of(event.code),
                    retryable=event.retryable,
                    retry_after=event.retry_after,
                )
            case None | RunStarted() | RunFinished() | RunStopped():
                pass  # this run has its own
            case _:
                self._producer.write(event)

    # Models

    def generate(self, model: ChatModel, prompt: Prompt) -> Coroutine[Any, Any, FinishReason]:
        """Streams the model's words and reasoning into the run; returns why it ended.

        Retries as a visible step until the first delta. Raises ModelError: then the partial answer is kept. Await it at
        once: no coroutine of its own stands between the model and the words.
        A run that continues another's answer begins with its words (a model that quotes begins anew).
        """
        if self.continued is not None and not model.quotes:
            prompt = self._continue(self.continued, prompt)
        if model.quotes:
            self._support = None
        return self._call(model, prompt, self.write, self.think)

    def _continue(self, partial: Message, prompt: Prompt) -> Prompt:
        self.continued = None
        if not partial.content:
            return prompt  # there is nothing to go on with
        offset = self._producer.text_length
        self._producer.text(partial.content)
        now = {passage.source_id: n for n, passage in enumerate(self._passages, 1)}
        numbers = {source.n: now.get(source.source_id) for source in partial.sources}
        for citation in partial.citations:
            n = numbers.get(citation.n)
            if n is not None:
                start, end = citation.start + offset, citation.end + offset
                self._producer.write(Citation(n=n, start=start, end=end, page=citation.page))
        self._mark_offset = self._said_offset = self._producer.text_length
        more = (ChatMessage("assistant", partial.content), ChatMessage("user", CONTINUE))
        return msgspec.structs.replace(prompt, messages=(*prompt.messages, *more))

    async def ask(self, model: ChatModel, prompt: Prompt) -> str:
        """The model's words as one string, not shown: for a stage of the answer. Retries and counts like `generate`."""
        pieces: list[str] = []
        reason = self._reason
        await self._call(model, prompt, pieces.append, lambda _: None)
        self._reason = reason
        return "".join(pieces)

    async def _call(
        self, model: ChatModel, prompt: Prompt, say: Callable[[str], None], think: Callable[[str], None]
    ) -> FinishReason:
        """Hands words and reasoning on as they come; returns why they ended, and sets `_reason`."""
        number = 0
        while True:
            number += 1
            begun = False
            try:
                async with aclosing(model.stream(prompt, self._model_options)) as outputs:
                    self._asked = None if model.quotes else prompt
                    self._call_characters = 0
                    finish: Finish | None = None
                    async for output in outputs:
                        if isinstance(output, Text):
                            begun = True
                            self._call_characters += len(output.text)
                            say(output.text)
                        elif isinstance(output, Reasoning):
                            begun = True
                            self._call_characters += len(output.text)
                            think(output.text)
                        elif isinstance(output, Finish):
                            finish = output
                        else:
                            self._count(output)
                self._count_unreported()
                if finish is None:
                    raise ModelError("The model's answer was cut short.", code="model-interrupted", retryable=True)
                self._reason = finish.reason
                return finish.reason
            except ModelError as error:
                if not begun:
                    self._asked = None  # a call that was refused costs nothing
                if begun or not error.retryable or error.code not in RETRIED or number == MODEL_TRIES:
                    raise
                wait = error.retry_after if error.retry_after is not None else FIRST_WAIT_S * 2 ** (number - 1)
                if wait > LONGEST_WAIT_S:
                    raise
                await self._wait(error, wait, number)

    async def _wait(self, error: ModelError, seconds: float, number: int) -> None:
        why = "The model is rate limited" if error.code == "model-rate-limited" else "The model cannot be reached"
        label = f"{why}; trying again in {_seconds(seconds)}…"
        async with self.step("retry", label, retry_after=seconds) as step:
            await self._sleep(seconds)
            step.done(
                f"{why}; tried again after {_seconds(seconds)}",
                code=error.code,
                message=error.message,
                retry=number,
            )

    # Usage

    def count(self, call: TokenUsage) -> None:
        """Adds the tokens of a call that the answer made by itself; `generate` and `ask` count their own."""
        self._count(call)

    def _count(self, call: TokenUsage, estimated: bool = False) -> None:
        self._asked = None
        total = self._usage or Usage(input_tokens=0, output_tokens=0, estimated=False)
        total.input_tokens += call.input_tokens
        total.output_tokens += call.output_tokens
        total.estimated = total.estimated or estimated
        if call.reasoning_tokens is not None:
            total.reasoning_tokens = (total.reasoning_tokens or 0) + call.reasoning_tokens
        if call.cached_tokens is not None:
            total.cached_tokens = (total.cached_tokens or 0) + call.cached_tokens
        self._usage = total

    def _count_unreported(self) -> None:
        """Estimates the call in progress or just ended, if its provider gave no count."""
        if self._asked is not None:
            characters = sum(len(message.content) for message in self._asked.messages)
            self._count(
                TokenUsage(-(-characters // CHARACTERS_PER_TOKEN), -(-self._call_characters // CHARACTERS_PER_TOKEN)),
                estimated=True,
            )

    def write_usage(self) -> None:
        """Writes the sum over all model calls, once, before the terminal event; nothing when no model was called."""
        self._count_unreported()
        if self._usage is not None:
            usage, self._usage = self._usage, None
            self._producer.write(usage)


def _plain(text: object, what: str) -> str:
    """A string of exactly that type: some libraries have strings of their own, which cannot be encoded."""
    if not isinstance(text, str):
        raise TypeError(f"{what} is made of strings, not of {type(text).__name__}")
    return str.__str__(text)


def _seconds(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"
