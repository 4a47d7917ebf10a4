"""Chat Completions chunks to model outputs, without I/O: the per-token path of every OpenAI-compatible model.

Chunk format: https://platform.openai.com/docs/api-reference/chat-streaming
What Azure adds (a first chunk with empty `choices`, choices without `delta`, filter results after the finish reason):
https://learn.microsoft.com/azure/ai-foundry/openai/concepts/content-streaming
"""

from millstream.errors import ModelError
from millstream.events import FinishReason
from millstream.models import Finish, ModelOutput, Reasoning, Text, TokenUsage, failures
from millstream.models.decoding import UNREADABLE, Chunk, ErrorDetail, Usage, bare_error, decode, decode_leniently
from millstream.models.sse import SSESplitter
from millstream.models.think import ThinkSplitter

# A chunk is some hundred bytes. One that grows past this is not a chunk but a mistake or an attack.
MAX_CHUNK_BYTES = 4 * 1024 * 1024
MAX_WHOLE_BYTES = 16 * 1024 * 1024

DONE = b"[DONE]"

_FINISH: dict[str, FinishReason] = {"stop": "stop", "length": "length", "content_filter": "content_filter"}


class ChunkTranslator:
    """Bytes of one response in, outputs out. `who` names the host in errors.

    `feed` every read, then `end` once at the end of the stream or when `done`. After each `feed` look at `failure`:
    what came before it in the same read has been returned and counts, and what goes wrong behind the finish reason is
    no failure: the words are complete. Usage and the finish reason are given by `end`,
    because both may still change: Azure's filter speaks late, and some servers send running totals.
    """

    def __init__(self, who: str) -> None:
        self.done = False
        self.failure: ModelError | None = None
        self.finish_reason: FinishReason | None = None
        self.started = False
        self._who = who
        self._heard = False
        self._usage: Usage | None = None
        self._events = SSESplitter()
        self._think: ThinkSplitter | None = ThinkSplitter()

    def feed(self, data: bytes) -> list[ModelOutput]:
        """The text and reasoning in `data`; what is adjacent and of one kind is one output."""
        outputs = self._translate(self._events.feed(data))
        if self._events.pending_bytes > MAX_CHUNK_BYTES and self.failure is None:
            if self.finish_reason is not None:
                self.done = True  # all words are there
                return outputs
            self.failure = failures.malformed(self._who, f"one event of more than {MAX_CHUNK_BYTES} bytes")
        return outputs

    def end(self, *, reason: str = "") -> list[ModelOutput]:
        """What was held back, then usage (if known) and `Finish`; sets `failure` when the stream was cut.

        `reason` says how the connection ended, when it did not end by itself.
        """
        outputs = self._translate(self._events.flush(), complete=False)
        if self._think is not None:
            outputs = _merged(outputs, *self._think.flush())
            self._think = None
        self.started = self.started or bool(outputs)
        if self.failure is not None:
            return outputs
        if self.finish_reason is None:
            if self._events.is_foreign and not self._heard and not reason:
                self.failure = failures.malformed(self._who, "text that is no stream of events")
                return outputs
            if not self.done:
                self.failure = failures.interrupted(self._who, after_first_delta=self.started, reason=reason)
                return outputs
            self.finish_reason = "stop"
        if self._usage is not None:
            outputs.append(_token_usage(self._usage))
        outputs.append(Finish(self.finish_reason))
        return outputs

    def _translate(self, events: list[bytes], *, complete: bool = True) -> list[ModelOutput]:
        """`complete` is false for an event whose blank line never came: it may have been cut anywhere."""
        outputs: list[ModelOutput] = []
        texts: list[str] = []
        self._heard = self._heard or (bool(events) and events[0].strip() != DONE)
        for data in events:
            try:
                chunk = decode(data)
            except UNREADABLE:
                if data.strip() == DONE:
                    self.done = True
                    break
                if (found := decode_leniently(data)) is None:
                    if complete and self.finish_reason is None:
                        self.failure = failures.malformed(self._who, "a piece of answer that cannot be read")
                        break
                    continue
                chunk = found
            error = chunk.error
            if error is None and not chunk.choices and chunk.usage is None:
                error = bare_error(data)
            if error is not None:
                failure = _stream_error(self._who, error, after_first_delta=self.started or bool(texts or outputs))
                if self.finish_reason is None:
                    self.failure = failure
                    break
                if failure.code == "model-content-filter":
                    self._finish("content_filter")
                continue
            if chunk.usage is not None and chunk.usage.is_counted:
                self._usage = chunk.usage
            if not chunk.choices:
                continue
            choice = chunk.choices[0]
            if choice.finish_reason:
                self._finish(choice.finish_reason)
            delta = choice.delta
            if delta is None:
                continue
            thought = delta.reasoning_content or delta.reasoning or ""
            text = delta.content or delta.refusal or ""
            if text and self._think is not None:
                more, text = self._think.feed(text)
                thought += more
                if self._think.decided:
                    self._think = None
            if thought:
                if texts:
                    outputs.append(Text("".join(texts)))
                    texts = []
                outputs = _merged(outputs, thought, "")
            if text:
                texts.append(text)
        if texts:
            outputs.append(Text("".join(texts)))
        if outputs:
            self.started = True
        return outputs

    def _finish(self, reason: str) -> None:
        # The filter's late verdict overrules the model's own "stop"; nothing overrules the filter.
        if self.finish_reason is None or reason == "content_filter":
            self.finish_reason = _FINISH.get(reason, "stop")


def _merged(outputs: list[ModelOutput], reasoning: str, text: str) -> list[ModelOutput]:
    """`outputs` with the two appended, joined to the last one where it is of the same kind."""
    if reasoning:
        if outputs and isinstance(last := outputs[-1], Reasoning):
            outputs[-1] = Reasoning(last.text + reasoning)
        else:
            outputs.append(Reasoning(reasoning))
    if text:
        if outputs and isinstance(last := outputs[-1], Text):
            outputs[-1] = Text(last.text + text)
        else:
            outputs.append(Text(text))
    return outputs


def _token_usage(usage: Usage) -> TokenUsage:
    inputs, outputs = usage.prompt_tokens_details, usage.completion_tokens_details
    return TokenUsage(
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        reasoning_tokens=outputs.reasoning_tokens if outputs else None,
        cached_tokens=inputs.cached_tokens if inputs else None,
    )


class WholeTranslator:
    """The same for an answer that comes whole, as one JSON object."""

    done = False
    started = False
    finish_reason = None

    def __init__(self, who: str) -> None:
        self.failure: ModelError | None = None
        self._who = who
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[ModelOutput]:
        self._parts.append(data)
        self._size += len(data)
        if self._size > MAX_WHOLE_BYTES:
            self.failure = failures.malformed(self._who, f"an answer of more than {MAX_WHOLE_BYTES} bytes")
        return []

    def end(self, *, reason: str = "") -> list[ModelOutput]:
        if reason:
            self.failure = failures.interrupted(self._who, after_first_delta=False, reason=reason)
            return []
        try:
            return self._outputs(b"".join(self._parts))
        except ModelError as error:
            self.failure = error
            return []

    def _outputs(self, body: bytes) -> list[ModelOutput]:
        try:
            answer: Chunk | None = decode(body)
        except UNREADABLE:
            answer = decode_leniently(body)
        if answer is None:
            raise failures.malformed(self._who, "an answer that cannot be read")
        error = answer.error
        if error is None and not answer.choices:
            error = bare_error(body)
        if error is not None:
            raise _stream_error(self._who, error, after_first_delta=False)
        if not answer.choices or (message := answer.choices[0].message) is None:
            raise failures.malformed(self._who, "an answer without a message")
        think = ThinkSplitter()
        thought, text = think.feed(message.content or message.refusal or "")
        more, rest = think.flush()
        reasoning = (message.reasoning_content or message.reasoning or "") + thought + more
        outputs = _merged([], reasoning, text + rest)
        if answer.usage is not None and answer.usage.is_counted:
            outputs.append(_token_usage(answer.usage))
        outputs.append(Finish(_FINISH.get(answer.choices[0].finish_reason or "stop", "stop")))
        return outputs


def _stream_error(who: str, error: ErrorDetail | str, *, after_first_delta: bool) -> ModelError:
    detail = ErrorDetail(message=error) if isinstance(error, str) else error
    return failures.stream_error(who, code=detail.codes, said=detail.message or "", after_first_delta=after_first_delta)
